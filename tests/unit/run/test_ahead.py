"""Evaluations that also test the tasks to come: what they say, and that they change nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from mpidcl.errors import ExperimentError
from mpidcl.experiment.reading import from_toml
from mpidcl.record.folder import RunFolder
from mpidcl.record.records import AgentRecord
from mpidcl.report.loaded import load_run
from mpidcl.run import simulation
from mpidcl.views.tasks.view import TasksView
from mpidcl.views.views import all_views

EXPERIMENT = """
name = "ahead"
agents = 1
[stream]
dataset = "digits"
incremental = "domain"
tasks = 3
train_per_class = 20
validation_per_class = 0
[model]
kind = "mlp"
hidden = [8]
[learning]
epochs = 2
[evaluation]
ahead = true
"""


def record(folder: Path, *sets: str) -> AgentRecord:
    simulation.run(from_toml(EXPERIMENT, sets), folder, driver="inprocess", quiet=True)
    return load_run(folder).records[0]


def test_what_is_known_of_a_task_to_come_is_what_it_begins_with(tmp_path: Path) -> None:
    """Nobody shares anything, so the last test before a task and the first one in it are the same."""
    found = record(tmp_path / "ahead")
    first = {one.task: one for one in found.evaluations if one.tick == 0}
    last = {one.task: one for one in found.evaluations}
    assert [len(one.values["accuracy"]) for one in last.values()] == [1, 2, 3]
    assert [len(one.ahead.get("accuracy", ())) for one in last.values()] == [2, 1, 0]
    for task in (1, 2):
        assert last[task - 1].ahead["accuracy"][0] == first[task].main[task]
    assert RunFolder(tmp_path / "ahead").journal(0).read() == found.evaluations
    run = load_run(tmp_path / "ahead")
    assert run.views.shown(run.records)["fwt"].words == "FWT"
    assert "FWT is the value before a task begins" in TasksView().reading(run)


def test_looking_ahead_changes_nothing_else(tmp_path: Path) -> None:
    looking, plain = record(tmp_path / "ahead"), record(tmp_path / "plain", "evaluation.ahead=false")
    assert looking.digest == plain.digest
    assert [one.values for one in looking.evaluations] == [one.values for one in plain.evaluations]
    assert not any(one.ahead for one in plain.evaluations)
    assert "fwt" not in all_views().shown([plain])
    assert looking.counters["flops"] > plain.counters["flops"]
    assert {"parameters", "replay_bytes"} <= set(plain.counters)


def test_a_learner_that_cannot_test_a_task_before_it_begins_says_so() -> None:
    with pytest.raises(ExperimentError, match=r"evaluation.ahead.*compositional.*tests no task before"):
        from_toml(EXPERIMENT, ["learning.kind=compositional", "model={kind='compositional-mlp'}"])
