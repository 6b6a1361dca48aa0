"""Metrics of parallel tasks by hand, both masks; agents that share a model are one value, not several."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from parallel_records import alone, course, shared

from mpidcl.learning.parallel.course import COURSE, ParallelCourse
from mpidcl.record.records import AgentRecord, Evaluation, one_per_model
from mpidcl.views.groups import group_runs, paired_differences
from mpidcl.views.parallel.metrics import PARALLEL, course_metrics
from mpidcl.views.run import Run
from mpidcl.views.summary import reproducible, summarise
from mpidcl.views.views import all_views

VIEWS = all_views()


def hand() -> ParallelCourse:
    found = ParallelCourse.planned([0, 5], [9, 14], [0, 1])
    found.first[:] = [[0.9, 0.6], [0.7, 0.7]]
    found.final[:] = [[0.4, 0.3], [0.7, 0.7]]
    return found


def run(records: list[AgentRecord], seed: int, method: str) -> Run:
    settings = {"name": method, "seed": seed, "combiner": method}
    return Run(Path(f"{method}-{seed}"), "", settings, {}, records, [], summarise(records), True)


def test_hand_computed_values() -> None:
    found = course_metrics(hand())
    expected = {
        "first_accuracy": 0.8, "first_accuracy_all_classes": 0.65, "final_accuracy": 0.55,
        "final_accuracy_all_classes": 0.5, "forgetting": 0.25, "forgetting_all_classes": 0.15,
    }  # fmt: skip
    assert tuple(found) == PARALLEL
    assert found == pytest.approx(expected)


@pytest.mark.parametrize("seed", range(5))
def test_forgetting_is_first_minus_final(seed: int) -> None:
    found = course_metrics(course(seed=seed))
    for mask in ("", "_all_classes"):
        lost = found[f"first_accuracy{mask}"] - found[f"final_accuracy{mask}"]
        assert found[f"forgetting{mask}"] == pytest.approx(lost)
        assert lost > 0


def test_before_the_end_only_what_is_known_counts() -> None:
    found = hand()
    found.final[:] = np.nan
    found.first[1] = np.nan
    metrics = course_metrics(found)
    assert metrics["first_accuracy"] == 0.9
    assert math.isnan(metrics["final_accuracy"])
    assert math.isnan(metrics["forgetting"])


def test_a_parallel_run_has_no_metrics_of_serial_tasks() -> None:
    rows = [Evaluation(0, 3, {"accuracy": (0.5, np.nan)})]
    metrics = VIEWS.metrics(AgentRecord(0, evaluations=rows, tables={COURSE: hand().table()}))
    assert math.isnan(metrics["learning_speed"])
    assert math.isnan(metrics["backward_transfer"])
    assert metrics["final_accuracy"] == pytest.approx(0.55)


def test_agents_that_share_a_model_are_one_value() -> None:
    summary = summarise(shared(agents=4))
    metrics = summary["metrics"]
    assert summary["models"] == 1
    assert metrics["by_agent"]["final_accuracy"] == [metrics["final_accuracy"]] * 4
    assert metrics["standard_error"]["final_accuracy"] is None
    assert metrics["standard_error_over"] == "1 model of one seed"
    assert metrics["learning_speed"] is None


def test_agents_with_models_of_their_own_are_several_values() -> None:
    summary = summarise(alone(agents=3))
    values = summary["metrics"]["by_agent"]["final_accuracy"]
    assert summary["models"] == len(set(values)) == 3
    expected = np.std(values, ddof=1) / np.sqrt(3)
    assert summary["metrics"]["standard_error"]["final_accuracy"] == pytest.approx(expected)
    assert summary["metrics"]["standard_error_over"] == "3 agents of one seed"


def test_a_serial_run_is_summed_up_as_before() -> None:
    summary = summarise([AgentRecord(0, evaluations=[Evaluation(0, 1, {"accuracy": (0.5,)})])])
    assert "models" not in summary
    assert not {"first_accuracy", "final_accuracy_all_classes"} & set(summary["metrics"])


def test_the_clock_of_the_steps_changes_nothing() -> None:
    slow = shared()
    slow[0].tables["steps"]["wall_s"] *= 9
    assert reproducible(summarise(slow)) == reproducible(summarise(shared()))


def test_groups_pair_models_and_not_agents() -> None:
    runs = [run(shared(4, seed), seed, method) for method in ("mean", "elastic") for seed in (0, 1)]
    groups = group_runs(runs)
    assert set(groups[0].values("forgetting_all_classes")) == {(0, 0), (1, 0)}
    assert groups[0].mean("final_accuracy").number == 2
    (difference,) = paired_differences(groups, "final_accuracy")
    assert difference.values == {(0, 0): 0, (1, 0): 0}
    assert np.isnan(groups[0].mean("learning_speed").mean)


def test_words_are_those_of_the_metrics_that_a_run_has() -> None:
    parallel, serial = VIEWS.shown(shared()), VIEWS.shown([AgentRecord(0)])
    assert set(parallel) == set(PARALLEL)
    assert set(serial) == set(VIEWS.metrics(AgentRecord(0))) - {"bwt", "fwt", "forgetting_max"}


@pytest.mark.parametrize("records", [shared(), [AgentRecord(0)], [*shared(), AgentRecord(0)]])
def test_runs_are_compared_by_the_final_accuracy_first(records: list[AgentRecord]) -> None:
    for found in (VIEWS.compared(records), VIEWS.panels(records), VIEWS.differences(records)):
        assert next(iter(found)) == "final_accuracy"


def test_what_continues_a_panel_stands_beside_it() -> None:
    """Compared are final and first; in a figure the final accuracy of all classes stands between them."""
    compared, panels = [*VIEWS.compared(shared())], [*VIEWS.panels(shared())]
    assert compared[:3] == ["final_accuracy", "first_accuracy", "final_accuracy_all_classes"]
    assert panels[:3] == ["final_accuracy", "final_accuracy_all_classes", "first_accuracy"]
    assert panels[-1] == "forgetting_all_classes"


def test_one_per_model() -> None:
    assert [record.agent for record in one_per_model(shared())] == [0]
    assert [record.agent for record in one_per_model(alone())] == [0, 1, 2]
    assert len(one_per_model([AgentRecord(0), AgentRecord(1)])) == 2
