"""Reports and tables of parallel tasks: figures of every kind of run, and of one that is not finished."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from matplotlib.figure import Figure
from parallel_records import alone, course, gallery, made_of, shared, steps

from mpidcl.base.quantities import percent
from mpidcl.record.checkpoint import Image
from mpidcl.record.folder import RunFolder, open_folder
from mpidcl.record.manifest import MARK, Manifests, agent_key, mark, state_file
from mpidcl.record.records import AgentRecord, LedgerRow
from mpidcl.report.loaded import load_run
from mpidcl.report.page import write_report
from mpidcl.report.table import comparison_table, results_table
from mpidcl.views.base import Sheet
from mpidcl.views.figures.style import png
from mpidcl.views.parallel.figures.gallery import _magnified, can_draw
from mpidcl.views.parallel.figures.timeline import course_curve, gradients_per_step
from mpidcl.views.parallel.view import ParallelView
from mpidcl.views.summary import summarise

pytestmark = pytest.mark.usefixtures("coarse_pictures")
COURSE = {"timeline", "task-accuracy"}
STEPS = {"gradient-conflict", "gradient-weights", "pareto-slack", "task-loss", "edit-distance", "edited-rows"}


def toml(seed: int = 0, combiner: str = "elastic", agents: int = 4) -> str:
    return f"""name = "{combiner}"
seed = {seed}
agents = {agents}

[stream]
kind = "parallel"
tasks = 4

[learning]
combiner = "{combiner}"
"""


def write(path: Path, records: list[AgentRecord], **settings: object) -> Path:
    folder = RunFolder(path)
    open_folder(folder, toml(agents=len(records), **settings), {})  # type: ignore[arg-type]
    folder.finish(records, [], summarise(records))
    return path


def figures(page: Path) -> set[str]:
    return {path.stem for path in page.parent.glob("*.png")}


def test_report_of_a_shared_model(tmp_path: Path) -> None:
    records = shared()
    page = write_report([write(tmp_path / "run", records)])
    assert figures(page) == COURSE | STEPS
    text = page.read_text()
    assert percent(summarise(records)["metrics"]["forgetting_all_classes"]) in text
    assert "<td>0–3</td>" in text
    assert "learning speed" not in text
    assert "share one model" in text or "train one model" in text


def parallel_sheets(records: list[AgentRecord]) -> list[Sheet]:
    return ParallelView().sheets(SimpleNamespace(records=records))


def sheets(records: list[AgentRecord]) -> dict[str, tuple[str, Callable[[], Figure]]]:
    """Title and drawing of each figure by name."""
    return {one.name: (one.title, one.draw) for one in parallel_sheets(records)}


def test_agents_with_models_of_their_own_show_the_first(tmp_path: Path) -> None:
    records = alone()
    found = sheets(records)
    assert set(found) == COURSE | STEPS
    assert found["timeline"][0] == "Timeline (agent 0)"
    for record in records:
        del record.tables["steps"], record.tables["gallery"]
    page = write_report([write(tmp_path / "run", records)])
    assert figures(page) == COURSE | {"topology"}
    assert "<td>2</td>" in page.read_text()


def test_one_task_has_no_conflict() -> None:
    found = course(1, starts=(0,))
    made = made_of(0, found, steps(found))
    assert set(sheets([made])) == COURSE | {"gradient-weights", "pareto-slack", "task-loss"}


@pytest.mark.parametrize("without", ["steps", "gallery"])
def test_figures_without_some_of_it(without: str) -> None:
    records = shared(agents=1)
    del records[0].tables[without]
    assert set(sheets(records)) & STEPS == (
        {"edited-rows"} if without == "steps" else STEPS - {"edited-rows"}
    )


def test_a_run_without_weights_or_edits_can_be_drawn() -> None:
    (record,) = shared(agents=1)
    for name in ("weights", "sigma", "slack", "length", "moved_mean", "moved_max"):
        record.tables["steps"][name][:] = np.nan
    found = sheets([record])
    assert "edit-distance" not in found
    for name in ("gradient-weights", "pareto-slack"):
        png(found[name][1]())


@pytest.mark.parametrize(
    ("shape", "drawn"),
    [((1, 8, 8), True), ((3, 4, 4), True), ((64,), True), ((63,), False), ((2, 4, 4), False)],
)
def test_rows_that_are_pictures_are_drawn(shape: tuple[int, ...], drawn: bool) -> None:
    records = shared(agents=1, shape=shape)
    found = sheets(records)
    assert ("edited-rows" in found) == drawn == can_draw(gallery(shape=shape))
    if drawn:
        png(found["edited-rows"][1]())
    assert not can_draw({name: values[:0] for name, values in gallery(shape=shape).items()})


def test_rows_that_several_agents_keep_are_one_figure() -> None:
    records = shared()
    parts = records[0].tables["gallery"], records[2].tables["gallery"] = (
        gallery(rows=3, seed=1),
        gallery(rows=4, seed=2),
    )
    for part in parts:
        part["displacement"][:] = np.arange(len(part["displacement"]))
    (draw,) = [one.draw for one in parallel_sheets(records) if one.name == "edited-rows"]
    below = [axes.get_xlabel().split("\n")[1] for axes in draw().axes[-7:]]
    assert below == ["3", "2", "2", "1", "1", "0", "0"]


def test_tables_show_both_masks_once_per_model(tmp_path: Path) -> None:
    text = results_table(write(tmp_path / "shared", shared()))
    assert "forgetting, all classes" in text
    assert "agent 3" not in text
    assert "learning speed" not in text
    text = results_table(write(tmp_path / "alone", alone()))
    assert "agent 2" in text


def test_what_combining_sends_is_in_every_place_that_says_what_was_sent(tmp_path: Path) -> None:
    records, others = shared(2), shared(2, seed=1)
    for record in records:
        record.counters["combined_bytes"] = 5 * 2**20
    run, other = write(tmp_path / "a", records), write(tmp_path / "b", others, combiner="mean")
    page = write_report([run]).read_text().replace("\N{NO-BREAK SPACE}", " ")
    assert "<b>10.0 MiB</b><span>sent by all agents to compare and combine gradients" in page
    assert "<b>0 B</b>" not in page
    assert "10.0 MiB sent by all agents" in results_table(run)
    page = write_report([run, other], tmp_path / "report")
    assert "5.00 MiB" in page.read_text().replace("\N{NO-BREAK SPACE}", " ")
    assert "accuracy-cost" in figures(page), "what they send differs"
    assert "5.00 MiB" in comparison_table([run, other])


def test_what_links_and_combining_send_are_both_said(tmp_path: Path) -> None:
    records = shared(2)
    records[0].counters["combined_bytes"] = 2**20
    records[0].ledger = [
        LedgerRow(0, 1, 0, "data", 3, 2**21, 0, 7, 0.0),
        LedgerRow(0, 1, -1, "frame", 5, 0, 40, 0, 0),
    ]
    run = write(tmp_path / "a", records)
    text, page = results_table(run), write_report([run]).read_text().replace("\N{NO-BREAK SPACE}", " ")
    for said in ("2.00 MiB", "1.00 MiB", "3 of 5"):
        assert said in text and said in page
    assert load_run(run).total("sent_bytes") == 3 * 2**20 + 40


def test_the_mask_of_all_classes_is_left_out_where_it_repeats_the_other(tmp_path: Path) -> None:
    """Class-incremental, both are the same at the end of the run."""
    runs = []
    for combiner in ("mean", "elastic"):
        records = shared(2)
        for record in records:
            final = record.tables["course"]["final"]
            final[:, 1] = final[:, 0]
            record.tables = {"course": record.tables["course"]}
        runs.append(write(tmp_path / combiner, records, combiner=combiner))
    for text in (results_table(runs[0]), write_report(runs[:1]).read_text(), comparison_table(runs)):
        assert "forgetting" in text and "all classes" not in text.lower()
    assert "all classes" not in write_report(runs, tmp_path / "report").read_text()
    assert "final_accuracy_all_classes" in load_run(runs[0]).summary["metrics"]


def test_comparison(tmp_path: Path) -> None:
    runs = [
        write(tmp_path / f"{combiner}-{seed}", shared(2, seed), seed=seed, combiner=combiner)
        for combiner in ("mean", "elastic")
        for seed in (0, 1)
    ]
    page = write_report(runs, tmp_path / "report")
    assert figures(page) == {"metrics", "differences", "learning-curves"}
    assert "2 of 2" in page.read_text() or "0 of 2" in page.read_text()
    assert "forgetting, all classes" in comparison_table(runs)


@pytest.mark.parametrize("make", [shared, alone])
def test_a_run_that_is_not_finished_shows_its_newest_checkpoint(
    tmp_path: Path, make: Callable[[], list[AgentRecord]]
) -> None:
    records = make()
    folder = RunFolder(tmp_path / "run")
    open_folder(folder, toml(agents=len(records)), {})
    image = Image()
    for record in records:
        state = {"record": record.state(), MARK: mark(record.agent, Fraction(1), "run")}
        image.add(agent_key(record.agent), state)
    written = image.write(state_file(folder.checkpoints, 1, 0))
    Manifests(folder.checkpoints, [0] * len(records), 1, "run").add(0, 1, Fraction(1), *written)
    run = load_run(folder.path)
    assert not run.finished
    assert run.summary["metrics"] == summarise(records)["metrics"]
    assert set(sheets(run.records)) == COURSE | STEPS


def test_gradients_per_step() -> None:
    found = gradients_per_step(course())  # 0-39, 19-58, 57-96, 69-108; memory from 40
    assert found[[0, 18, 19, 39, 40, 57, 59, 69, 97]].tolist() == [1, 1, 2, 2, 2, 3, 2, 3, 2]
    assert len(found) == 109


def test_curve_of_equal_models_is_theirs() -> None:
    records = shared()
    curve = course_curve({(0, 0): records[0], (1, 0): records[0]})
    assert curve is not None
    assert curve.time.tolist() == [40, 59, 97, 109]
    np.testing.assert_allclose(curve.mean, [row.mean for row in records[0].evaluations])
    assert not curve.error.any()


@pytest.mark.parametrize(
    ("largest", "times"), [(0.0, 1), (0.6, 1), (0.06, 1), (0.04, 10), (-4e-4, 1000), (1e-12, 10**6)]
)
def test_differences_are_enlarged_until_they_can_be_seen(largest, times):
    assert _magnified(np.array([[0.0, largest / 2, largest]])) == times
