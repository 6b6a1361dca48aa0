"""The views of linear learners in groups: late errors by hand, relations of known models, a real run."""

from __future__ import annotations

import json
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from numpy.typing import NDArray
from small_regression import TRUTH

from mpidcl.errors import EXIT_DONE
from mpidcl.experiment.reading import from_toml
from mpidcl.learning.linear.learner import ERROR, MSE, R2
from mpidcl.network.schedule.words import SECONDS
from mpidcl.record.records import AgentRecord, Evaluation
from mpidcl.report.loaded import load_run
from mpidcl.report.page import write_report
from mpidcl.report.table import comparison_table, results_table
from mpidcl.run import simulation
from mpidcl.views.figures.style import png, styled
from mpidcl.views.regression import figures
from mpidcl.views.regression.numbers import grouped, metrics
from mpidcl.views.regression.view import RegressionView
from mpidcl.views.relation.numbers import found_among, partial_correlations, relations, strengths
from mpidcl.views.relation.view import RelationView
from mpidcl.views.run import Run
from mpidcl.views.summary import summarise
from mpidcl.views.views import all_views

Doubles = NDArray[np.float64]
FILE = """
name = "linear"
agents = 9
clock = {kind = "virtual"}
network = {topology = "groups", groups = {of = [2, 2, 2, 3], deputies = 1}}
stream = {kind = "small_regression:Small", samples = 100, noise = 0.2}
learning = {kind = "linear", lr = 0.1}
evaluation = {every = "10 s"}
exchange = [
    {kind = "nodes", when = "after", every = "1 tick", links = "members"},
    {kind = "means", when = "after", every = "2 ticks", links = "between"},
    {kind = "relation", when = "after", every = "2 ticks", links = "messenger"},
]
"""


def record(agent: int, group: int, errors: list[float], **tables: Any) -> AgentRecord:
    """Tested every second; the mean squared error is one more, R^2 one less."""
    rows = [
        Evaluation(0, at, {"error": (one,), "mse": (1 + one,), "r2": (1 - one,)}, float(at))
        for at, one in enumerate(errors)
    ]
    truth = TRUTH[group % len(TRUTH)]
    own = {"group": np.array([group]), "model": truth[None], "truth": truth[None], "variance": np.ones(1)}
    found = {"estimates": own, **tables}
    return AgentRecord(agent, 1, rows, tables=found, measures=(ERROR, MSE, R2))


def speaker(agent: int, group: int, theta: Doubles, heard: float = 9.0) -> AgentRecord:
    count = len(theta)
    table = {"theta": theta, "mean": np.zeros((count, 3)), "heard": np.array([heard] + [9.0] * (count - 1))}
    return record(agent, group, [1.0], relation=table)


def true_theta(sizes: list[int]) -> Doubles:
    """By the formula, without the kernels."""
    models = TRUTH[: len(sizes)]
    around = models - np.array(sizes) @ models / sum(sizes)
    values, vectors = np.linalg.eigh(np.linalg.inv(around @ around.T / 3 + 0.01 * np.eye(len(sizes))))
    found: Doubles = (vectors * np.clip(values, 0.05, 20)) @ vectors.T
    return found


def test_late_is_the_mean_over_the_last_fifth_of_the_time() -> None:
    """Of times 0 to 10 those from 8 on."""
    found = metrics(record(0, 0, [9.0] * 8 + [0.3, 0.1, 0.2]))
    assert found["late_error"] == pytest.approx(0.2) and found["final_error"] == pytest.approx(0.2)
    assert found["late_mse"] == pytest.approx(1.2) and found["late_r2"] == pytest.approx(0.8)
    odd = metrics(record(0, 0, [9.0] * 8 + [0.3, 0.1, 0.4]))
    assert (odd["late_error"], odd["final_error"]) == (pytest.approx(0.8 / 3), 0.4)
    assert list(found) == [f"{when}_{name}" for when in ("late", "final") for name in ("error", "mse", "r2")]


def test_a_late_evaluation_without_a_number_is_not_left_out() -> None:
    assert math.isnan(metrics(record(0, 0, [1.0] * 9 + [math.nan, 0.1]))["late_error"])
    assert metrics(record(0, 0, [math.nan] * 8 + [0.1, 0.1, 0.1]))["late_error"] == pytest.approx(0.1)
    assert metrics(AgentRecord(0)) == {}


def test_means_inside_groups_and_over_groups() -> None:
    """Three agents of one group with 1, one of another with 5: 2 over agents, 3 over groups."""
    records = [record(agent, 0, [1.0]) for agent in range(3)] + [record(3, 1, [5.0])]
    found = grouped(records)
    assert (found.groups, found.agents, found.uneven) == ((0, 1), (3, 1), True)
    assert found.means["late_error"] == (1.0, 5.0) and found.over_groups("late_error") == 3.0
    summary = summarise(records)
    assert summary["metrics"]["late_error"] == 2.0
    assert summary["regression"]["over_groups"]["late_error"] == 3.0
    assert summary["regression"]["by_group"]["late_error"] == [1.0, 5.0]
    assert summary["regression"]["agents"] == [3, 1]
    assert summary["metrics"]["learning_speed"] is None  # of `tasks`, which it stands for
    even = grouped([*records, record(4, 1, [5.0]), record(5, 1, [5.0])])
    assert not even.uneven and even.over_groups("late_error") == 3.0


def test_it_stands_for_tasks_where_there_is_one_task() -> None:
    one, two = record(0, 0, [1.0, 0.5]), record(0, 0, [1.0, 0.5])
    two.evaluations.append(Evaluation(1, 1, dict.fromkeys(("error", "mse", "r2"), (0.5, 0.4)), 2.0))
    assert [view.name for view in all_views().of([one])] == ["regression", "network", "time"]
    assert [view.name for view in all_views().of([two])] == ["tasks", "cost", "network", "time"]
    words = [metric.words for metric in all_views().shown([one]).values()]
    assert words == [
        f"{when} {name}"
        for when in ("late", "final")
        for name in ("squared error of the model", "mean squared error", "R^2")
    ]


def test_the_relation_of_true_models_is_found_without_error() -> None:
    theta = true_theta([2, 1, 1, 1])
    records = [speaker(0, 0, theta), record(1, 0, [1.0]), *(speaker(2 + k, 1 + k, theta) for k in range(3))]
    found = relations(records)
    assert found is not None and found.true is not None
    np.testing.assert_allclose(found.true, theta, rtol=1e-9)
    assert found.error < 1e-9 and found.edges_found == 1 and found.spread == 0
    assert relations([record(0, 0, [1.0])]) is None


def test_error_and_spread_are_relative_distances() -> None:
    theta = true_theta([1, 1, 1, 1])
    found = relations([speaker(k, k, factor * theta) for k, factor in enumerate((2.0, 2.0, 3.0, 1.5))])
    assert found is not None
    assert found.error == pytest.approx(1.0)  # twice the true one
    assert found.spread == pytest.approx(0.5)  # three times the true one, from twice
    assert RelationView().summary([speaker(k, k, theta) for k in range(4)]) == {
        "relation": {"relation_error": pytest.approx(0, abs=1e-9), "edges_found": 1.0, "spread": 0.0}
    }


def test_the_first_speaker_that_has_heard_of_all_groups_counts() -> None:
    theta = true_theta([2, 1, 1, 1])
    records = [speaker(0, 0, np.eye(4), heard=-1.0), speaker(1, 0, theta), speaker(2, 1, 2 * theta)]
    found = relations(records)
    assert found is not None and found.first.agent == 1 and found.spread == pytest.approx(1.0)
    assert found.true is None and math.isnan(found.error) and math.isnan(found.edges_found)
    alone = [speaker(0, 0, theta, heard=-1.0), speaker(1, 0, np.eye(4))]
    assert relations(alone) is None and RelationView().summary(alone) == {}  # the second has taken no step
    run = cast(Run, SimpleNamespace(records=alone))
    assert RelationView().lines(run) == ["Relation: no messenger has learned one."]


def test_partial_correlations() -> None:
    found = partial_correlations(np.array([[4.0, -1.0, 0.0], [-1.0, 1.0, 0.5], [0.0, 0.5, 0.0]]))
    assert np.isnan(np.diag(found)).all()
    assert found[0, 1] == 0.5 and found[1, 2] == 0  # nothing holds the third group
    assert strengths(np.array([[4.0, 1.0], [1.0, 1.0]])).tolist() == [0.5]


def test_edges_found() -> None:
    true = np.array([5.0, 4.0, 3.0, 2.0, 1.0, 0.0])
    assert found_among(true, true, 4) == 1
    assert found_among(true[::-1], true, 4) == 0.5  # the two in the middle
    assert found_among(np.ones(6), true, 4) == pytest.approx(4 / 6)  # all alike: as good as by chance
    assert found_among(np.array([9.0, 9.0, 1.0, 1.0, 1.0, 1.0]), true, 3) == pytest.approx((2 + 1 / 4) / 3)
    assert math.isnan(found_among(true[:3], true[:3], 3))


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seeds each with all exchanges and with none, and one whose truth is not known."""
    folder = tmp_path_factory.mktemp("linear")
    alone = ["exchange=[]", "name=alone"]
    named = {"shared0": [], "shared1": ["seed=1"], "alone0": alone, "alone1": [*alone, "seed=1"]}
    named["unknown"] = ["stream.kind=small_regression:Unknown"]
    for name, sets in named.items():
        assert (
            simulation.run(from_toml(FILE, sets), folder / name, driver="inprocess", quiet=True) == EXIT_DONE
        )
    return folder


def test_a_real_run(runs: Path, coarse_pictures: None) -> None:
    run = load_run(runs / "shared0")
    late = [metrics(one)["late_error"] for one in run.records]
    assert run.summary["metrics"]["late_error"] == pytest.approx(np.mean(late)) and max(late) < 0.5
    assert run.summary["metrics"]["late_r2"] > 0.5
    assert run.summary["regression"]["agents"] == [2, 2, 2, 3]
    assert run.summary["relation"]["relation_error"] < 0.5 and run.summary["relation"]["edges_found"] >= 0.75
    text = results_table(runs / "shared0")
    assert "late squared error of the model" in text and "Relation of 4 groups: |Theta - Theta*|" in text
    assert "Groups have different sizes. Means inside each of the 4, then over groups: late" in text
    assert not any(words in text for words in ("speed", "forgetting", "transfer", "average"))
    page = write_report([runs / "shared0"])
    assert {path.stem for path in page.parent.glob("*.png")} == {
        "error-curve", "late-by-group", "relation", "task-graph", "topology", "mail-ages", "mail-links",
        "time-split",
    }  # fmt: skip
    for wanted in ("the last 20 % of an agent", "relation error: distance of Theta", "virtual time"):
        assert wanted in page.read_text()


def test_runs_side_by_side(runs: Path, coarse_pictures: None) -> None:
    folders = [runs / name for name in ("shared0", "shared1", "alone0", "alone1")]
    text = comparison_table(folders)
    for words in ("late error", "late MSE", "relation error", "edges found", "Paired differences"):
        assert words in " ".join(text.split())
    page = write_report(folders, runs / "both")
    assert {path.stem for path in page.parent.glob("*.png")} == {
        "metrics", "differences", "error-curves", "error-cost"
    }  # fmt: skip
    one = json.loads((runs / "alone0" / "summary.json").read_text())
    assert "relation" not in one and one["regression"]["groups"] == [0, 1, 2, 3]


def test_a_run_whose_truth_is_not_known(runs: Path, coarse_pictures: None) -> None:
    run = load_run(runs / "unknown")
    assert [*run.views.shown(run.records)][:2] == ["late_r2", "late_mse"]
    assert run.summary["relation"]["relation_error"] is None
    page = write_report([runs / "unknown"])
    assert "relation error" not in page.read_text()
    assert {"error-curve", "relation", "task-graph"} < {path.stem for path in page.parent.glob("*.png")}


def test_figures_of_many_groups_and_one_agent() -> None:
    many = [record(agent, agent // 2, [3.0, 1.0, 0.5]) for agent in range(2 * 65)]
    with styled():
        for records in (many, [record(0, 0, [1.0])], [record(0, 0, [math.nan, math.nan])]):
            sheets = RegressionView().sheets(cast(Run, SimpleNamespace(records=records, time=SECONDS)))
            assert [sheet.name for sheet in sheets] == ["error-curve", "late-by-group"]
            assert all((figure := sheet.draw()) is not None and png(figure) for sheet in sheets)
        bars = figures.late_by_group(many).axes[0]
        assert len(bars.get_yticklabels()) == figures.MOST_GROUPS
        assert bars.get_yticklabels()[0].get_text() == "group 0 (2 agents)"
        theta = np.eye(70) - 0.01
        large = RelationView().sheets(cast(Run, SimpleNamespace(records=[speaker(0, 0, theta)])))
        assert [sheet.name for sheet in large] == ["relation"] and png(cast(Any, large[0].draw()))
        assert RelationView().sheets(cast(Run, SimpleNamespace(records=[speaker(0, 0, np.eye(1))]))) == []
