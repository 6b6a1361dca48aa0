"""Knowledge of global class ids is named wherever it is used: by `mpidcl check`, and in a run's summary."""

import json

import pytest

from mpidcl.experiment.reading import from_toml
from mpidcl.run import preview as checking
from mpidcl.run import simulation

EXPERIMENT = """
name = "oracles"
agents = 2
[stream]
dataset = "digits"
tasks = 2
classes_per_task = 2
train_per_class = 6
validation_per_class = 4
[model]
kind = "compositional-mlp"
width = 4
depth = 1
[learning]
kind = "compositional"
epochs = 2
[[exchange]]
kind = "modules"
when = "task start"
from_task = 1
[[exchange]]
kind = "data"
when = "after"
every = "1 epochs"
choose = "class-needs"
"""
USED = [
    "[[exchange]] 0 (modules): class ids of tasks",
    "[[exchange]] 0 (modules): class ids of heads",
    "[[exchange]] 1 (data): class ids of needs",
]
WITHOUT = ["exchange.0.rank_by=leep", "exchange.1.choose=hard-examples", "exchange.1.prefilter=none"]


@pytest.mark.parametrize(("sets", "used"), [([], USED), ([*WITHOUT, "exchange.1.labels=same-as-query"], [])])
def test_oracle_information_is_named(tmp_path, sets, used):
    experiment = from_toml(EXPERIMENT, sets)
    lines = [line for line in checking.check(experiment).splitlines() if line.startswith("note: oracle")]
    assert lines == ([f"note: oracle information is used by {', '.join(used)}."] if used else [])
    simulation.run(experiment, tmp_path / "run", driver="inprocess", quiet=True)
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary.get("oracles", []) == used
