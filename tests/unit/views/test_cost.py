"""Points per MiB, floats sent over floats trained on, and how fast a task is learned."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mpidcl.record.records import AgentRecord, Evaluation
from mpidcl.views.cost.figures import group_costs
from mpidcl.views.cost.view import MIB, points_per_mib, sent_over_trained
from mpidcl.views.figures.style import png, styled
from mpidcl.views.groups import Group
from mpidcl.views.run import Run
from mpidcl.views.tasks.curves import speed_curve
from mpidcl.views.tasks.metrics import agent_metrics


def group(name: str, finals: list[float], sent: float, finished: bool = True, trained: int = 1000) -> Group:
    """One run of seed 0 whose agents end with these accuracies, each having sent so many bytes and floats."""
    records = [
        AgentRecord(i, evaluations=[Evaluation(0, 9, {"accuracy": (final,)})])
        for i, final in enumerate(finals)
    ]
    traffic = {"wire_bytes": len(finals) * sent, "paper_floats": len(finals) * sent / 4}
    summary = {
        "agents": len(finals), "communication": traffic, "training_floats": trained * len(finals),
    }  # fmt: skip
    return Group(name, (Run(Path(name), "", {"name": name}, {}, records, [], summary, finished),))


ALONE = group("alone", [0.5, 0.6], 0)


def test_points_per_mib_are_the_paired_gain_over_the_bytes_beyond() -> None:
    """+4 and +2 points for half a MiB: 6 points per MiB, with twice the standard error of the mean."""
    first, found = points_per_mib([ALONE, group("sharing", [0.54, 0.62], MIB / 2)])
    assert first is None
    assert found is not None
    assert found.mean == pytest.approx(6)
    assert found.standard_error == pytest.approx(2)


def test_bytes_of_the_first_group_do_not_count() -> None:
    base = group("little", [0.5, 0.6], 3 * MIB)
    (_, found) = points_per_mib([base, group("more", [0.54, 0.62], 3.5 * MIB)])
    assert found is not None
    assert found.mean == pytest.approx(6)


@pytest.mark.parametrize("other", [group("as much", [0.7, 0.7], 0), group("short", [0.7, 0.7], 5, False)])
def test_no_points_per_mib_without_bytes_or_end(other: Group) -> None:
    assert points_per_mib([ALONE, other]) == [None, None]


def test_floats_sent_over_floats_trained_on() -> None:
    assert sent_over_trained(group("a", [0.5, 0.5], 400).runs) == pytest.approx(0.1)
    assert sent_over_trained(group("a", [0.5], 400, trained=0).runs) is None
    assert sent_over_trained(group("a", [0.5], 400, finished=False).runs) is None


def test_speed_curve_is_the_mean_over_tasks_learned_alone() -> None:
    rows = [
        (0, 5, (0.9,)),
        (1, 0, (0.9, 0.2)),
        (1, 4, (0.9, 0.6)),
        (2, 0, (0.9, 0.6, 0.4)),
        (2, 4, (0, 0, 1.0)),
    ]
    ticks, agents = speed_curve(
        {(0, 0): AgentRecord(0, 1, [Evaluation(t, e, {"accuracy": a}) for t, e, a in rows[1:]])}
    )
    assert ticks.tolist() == [0, 4]
    np.testing.assert_allclose(agents[0, 0], [0.3, 0.8])


def test_area_below_the_speed_curve_is_the_learning_speed() -> None:
    rng = np.random.default_rng(3)
    rows = [
        Evaluation(task, tick, {"accuracy": tuple(rng.random(task + 1))})
        for task in range(2, 6)
        for tick in (0, 1, 5, 9)
    ]
    ticks, agents = speed_curve({(0, 0): AgentRecord(0, 3, rows)})
    speed = agent_metrics(rows, 3)["learning_speed_current"]
    assert np.trapezoid(agents[0, 0], ticks) / 9 == pytest.approx(speed)


def test_agents_without_a_task_of_their_own_have_no_speed() -> None:
    assert speed_curve({(0, 0): AgentRecord(0, 2, [Evaluation(1, 3, {"accuracy": (0.5, 0.5)})])})[1] == {}


@pytest.mark.parametrize("costs", [[0, 0], [0, 5], [5, 6], [0, 1e2, 1e9, 0], list(range(14))])
def test_costs_of_any_size_can_be_drawn(costs: list[float]) -> None:
    """Level lines for groups that sent nothing, discs for the others, and a name for each."""
    groups = [group(f"number {index}", [0.5, 0.6], cost) for index, cost in enumerate(costs)]
    with styled():
        figure = group_costs(groups)
        assert png(figure)
    for axes in figure.axes:
        assert len(axes.texts) == len(costs)
        levels = [line for line in axes.lines if line.get_linestyle() == "--"]
        assert len(levels) == sum(cost == 0 for cost in costs)
        low, high = axes.get_xlim()
        discs = [text for text in axes.texts if text.get_color() == "white"]
        assert all(low < text.get_position()[0] < high for text in discs)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [
        f"{index + 1}  number {index}*" for index in range(len(costs))
    ]
