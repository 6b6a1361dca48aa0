"""Metrics against values computed by hand, and what must hold whatever the numbers are."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpidcl.record.measures import Measure
from mpidcl.record.records import Evaluation
from mpidcl.views.tasks.metrics import agent_metrics

# Three tasks of 10 ticks, evaluated at ticks 0, 2 and 10; tasks to come where a task begins or ends.
HAND = [
    Evaluation(0, 0, {"accuracy": (0.5,)}, ahead={"accuracy": (0.3, 0.2)}),
    Evaluation(0, 2, {"accuracy": (0.7,)}),
    Evaluation(0, 10, {"accuracy": (0.9,)}, ahead={"accuracy": (0.4, 0.35)}),
    Evaluation(1, 0, {"accuracy": (0.9, 0.4)}, ahead={"accuracy": (0.25,)}),
    Evaluation(1, 2, {"accuracy": (0.8, 0.6)}),
    Evaluation(1, 10, {"accuracy": (0.7, 1.0)}, ahead={"accuracy": (0.6,)}),
    Evaluation(2, 0, {"accuracy": (0.7, 1.0, 0.6)}),
    Evaluation(2, 2, {"accuracy": (0.6, 0.9, 0.6)}),
    Evaluation(2, 10, {"accuracy": (0.8, 0.8, 0.8)}),
]


def test_hand_computed_values_without_joint_tasks() -> None:
    found = agent_metrics(HAND)
    assert found["average_accuracy"] == pytest.approx((0.9 + 0.85 + 0.8) / 3)
    assert found["final_accuracy"] == pytest.approx(0.8)
    assert found["forward_transfer"] == pytest.approx((0.5 + 0.4 + 0.6) / 3)
    assert found["backward_transfer"] == pytest.approx((-0.2 + 0.1 - 0.2) / 3)
    assert found["forgetting"] == pytest.approx((0.1 + 0.2 + 0.0) / 3)
    assert found["bwt"] == pytest.approx((-0.1 - 0.2) / 2)
    assert found["forgetting_max"] == pytest.approx((0.1 + 0.2) / 2)
    assert found["fwt"] == pytest.approx((0.4 - 0.3 + 0.6 - 0.2) / 2)
    # Trapezoids over ticks 0, 2, 10: 2 * (a + b) / 2 + 8 * (b + c) / 2, divided by 10.
    current = [(1.2 + 4 * 1.6) / 10, (1.0 + 4 * 1.6) / 10, (1.2 + 4 * 1.4) / 10]
    assert found["learning_speed_current"] == pytest.approx(np.mean(current))
    seen = [
        (1.2 + 4 * 1.6) / 10,
        (0.65 + 0.7 + 4 * (0.7 + 0.85)) / 10,
        (2.3 / 3 + 0.7 + 4 * (0.7 + 0.8)) / 10,
    ]
    assert found["learning_speed"] == pytest.approx(np.mean(seen))


def test_hand_computed_values_with_two_joint_tasks() -> None:
    """Only t >= 1 counts; tasks 0 and 1 count as learned at its end; the speed is that of t = 2 alone."""
    found = agent_metrics(HAND, joint_tasks=2)
    assert found["average_accuracy"] == pytest.approx((0.85 + 0.8) / 2)
    assert found["final_accuracy"] == pytest.approx(0.8)
    assert found["forward_transfer"] == pytest.approx((0.4 + 0.6) / 2)
    assert found["backward_transfer"] == pytest.approx((-0.2 + 0.1 - 0.2) / 3)
    assert found["forgetting"] == pytest.approx((-0.1 + 0.2 + 0.0) / 3)
    assert found["learning_speed_current"] == pytest.approx((1.2 + 4 * 1.4) / 10)
    assert found["bwt"] == pytest.approx((0.1 - 0.2) / 2)
    assert found["forgetting_max"] == pytest.approx((0.0 + 0.2) / 2), "task 0 is known best at the end"
    assert found["fwt"] == pytest.approx(0.6 - 0.25)


def test_where_lower_is_better_the_metrics_of_papers_have_the_other_sign() -> None:
    """Losses 1 - accuracy say the same as the accuracies, so all three are equal."""
    turned = [
        replace(
            row,
            values={"loss": tuple(1 - value for value in row.main)},
            ahead={"loss": tuple(1 - value for value in row.ahead.get("accuracy", ()))},
        )
        for row in HAND
    ]
    found, losses = agent_metrics(HAND), agent_metrics(turned, 0, (Measure("loss", better="lower"),))
    for name in ("bwt", "fwt", "forgetting_max"):
        assert losses[name] == pytest.approx(found[name])


def test_without_tasks_to_come_or_first_weights_there_is_no_transfer_forward() -> None:
    alone = agent_metrics([replace(row, ahead={}) for row in HAND])
    assert math.isnan(alone.pop("fwt"))
    whole = agent_metrics(HAND)
    assert alone == {name: whole[name] for name in alone}, "means are over the tasks seen"
    assert math.isnan(agent_metrics([row for row in HAND if row.tick > 0])["fwt"])


def test_evaluations_before_the_last_joint_task_change_nothing() -> None:
    kept = [row for row in HAND if row.task >= 1]
    assert agent_metrics(kept, 2) == agent_metrics(HAND, 2)


def test_one_joint_task_is_no_joint_task() -> None:
    assert agent_metrics(HAND, 1) == agent_metrics(HAND, 0)


def test_order_of_evaluations_does_not_matter() -> None:
    assert agent_metrics(HAND[::-1]) == agent_metrics(HAND)


def test_published_scale_is_the_span_times_ours() -> None:
    """Evaluated at epochs 0, 1, 11, ..., 101 with accuracy 1 from the first on: 100.5, the paper's way."""
    ticks = [0, 1, *range(11, 102, 10)]
    rows = [Evaluation(0, tick, {"accuracy": (float(tick > 0),)}) for tick in ticks]
    assert agent_metrics(rows)["learning_speed"] * 101 == pytest.approx(100.5)


def test_undefined_metrics_are_nan() -> None:
    nothing = agent_metrics([])
    assert all(math.isnan(value) for value in nothing.values())
    only_joint = agent_metrics(
        [Evaluation(1, 0, {"accuracy": (0.5, 0.5)}), Evaluation(1, 9, {"accuracy": (0.9, 0.9)})],
        joint_tasks=2,
    )
    assert math.isnan(only_joint["learning_speed"])
    assert only_joint["final_accuracy"] == pytest.approx(0.9)
    assert math.isnan(agent_metrics(HAND[:3])["backward_transfer"])


def test_without_an_evaluation_before_learning_there_is_no_zero_shot() -> None:
    rows = [row for row in HAND if row.tick > 0]
    assert math.isnan(agent_metrics(rows)["forward_transfer"])
    assert agent_metrics(rows)["forgetting"] == agent_metrics(HAND)["forgetting"]


@given(st.floats(0, 1), st.integers(1, 5), st.integers(1, 30), st.integers(0, 4))
def test_a_constant_curve_has_that_accuracy_and_no_transfer(
    level: float, tasks: int, ticks: int, joint: int
) -> None:
    rows = [
        Evaluation(t, e, {"accuracy": (level,) * (t + 1)})
        for t in range(tasks)
        for e in sorted({0, 1, ticks})
    ]
    found = agent_metrics(rows, min(joint, tasks))
    for name in ("average_accuracy", "final_accuracy", "forward_transfer"):
        assert found[name] == pytest.approx(level)
    assert found["forgetting"] == pytest.approx(0, abs=1e-12)
    if joint < tasks:
        assert found["learning_speed"] == pytest.approx(level)
        assert found["learning_speed_current"] == pytest.approx(level)
    if tasks > 1:
        assert found["backward_transfer"] == pytest.approx(0, abs=1e-12)


@given(st.data())
def test_accuracies_stay_in_the_unit_interval_and_differences_within_one(data: st.DataObject) -> None:
    """Whatever the lengths of the tasks are."""
    lengths = data.draw(st.lists(st.integers(0, 12), min_size=1, max_size=4))
    share = st.floats(0, 1)
    rows = [
        Evaluation(task, tick, {"accuracy": tuple(data.draw(share) for _ in range(task + 1))})
        for task, ticks in enumerate(lengths)
        for tick in sorted({0, ticks // 2, ticks})
    ]
    found = agent_metrics(rows)
    for name in (
        "average_accuracy",
        "final_accuracy",
        "learning_speed",
        "learning_speed_current",
        "forward_transfer",
    ):
        assert -1e-12 <= found[name] <= 1 + 1e-12
    assert -1 <= found["forgetting"] <= 1
    if len(lengths) > 1:
        assert found["forgetting_max"] >= max(0.0, -found["bwt"]), "no task was known better than at its best"
