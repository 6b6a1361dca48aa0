"""Warming up compiles exactly what a run calls: nobody compiles later."""

import subprocess
import sys
from pathlib import Path

import pytest

from mpidcl.experiment.reading import from_toml
from mpidcl.run import processes
from mpidcl_kernels.base import cache
from mpidcl_kernels.base.warm import warm_up

TINY = """
name = "tiny"
agents = 2
[stream]
tasks = 2
train_per_class = 8
[learning]
epochs = 2
"""
EXCHANGE = """
[[exchange]]
kind = "{}"
when = "after"
every = "1 epoch"
{}
"""


def exchanges(kind, key, values):
    return "".join(EXCHANGE.format(kind, f'{key} = "{value}"') for value in values)


PROGRAM = """
import sys
from pathlib import Path
from mpidcl.run import simulation
from mpidcl.experiment.reading import from_toml
from mpidcl.run.processes import alone
from mpidcl_kernels.base.cache import counts

text, out, *sets = sys.argv[1:]
experiment = from_toml(text, sets)
alone().warm_up(experiment)
before = counts()
assert simulation.run(experiment, Path(out), driver="inprocess", quiet=True) == 0
print(sum(before), sum(counts()) - sum(before))
"""
FORMS = exchanges("parameters", "precision", ["float32", "float16", "int8", "top-k", "block"])
METHODS = exchanges("parameters", "method", ["fedprox", "fedcurv", "fisher"])
EXPERTS = exchanges("experts", "merge", ["average", "sparse", "matched"]) + 'precision = "float16"\n'
DATA = exchanges("data", "choose", ["hard-examples", "class-needs"])
RUNS = {
    "adam": (TINY, ["learning.optimizer=adam"]),
    "sgd, formats of parameters": (TINY + FORMS, ["learning.optimizer=sgd"]),
    "sgd, models and experts": (TINY + EXPERTS, ["learning.optimizer=sgd", "stream.draw=shared"]),
    "adamw, methods of averaging, data": (TINY + METHODS + DATA, ["learning.optimizer=adamw"]),
}


@pytest.mark.parametrize(("text", "sets"), RUNS.values(), ids=RUNS)
def test_a_run_compiles_nothing_that_warming_up_has_not_compiled(text, sets, tmp_path):
    # A process of its own: here other tests have compiled more.
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, text, str(tmp_path / "run"), *sets],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    warmed, later = map(int, done.stdout.split()[-2:])
    assert warmed > 0
    assert later == 0


SOURCES = Path(cache.__file__).parents[1]
WARM = sorted(
    ".".join(path.relative_to(SOURCES).with_suffix("").parts).removesuffix(".__init__")
    for path in SOURCES.rglob("*.py")
    if "\ndef warm() -> None" in path.read_text()
)
AGAIN = """
import importlib, sys
from mpidcl_kernels.base.cache import counts

for name in sys.argv[1:]:
    module = importlib.import_module(f"mpidcl_kernels.{name}")
    before = sum(counts())
    module.warm()
    first = sum(counts())
    module.warm()
    print(first - before, sum(counts()) - first)
"""


def test_warming_up_compiles_and_a_second_time_does_nothing():
    done = subprocess.run([sys.executable, "-c", AGAIN, *WARM], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = {
        name: tuple(map(int, line.split())) for name, line in zip(WARM, done.stdout.splitlines(), strict=True)
    }
    assert len(found) > 10
    assert {name for name, (first, again) in found.items() if first == 0 or again > 0} == set()


def test_an_experiment_warms_what_its_parts_name():
    assert processes.kernels_of(from_toml(TINY)) == ["gather", "heads", "slots", "step"]


def test_warming_up_an_unknown_kernel_is_an_error():
    with pytest.raises(ModuleNotFoundError, match=r"mpidcl_kernels\.nothing"):
        warm_up("nothing")
