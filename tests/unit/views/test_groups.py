"""Groups by seed, paired differences, and the numbers below the figures."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpidcl.errors import RunFolderError
from mpidcl.record.measures import Measure
from mpidcl.record.records import AgentRecord, Evaluation
from mpidcl.record.settings import differences, flat_settings, varying
from mpidcl.report.loaded import load_run
from mpidcl.views.figures.style import spread
from mpidcl.views.groups import (
    Group,
    distinguishing_settings,
    group_runs,
    left_out,
    of_one_measure,
    paired_differences,
)
from mpidcl.views.network.topology import traffic
from mpidcl.views.run import Run
from mpidcl.views.tasks.curves import current, mean_curves, of_one_run, seen
from mpidcl.views.tasks.matrix import accuracy_matrix, mean_matrix


def run_of(finals: list[float], seed: int, name: str = "a", lr: float = 0.1) -> Run:
    """A run of one task whose agents end with these accuracies."""
    records = [
        AgentRecord(agent, evaluations=[Evaluation(0, 9, {"accuracy": (final,)})])
        for agent, final in enumerate(finals)
    ]
    settings = {"name": name, "seed": seed, "learning.lr": lr}
    return Run(Path(f"{name}-{seed}"), "", settings, {}, records, [], {}, True)


def test_runs_that_differ_by_seed_are_one_group_in_order_of_appearance() -> None:
    runs = [run_of([0.5], 1, "b", 0.2), run_of([0.5], 0), run_of([0.5], 0, "b", 0.2), run_of([0.5], 1)]
    groups = group_runs(runs)
    assert [(group.label, [run.seed for run in group.runs]) for group in groups] == [
        ("b", [1, 0]),
        ("a", [0, 1]),
    ]


def test_groups_of_one_name_are_told_apart_by_their_folders() -> None:
    groups = group_runs([run_of([0.5], 0, lr=0.1), run_of([0.5], 1, lr=0.2)])
    assert [group.label for group in groups] == ["a-0", "a-1"]
    assert distinguishing_settings(groups) == {"learning.lr": ["0.1", "0.2"]}


def test_the_same_run_twice_is_refused() -> None:
    with pytest.raises(RunFolderError, match="both have seed 3"):
        group_runs([run_of([0.5], 3), run_of([0.6], 3)])


def measuring(run: Run, *measures: Measure) -> Run:
    """The same, but this is what was measured, each with the same numbers."""
    rows = ([_renamed(row, measures) for row in one.evaluations] for one in run.records)
    return replace(run, records=[AgentRecord(0, evaluations=one, measures=measures) for one in rows])


def _renamed(evaluation: Evaluation, measures: tuple[Measure, ...]) -> Evaluation:
    return replace(evaluation, values={one.name: evaluation.main for one in measures})


def test_runs_of_different_measures_are_compared_by_what_both_have() -> None:
    error, right = Measure("mse", "squared error", "lower"), Measure("accuracy", unit="%")
    runs = [run_of([0.5], 0, "a", 0.1), measuring(run_of([0.7], 0, "b", 0.2), error)]
    both = measuring(run_of([0.9], 0, "c", 0.3), error, right)
    groups = group_runs([*runs, both])
    unlike, second = paired_differences(groups, "final_accuracy")
    assert not unlike.values and second.mean.mean == pytest.approx(0.4)
    for metric in ("forgetting", "learning_speed", "average_mse"):
        assert not any(one.values for one in paired_differences(groups, metric)), metric
    assert [group.main.name for group in groups] == ["accuracy"] * 3
    assert [group.own.name for group in groups] == ["accuracy", "mse", "mse"]
    (told,) = left_out(groups)
    assert "a: accuracy; b: squared error; c: squared error" in told and "learning speed" in told
    assert of_one_measure(groups) == groups[:1]
    assert left_out(groups[1:2]) == left_out(group_runs([runs[1], both])) == []
    again = paired_differences(group_runs([runs[1], both]), "learning_speed")[0]
    assert again.mean.mean == pytest.approx(0.2)


def test_mean_is_over_agents_and_seeds_and_its_error_over_seeds() -> None:
    """The agents of a seed share what it decides: their means are 0.15 and 0.55."""
    group = Group("a", (run_of([0.1, 0.2], 0), run_of([0.3, 0.8], 1)))
    mean = group.mean("final_accuracy")
    assert mean.mean == pytest.approx(0.35)
    assert mean.standard_error == pytest.approx(0.2)
    assert (mean.over(group.unit), group.marked) == ("2 seeds", "a")


def test_a_group_of_one_seed_is_marked() -> None:
    group = Group("a", (run_of([0.1, 0.2], 0),))
    assert group.mean("final_accuracy").over(group.unit) == "2 agents of one seed"
    assert group.mean("final_accuracy").mark == "*"
    assert group.marked == "a*"
    assert Group("a", (run_of([0.1], 0),)).marked == "a", "one value has no error to mark"


def test_differences_are_paired_by_seed_and_agent() -> None:
    """A big spread between seeds cancels; only pairs that both groups have count."""
    base = Group("a", (run_of([0.1, 0.5], 0), run_of([0.7, 0.9], 1)))
    other = Group("b", (run_of([0.8, 0.9], 1), run_of([0.2, 0.7], 0), run_of([0.0, 0.0], 2)))
    (found,) = paired_differences([base, other], "final_accuracy")
    assert found.values == pytest.approx({(0, 0): 0.1, (0, 1): 0.2, (1, 0): 0.1, (1, 1): 0.0})
    assert found.mean.mean == pytest.approx(0.1)
    assert found.mean.standard_error == pytest.approx(0.05), "the seeds' differences are 0.15 and 0.05"
    assert found.better == 3


def test_groups_without_a_common_pair_have_no_difference() -> None:
    (found,) = paired_differences(
        [Group("a", (run_of([0.1], 0),)), Group("b", (run_of([0.1], 1),))], "forgetting"
    )
    assert found.values == {}
    assert math.isnan(found.mean.mean)


def test_mean_curve_is_the_mean_where_agents_are_evaluated_alike(synthetic: SimpleNamespace) -> None:
    records = synthetic.records()
    last = mean_curves(of_one_run(records), seen)[-1]
    assert last.mean[-1] == pytest.approx(np.mean([record.evaluations[-1].mean for record in records]))
    assert last.time[-1] == 5.0


def test_mean_curve_interpolates_agents_with_other_ticks() -> None:
    one = AgentRecord(
        0,
        evaluations=[
            Evaluation(0, 0, {"accuracy": (0.0,)}, 0.0),
            Evaluation(0, 4, {"accuracy": (1.0,)}, 1.0),
        ],
    )
    other = AgentRecord(1, evaluations=[Evaluation(0, e, {"accuracy": (0.5,)}, e / 2) for e in (0, 1, 2)])
    (curve,) = mean_curves(of_one_run([one, other]), current)
    assert curve.time == pytest.approx([0.0, 0.5, 1.0])
    assert curve.mean == pytest.approx([0.25, 0.5, 0.75])


def test_accuracy_matrix_of_known_values() -> None:
    agents = [
        AgentRecord(
            0,
            evaluations=[Evaluation(0, 5, {"accuracy": (0.8,)}), Evaluation(1, 5, {"accuracy": (0.6, 0.9)})],
        ),
        AgentRecord(1, evaluations=[Evaluation(0, 2, {"accuracy": (0.6,)})]),
    ]
    tasks, matrix = mean_matrix(agents)
    assert tasks == [0, 1]
    np.testing.assert_allclose(matrix, [[0.7, np.nan], [0.6, 0.9]])


@pytest.mark.parametrize("unit", ["%", ""])
@pytest.mark.parametrize(("better", "darkest"), [("higher", 0.9), ("lower", 0.1)])
def test_the_better_is_the_darker(better: Literal["higher", "lower"], darkest: float, unit: str) -> None:
    rows = [Evaluation(0, 5, {"own": (0.9,)}), Evaluation(1, 5, {"own": (0.5, 0.1)})]
    figure = accuracy_matrix([AgentRecord(0, evaluations=rows, measures=(Measure("own", "", better, unit),))])
    (image,) = figure.axes[0].images
    values = np.array([0.9, 0.5, 0.1])
    brightness = image.to_rgba(values)[:, :3].sum(axis=1)
    order = values[np.argsort(brightness)]
    assert order[0] == darkest
    assert order[1] == 0.5


def test_accuracy_matrix_begins_with_the_last_joint_task(synthetic: SimpleNamespace) -> None:
    tasks, matrix = mean_matrix(synthetic.records(tasks=5, joint=3))
    assert tasks == [2, 3, 4]
    assert np.isfinite(matrix[0, :3]).all()


def test_traffic_of_links_adds_up(synthetic: SimpleNamespace) -> None:
    records = synthetic.records()
    assert set(traffic(records)) == set(synthetic.RING)
    assert sum(traffic(records).values()) == sum(
        row.wire_bytes for record in records for row in record.ledger
    )


@given(st.lists(st.floats(-5, 5), max_size=8), st.floats(0.01, 2))
def test_spread_labels_keep_their_order_and_distance(values: list[float], gap: float) -> None:
    ordered = sorted(values)
    found = spread(ordered, gap)
    assert len(found) == len(values)
    assert all(
        after - before >= gap * (1 - 1e-6) - 1e-9 for before, after in zip(found, found[1:], strict=False)
    )
    assert np.mean(found or [0]) == pytest.approx(np.mean(ordered or [0]), abs=1e-9)


def test_labels_that_do_not_crowd_stay() -> None:
    assert spread([0.0, 1.0, 1.05], 0.1) == pytest.approx([0.0, 0.975, 1.075])


def test_settings_are_flat_and_compared_by_value() -> None:
    there = flat_settings("a = 1\nids = [1, 2]\n[[x]]\nk = 'v'\n[[x]]\n[t]\ne = []\n")
    assert there == {"a": 1, "ids": [1, 2], "x.0.k": "v", "t.e": []}
    assert differences(there, there | {"a": 2, "new": True}) == {"a": ("1", "2"), "new": ("(absent)", "True")}


ALONE = flat_settings("exchange = []\n[learning]\nlr = 1\n[learning.combiner]\nkind = 'mean'\n")
SHARING = flat_settings(
    "[learning]\nlr = 1\n[learning.combiner]\nkind = 'elastic'\ntau = 5\nfloor = false\n"
    "[[exchange]]\nkind = 'parameters'\nevery = '1 epochs'\nwhen = 'before'\n"
    "[exchange.compression]\nkind = 'int8'\nblock = 4\n"
)


def test_of_what_only_one_run_has_the_kind_is_told_and_not_every_default() -> None:
    assert differences(ALONE, SHARING) == {
        "exchange.0.kind": ("(absent)", "parameters"),
        "learning.combiner.kind": ("mean", "elastic"),
    }
    assert varying([ALONE, SHARING]) == ["exchange.0.kind", "learning.combiner.kind"]


def test_options_that_differ_within_a_kind_are_told() -> None:
    often = SHARING | {"exchange.0.every": "5 epochs"}
    assert differences(SHARING, often) == {"exchange.0.every": ("1 epochs", "5 epochs")}
    assert varying([ALONE, SHARING, often]) == [
        "exchange.0.every",
        "exchange.0.kind",
        "learning.combiner.kind",
    ]
    older = {key: value for key, value in SHARING.items() if key != "learning.combiner.floor"}
    assert differences(older, SHARING) == {"learning.combiner.floor": ("(absent)", "False")}


@given(
    *[st.dictionaries(st.sampled_from(["a", "x.kind", "x.a", "x.y.kind", "x.y.b"]), st.integers(0, 2))] * 2
)
def test_settings_that_differ_never_seem_equal(one: dict[str, int], other: dict[str, int]) -> None:
    assert bool(differences(one, other)) == (one != other) == bool(varying([one, other]))


def test_a_finished_run_reads_back(tmp_path: Path, synthetic: SimpleNamespace) -> None:
    run = load_run(synthetic.write_run(tmp_path / "a", seed=7))
    assert (run.name, run.seed, run.finished) == ("quickstart", 7, True)
    assert run.records == synthetic.records(seed=7)
    assert run.links == sorted(synthetic.RING)
