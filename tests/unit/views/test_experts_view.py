"""The view of experts: its numbers, its words, and its figures for runs of any shape."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from mpidcl.learning.experts.log import CAME, FROZEN, WENT, ExpertChange, ExpertLog
from mpidcl.learning.experts.specialisation import specialisation
from mpidcl.record.folder import RunFolder, open_folder, read_summary
from mpidcl.record.records import AgentRecord, Evaluation
from mpidcl.report.loaded import load_run
from mpidcl.report.page import write_report
from mpidcl.views.experts import figures, maps, numbers
from mpidcl.views.experts.view import ExpertsView
from mpidcl.views.figures.style import WIDTH, png, styled
from mpidcl.views.summary import summarise

pytestmark = pytest.mark.usefixtures("coarse_pictures")
FIGURES = {"expert-classes", "expert-lives", "expert-information"}


def agent(
    number: int = 0,
    experts: int = 4,
    tasks: int = 3,
    changes: tuple[ExpertChange, ...] = (),
    used: int | None = None,
    frozen: int = 0,
    measured: bool = True,
) -> AgentRecord:
    """Two classes with each task; each row has one expert, which knows its class in three of four rows."""
    log, used = ExpertLog(), experts if used is None else used
    log.changes += changes
    for task in range(tasks if measured else 0):
        rng = np.random.default_rng((number, task))
        labels = np.repeat(np.arange(2 * task + 2), 8)
        by_class = np.where(np.arange(len(labels)) % 4 > 0, labels, rng.integers(0, used, len(labels))) % used
        gates = np.eye(experts)[by_class]
        found = specialisation(gates, labels, 2 * tasks, used, 1, rng)
        log.add(task, len(labels), found, np.arange(experts) < used, np.arange(experts) < frozen)
    evaluations = [
        Evaluation(task, 2, {"accuracy": (0.8,) * (task + 1)}, task + 1.0) for task in range(tasks)
    ]
    counters = {"flops": 1000}
    return AgentRecord(number, evaluations=evaluations, tables=log.tables(), counters=counters)


LIVED = (
    ExpertChange(1, 2, CAME, -1),
    ExpertChange(1, 0, FROZEN, -1),
    ExpertChange(2, 0, FROZEN, -1),
    ExpertChange(2, 1, WENT, 3),
)


def test_metrics_are_those_of_the_last_task() -> None:
    record = agent()
    found, last = ExpertsView().metrics(record), numbers.routing(record)[-1]
    assert found["expert_information"] == last.information
    assert found["expert_information_ratio"] == last.information / last.shuffled > 2
    assert (found["expert_balance"], found["routing_confidence"]) == (last.balance, last.confidence)
    one = numbers.lives(record)
    assert one is not None
    weighted = np.nansum(one.load[-1] * one.specialisation[-1]) / one.load[-1].sum()
    assert found["expert_specialisation"] == pytest.approx(weighted)
    # the weighted mean of 1 - H_i / log C is what the information is of its most
    assert weighted == pytest.approx(last.information / math.log(last.classes))


def test_lives_hold_nothing_of_experts_that_were_not_in_use() -> None:
    found = numbers.lives(agent(used=3))
    assert found is not None and found.load.shape == (3, 4)
    assert np.isnan(found.load[:, 3]).all() and np.isfinite(found.load[:, :3]).all()
    assert found.used[:, :3].all() and not found.used[:, 3].any()


def test_shares_of_a_class_add_up_to_one() -> None:
    found = numbers.class_shares(agent())
    assert [len(labels) for labels, _ in found.values()] == [2, 4, 6]
    assert all(shares.sum(1) == pytest.approx(np.ones(len(shares))) for _, shares in found.values())


def test_at_the_end_the_changes_of_the_last_task_have_happened() -> None:
    assert numbers.standing(agent(changes=LIVED)) == (3, 1)
    assert numbers.standing(agent(changes=LIVED[:2], frozen=1)) == (4, 1)
    assert numbers.counted([agent(changes=LIVED), agent(1)]) == {"came": 1, "frozen": 2, "went": 1}
    found: Any = ExpertsView().summary([agent(changes=LIVED), agent(1, measured=False, changes=LIVED)])
    assert found["experts"]["used_by_agent"] == [3, None]


def test_all_frozen_is_told_with_the_first_task_learned_so() -> None:
    assert numbers.all_frozen_from(agent(frozen=3)) is None
    assert numbers.all_frozen_from(agent(frozen=3, used=3)) == 0
    run: Any = SimpleNamespace(records=[agent(), agent(1, frozen=4)])
    (said,) = ExpertsView().notices(run)
    assert said.startswith("All experts of agent 1 were frozen when task 0 was learned")
    assert said in ExpertsView().lines(run)


def test_the_line_says_what_became_of_them() -> None:
    run: Any = SimpleNamespace(records=[agent(changes=LIVED), agent(1)])
    (line,) = ExpertsView().lines(run)
    assert line.startswith("experts: 3.5 in use per agent at the end; 1 came, 2 were frozen, 1 went; their")
    run = SimpleNamespace(records=[agent(changes=LIVED, measured=False)])
    assert ExpertsView().lines(run) == ["experts: 1 came, 2 were frozen, 1 went"]
    assert ExpertsView().sheets(run) == []


def test_it_sees_records_with_experts_only() -> None:
    assert ExpertsView().sees(agent()) and ExpertsView().sees(agent(measured=False, changes=LIVED))
    assert not ExpertsView().sees(AgentRecord(0))
    assert all(math.isnan(one) for one in ExpertsView().metrics(agent(measured=False)).values())


@pytest.mark.parametrize("draw", [maps.class_maps, maps.expert_lives, figures.information])
@pytest.mark.parametrize(
    "records",
    [
        [agent(tasks=1, experts=1)],
        [agent(one, changes=LIVED, tasks=3 + one) for one in range(6)],
        [agent(experts=40, tasks=30, used=20)],
    ],
    ids=["least", "several", "many"],
)
def test_runs_of_any_shape_are_drawn_and_the_same_bytes_again(draw: Any, records: Any) -> None:
    with styled():
        first, second = (draw(records) for _ in range(2))
        assert png(first) == png(second)
    assert first.get_figwidth() <= WIDTH + 1e-9


def test_maps_show_the_numbers() -> None:
    record = agent(used=3)
    shown = maps.class_maps([record]).axes[2].images[0].get_array()
    assert np.array_equal(shown, numbers.class_shares(record)[2][1])
    found = numbers.lives(record)
    assert found is not None
    load, special = (axes.images[0].get_array() for axes in maps.expert_lives([record]).axes[:2])
    assert np.array_equal(load.filled(np.nan), found.load.T, equal_nan=True)
    assert np.array_equal(special.filled(np.nan), found.specialisation.T, equal_nan=True)


def write(path: Path, synthetic: SimpleNamespace, records: list[AgentRecord], exchange: bool = False) -> Path:
    folder = RunFolder(path)
    open_folder(folder, synthetic.experiment_toml("experts", exchange=exchange, agents=len(records)), {})
    for record in records:
        for row in record.evaluations:
            folder.journal(record.agent).append(row)
    folder.finish(records, [], summarise(records))
    return path


def test_pages_of_one_run_and_of_several(tmp_path: Path, synthetic: SimpleNamespace) -> None:
    path = write(tmp_path / "a", synthetic, [agent(one, changes=LIVED, frozen=4) for one in range(2)])
    page = write_report([path])
    assert {one.stem for one in page.parent.glob("expert-*.png")} == FIGURES
    text = page.read_text()
    assert "information / shuffled" in text and "All experts of agent 1 were frozen" in text
    summary = read_summary(RunFolder(path).summary_file)
    assert summary["experts"]["came"] == 2 and summary["metrics"]["expert_information_ratio"] > 2
    assert load_run(path).records[0].has("expert_classes")
    other = write(tmp_path / "b", synthetic, [agent(one, experts=8) for one in range(2)], True)
    compared = write_report([path, other], tmp_path / "both").read_text()
    for words in ("information / shuffled", "even use", "specialisation"):
        assert words in compared
