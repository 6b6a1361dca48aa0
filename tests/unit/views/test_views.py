"""All views together: who has something to show, and that one of a user's that fails spoils nothing."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from parallel_records import shared

from mpidcl.errors import ExperimentError
from mpidcl.record.measures import ACCURACY, Measure
from mpidcl.record.records import AgentRecord, Evaluation
from mpidcl.report.loaded import load_run
from mpidcl.report.page import write_report
from mpidcl.report.table import results_table
from mpidcl.views.base import Metric, View
from mpidcl.views.run import Run
from mpidcl.views.summary import summarise
from mpidcl.views.views import Views, all_views

LOSS = Measure("loss", better="lower")


class Norms(View):
    """Reads a table that some agents have."""

    name = "norms"
    reads = ("norms",)

    def metrics(self, record: AgentRecord) -> dict[str, float]:
        return {"norm": float(record.tables["norms"]["length"].mean())}

    def shown(self, record: AgentRecord) -> Sequence[Metric]:
        return (Metric("norm", "mean length"),)

    def lines(self, run: Run) -> list[str]:
        return ["norms are there"]


class Broken(Norms):
    """Fails when it is asked for lines."""

    name = "broken"

    def lines(self, run: Run) -> list[str]:
        raise ZeroDivisionError("no rows")


def names(views: Views, *records: AgentRecord) -> list[str]:
    return [view.name for view in views.of(records)]


def test_a_view_is_used_where_what_it_reads_is_there(synthetic: SimpleNamespace) -> None:
    serial, modular = synthetic.records(exchange=False), synthetic.modular(exchange=False)
    assert names(all_views(), *serial) == ["tasks", "cost", "network", "time"]
    assert names(all_views(), *modular) == ["tasks", "modules", "cost", "network", "time"]
    assert names(all_views(), *shared()) == ["parallel", "network", "time"]
    assert "divergence" in names(all_views(), *synthetic.records())


def test_a_views_metrics_stand_beside_ours() -> None:
    views = Views([*all_views()._all], [Norms()])
    rows = [Evaluation(0, 1, {"accuracy": (0.5,)})]
    with_table = AgentRecord(0, evaluations=rows, tables={"norms": {"length": np.array([1.0, 3.0])}})
    metrics = summarise([with_table, AgentRecord(1, evaluations=rows)], views)["metrics"]
    assert metrics["norm"] == 2.0
    assert metrics["by_agent"]["norm"] == [2.0, None]
    assert metrics["final_accuracy"] == 0.5


@pytest.mark.usefixtures("coarse_pictures")
@pytest.mark.parametrize(("view", "there"), [(Norms, True), (Broken, False)])
def test_a_report_is_made_with_a_users_view_and_without_one_that_fails(
    view: type[View],
    there: bool,
    tmp_path: Path,
    synthetic: SimpleNamespace,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run = synthetic.write_run(tmp_path / "a", agents=2, tasks=2, table={"length": np.ones(2)})
    views = Views([*all_views()._all], [view()])
    text = results_table(run, views)
    assert ("norms are there" in text) == there
    assert "final accuracy" in text
    said = capsys.readouterr().err
    assert said.count('the view "broken"') == (not there)
    assert ("ZeroDivisionError: no rows" in said) != there
    assert ("mean length" in write_report([run], views=views).read_text()) == there
    assert load_run(run).summary["metrics"].keys() <= load_run(run, views).summary["metrics"].keys()


def test_only_a_view_can_be_named() -> None:
    with pytest.raises(ExperimentError, match="should name a view"):
        all_views(["mpidcl.record.records:AgentRecord"])


@pytest.mark.parametrize("better", ["higher", "lower"])
def test_forgetting_means_loss_whatever_is_measured(better: str) -> None:
    """An error that falls from 0.5 to 0.1 and comes back to 0.3 is forgotten by 0.2."""
    sign = 1 if better == "higher" else -1
    moments = [(0, 0, (0.5,)), (0, 9, (0.9,)), (1, 0, (0.9, 0.5)), (1, 9, (0.7, 0.9))]
    measure = Measure("own", better=better)  # type: ignore[arg-type]
    rows = [Evaluation(t, e, {"own": tuple(sign * value for value in values)}) for t, e, values in moments]
    found = all_views().metrics(AgentRecord(0, evaluations=rows, measures=(measure,)))
    assert found["forgetting"] == pytest.approx(0.1)
    assert found["backward_transfer"] == pytest.approx(-0.2)
    assert found["final_own"] == pytest.approx(sign * 0.8)


@pytest.mark.usefixtures("coarse_pictures")
def test_pages_speak_of_the_main_measure(tmp_path: Path, synthetic: SimpleNamespace) -> None:
    run = synthetic.write_run(tmp_path / "a", agents=2, tasks=2, measures=(LOSS, ACCURACY))
    text, page = results_table(run), write_report([run]).read_text()
    assert "final loss" in text and "final accuracy" in text
    assert "losses, differences" not in text and "accuracies in %" not in text
    assert "loss matrix" in page.lower()
    assert (run / "report" / "loss-matrix.png").is_file()


def test_views_import_no_matplotlib() -> None:
    code = "import sys, mpidcl.views.views as v; v.all_views(); assert 'matplotlib' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
