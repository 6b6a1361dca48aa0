"""The example files: all are valid, and the small ones are run as a user runs them."""

from __future__ import annotations

import json
import runpy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from command_line import CommandLine

from mpidcl.commands.common import look_beside
from mpidcl.errors import DataError
from mpidcl.experiment.reading import from_toml, load
from mpidcl.run import simulation

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
FILES = sorted(EXAMPLES.rglob("*.toml"))
OWN = EXAMPLES / "own_methods" / "own_methods.toml"


@pytest.fixture(autouse=True)
def _own_modules_do_not_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(EXAMPLES)))
def test_every_example_is_valid_and_says_what_it_will_do(file: Path) -> None:
    look_beside(file)
    experiment = load(file)
    assert from_toml(experiment.to_toml()) == experiment
    try:
        text = simulation.check(experiment)
    except DataError as error:
        # How long tasks of a parallel stream are is known from the labels alone
        assert experiment.stream.kind == "parallel" and "mpidcl data fetch" in str(error)
        return
    for part in ("# network", "# timetable", "# memory"):
        assert part in text
    assert ("# bytes per use of a link" in text) == bool(experiment.exchange)


def test_the_published_files_differ_only_in_what_is_shared() -> None:
    files = sorted((EXAMPLES / "dcl").glob("monolithic-*.toml"))
    assert len(files) == 3
    apart = [load(file, ["name=x", "exchange=[]", "stream.joint_shared=false"]) for file in files]
    assert apart[0] == apart[1] == apart[2]
    # As published: the first tasks are the same everywhere where whole models are averaged
    shared = {file.stem for file in files if load(file).stream.options.joint_shared}
    assert shared == {"monolithic-parameters"}


def test_the_published_schedule_is_the_published_one() -> None:
    text = {
        name: simulation.check(load(EXAMPLES / "dcl" / f"monolithic-{name}.toml"))
        for name in ("data", "parameters")
    }
    # As published: tasks 4 to 9, 100 // 16 = 6 and 100 / 5 = 20 exchanges in each
    assert f"{6 * 6} meetings of each agent" in text["data"]
    assert f"{6 * 20} meetings of each agent" in text["parameters"]


Run = Callable[..., dict[str, Any]]


@pytest.fixture
def run(tmp_path: Path, here: CommandLine, job_free_environment: dict[str, str]) -> Run:
    """`mpidcl run`, with ranks in processes of their own; the summary, empty where the run has stopped."""

    def start(*words: str | Path) -> dict[str, Any]:
        command = ["run", *map(str, words), "--out", "run"]
        if "inprocess" in command:
            ended = here(*command)
        else:
            ended = subprocess.run(
                [sys.executable, "-m", "mpidcl", *command],
                cwd=tmp_path, env=job_free_environment, capture_output=True, text=True, timeout=200,
            )  # fmt: skip
        if ended.returncode == 75:
            return {}
        assert ended.returncode == 0, ended.stderr
        summary: dict[str, Any] = json.loads((tmp_path / "run" / "summary.json").read_text())
        (tmp_path / "run").rename(tmp_path / f"run-{len(list(tmp_path.iterdir()))}")
        return summary

    return start


def test_the_quickstart_runs_and_shares(run: Run) -> None:
    words = [EXAMPLES / "quickstart.toml", "--driver", "inprocess"]
    words += ["--set", "learning.epochs=20", "--set", "stream.tasks=2"]
    summary = run(*words)
    assert summary["communication"]["payload_bytes"] > 0
    alone = run(*words, "--set", "exchange=[]")
    assert alone["communication"]["payload_bytes"] == 0
    assert alone["digest"] != summary["digest"]


@pytest.mark.timeout(300)
def test_asynchronous_agents_have_the_same_bits_as_ranks(run: Run) -> None:
    words = [EXAMPLES / "asynchronous" / "digits.toml", "--set", "learning.epochs=6"]
    alone, ranks = run(*words, "--driver", "inprocess"), run(*words, "-n", "2")
    assert alone["digest"] == ranks["digest"]
    assert alone["mail"] == ranks["mail"] and alone["mail"]["used"] > 0


@pytest.mark.timeout(300)
def test_own_methods_run_stop_and_go_on_alone_and_as_ranks(run: Run) -> None:
    words = [OWN, "--driver", "inprocess"]
    whole = run(*words)
    assert run(*words, "--until", "2 tasks") == {}
    assert run(*words)["digest"] == whole["digest"]
    assert run(OWN, "-n", "2")["digest"] == whole["digest"]


def test_the_parts_of_a_system_of_ones_own_are_what_they_should_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(OWN.parent))
    runpy.run_path(str(OWN.parent / "test_own_system.py"))["test_the_parts_of_the_system"]()


def test_the_library_example_compares_the_agents_in_pairs(
    tmp_path: Path, job_free_environment: dict[str, str]
) -> None:
    command = [sys.executable, str(EXAMPLES / "library" / "compare_in_python.py"), str(tmp_path)]
    ended = subprocess.run(command, env=job_free_environment, capture_output=True, text=True, timeout=100)
    assert ended.returncode == 0, ended.stderr
    finals = [
        json.loads((tmp_path / name / "summary.json").read_text())["metrics"]["by_agent"]["final_accuracy"]
        for name in ("alone", "together")
    ]
    points = [100 * (shared - alone) for alone, shared in zip(*finals, strict=True)]
    for agent, gain in enumerate(points):
        assert f"agent {agent}, seed 0: {gain:+.1f} points by sharing" in ended.stdout
    assert f"mean of 4 agents of one seed: {sum(points) / 4:+.1f} points" in ended.stdout


SERIAL = "dataset='own_dataset:Bars', tasks=4, classes_per_task=3, validation_per_class=5, data={noise=120}"
OURS = {
    "clock": "clock=lockstep",
    "stream": f"stream={{{SERIAL}}}",
    "data": "stream.data.noise=90",
    "model": "model={width=32}",
    "policy": "memory.policy=reservoir",
    "learner": "learning={epochs=10, batch=16, terms=['replay', {kind='own_term:Modesty', weight=0.05}]}",
    "term": "learning.terms=['replay']",
    "exchange": "exchange=[{kind='parameters', when='after', every='2 epochs'}]",
}


def digest_of_own_methods(folder: Path, *sets: str) -> str:
    look_beside(OWN)
    experiment = load(OWN, [*sets, "stream.tasks=2", "agents=2"])
    assert simulation.run(experiment, folder, driver="inprocess", quiet=True) == 0
    found: str = json.loads((folder / "summary.json").read_text())["digest"]
    return found


@pytest.fixture(scope="module")
def all_own(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The digest of a run in which every part is a user's own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "path", list(sys.path))
        return digest_of_own_methods(tmp_path_factory.mktemp("own") / "run")


@pytest.mark.parametrize("part", OURS)
def test_each_own_method_matters(part: str, all_own: str, tmp_path: Path) -> None:
    assert digest_of_own_methods(tmp_path / "run", OURS[part]) != all_own
