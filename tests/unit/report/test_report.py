"""The page is complete in itself and every figure is on it; runs of any shape can be drawn."""

from __future__ import annotations

import base64
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from mpidcl.base.quantities import bytes_text, percent
from mpidcl.errors import RunFolderError
from mpidcl.record.folder import RunFolder, open_folder, read_summary
from mpidcl.record.records import AgentRecord, Evaluation
from mpidcl.report.page import write_report
from mpidcl.views.summary import summarise

pytestmark = pytest.mark.usefixtures("coarse_pictures")
RUN_FIGURES = {
    "learning-curve", "accuracy-by-agent", "accuracy-matrix", "accuracy-cost", "topology", "divergence",
    "time-split",
}  # fmt: skip
COMPARISON_FIGURES = {"metrics", "differences", "learning-curves", "learning-speed", "accuracy-cost"}


def images(page: Path) -> list[bytes]:
    found = re.findall(r'<img src="data:image/png;base64,([^"]+)"', page.read_text())
    return [base64.b64decode(one) for one in found]


def figures(page: Path) -> set[str]:
    return {path.stem for path in page.parent.glob("*.png")}


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory, synthetic: SimpleNamespace) -> Path:
    """The report of the made-up run of 4 agents and 5 tasks."""
    return write_report([synthetic.write_run(tmp_path_factory.mktemp("runs") / "quickstart")])


def test_page_lies_in_the_run_folder_with_all_figures(page: Path) -> None:
    assert page.parts[-3:] == ("quickstart", "report", "index.html")
    assert figures(page) == RUN_FIGURES
    assert sorted(images(page)) == sorted(path.read_bytes() for path in page.parent.glob("*.png"))


def test_page_needs_nothing_from_outside(page: Path) -> None:
    text = re.sub(r"base64,[^\"]+", "", page.read_text())
    assert not re.search(r"https?:|//\w|@import|<script|<link|url\(", text)
    assert set(re.findall(r'src="(\w+):', text)) == {"data"}


def test_numbers_on_the_page_are_those_of_the_summary(page: Path) -> None:
    text = page.read_text()
    summary = read_summary(RunFolder(page.parent.parent).summary_file)
    for name in ("final_accuracy", "forgetting", "learning_speed"):
        assert percent(summary["metrics"][name]) in text
    assert bytes_text(summary["communication"]["wire_bytes"]) in text.replace("\N{NO-BREAK SPACE}", " ")
    assert summary["digest"] in text


def test_every_part_of_the_time_is_on_the_page(page: Path) -> None:
    from mpidcl.run.clock import PARTS
    from mpidcl.views.time import view as times

    assert sorted(times.PARTS) == sorted(PARTS)
    text = page.read_text()
    assert all(f"<th>{words}</th>" in text for words in times.PARTS.values())


def test_a_commit_that_is_not_known_has_its_reason_on_the_page(
    tmp_path: Path, synthetic: SimpleNamespace
) -> None:
    path = synthetic.write_run(tmp_path / "a", agents=2, tasks=2, exchange=False)
    where = RunFolder(path)
    where.environment_file.write_text('{"commit": null, "commit_unknown": "installed as a package"}')
    assert "not known: installed as a package" in write_report([path]).read_text()


def test_a_run_without_modules_does_not_speak_of_them(page: Path) -> None:
    assert "candidate" not in page.read_text()


@pytest.mark.parametrize("name", ["index.html", "accuracy.png"])
@pytest.mark.usefixtures("coarse_pictures")
def test_somebody_elses_page_is_not_replaced(tmp_path: Path, synthetic: SimpleNamespace, name: str) -> None:
    run = synthetic.write_run(tmp_path / "run")
    out = tmp_path / "site"
    write_report([run], out)
    theirs = out / name if name == "index.html" else next(out.glob("*.png"))
    write_report([run], out)  # ours may be
    (out / "index.html").unlink()
    theirs.write_text("mine")
    with pytest.raises(RunFolderError, match="stays untouched"):
        write_report([run], out)
    assert theirs.read_text() == "mine"


def test_pictures_are_the_same_bytes_again(page: Path) -> None:
    first = images(page)
    assert images(write_report([page.parent.parent])) == first


def test_out_names_the_folder(tmp_path: Path, synthetic: SimpleNamespace) -> None:
    run = synthetic.write_run(tmp_path / "a", agents=2, tasks=2)
    assert write_report([run], tmp_path / "deep" / "there") == tmp_path / "deep" / "there" / "index.html"
    assert not (run / "report").exists()


def test_a_run_that_sent_nothing(tmp_path: Path, synthetic: SimpleNamespace) -> None:
    page = write_report([synthetic.write_run(tmp_path / "alone", exchange=False, agents=2, tasks=2)])
    assert figures(page) == RUN_FIGURES - {"accuracy-cost", "divergence"}
    assert "Nothing was sent" in page.read_text()


@pytest.mark.parametrize("shape", [(1, 1, 0), (3, 20, 4), (25, 2, 2)])
def test_runs_of_any_shape(tmp_path: Path, synthetic: SimpleNamespace, shape: tuple[int, int, int]) -> None:
    agents, tasks, joint = shape
    page = write_report([synthetic.write_run(tmp_path / "a", agents=agents, tasks=tasks, joint=joint)])
    assert len(images(page)) == len(figures(page)) >= 4


def test_agents_with_different_tasks_and_ticks(tmp_path: Path, synthetic: SimpleNamespace) -> None:
    folder = RunFolder(tmp_path / "a")
    open_folder(folder, synthetic.experiment_toml(), {})
    short = [Evaluation(0, 0, {"accuracy": (0.5,)}, 0.0), Evaluation(0, 3, {"accuracy": (0.8,)}, 1.0)]
    made = [*synthetic.records(2, 4), AgentRecord(2, evaluations=short)]
    folder.finish(made, [(0, 1), (1, 0), (2, 0)], summarise(made))
    assert figures(write_report([folder.path])) == RUN_FIGURES


def test_an_unfinished_run_shows_what_it_has(tmp_path: Path, synthetic: SimpleNamespace) -> None:
    path = synthetic.write_run(tmp_path / "a", agents=2, tasks=2)
    RunFolder(path).summary_file.unlink()
    RunFolder(path).results_file.unlink()
    page = write_report([path])
    assert "not finished" in page.read_text()
    assert "accuracy-matrix" in figures(page)


def test_a_run_without_an_evaluation_is_refused(tmp_path: Path, synthetic: SimpleNamespace) -> None:
    open_folder(RunFolder(tmp_path / "a"), synthetic.experiment_toml(), {})
    with pytest.raises(RunFolderError, match="at least one evaluation"):
        write_report([tmp_path / "a"])


def test_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match="nothing there"):
        write_report([tmp_path / "nowhere"])
    with pytest.raises(RunFolderError, match="at least one run"):
        write_report([])


def test_names_cannot_break_the_page(tmp_path: Path, synthetic: SimpleNamespace) -> None:
    page = write_report([synthetic.write_run(tmp_path / "a", name="<b>&amp;", agents=2, tasks=1)])
    assert "<h1>&lt;b&gt;&amp;amp;</h1>" in page.read_text()


def test_comparison_page(tmp_path: Path, synthetic: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = [
        synthetic.write_run(tmp_path / f"{name}-{seed}", name=name, seed=seed, gain=gain, exchange=gain > 0)
        for name, gain in (("isolated", 0.0), ("sharing", 0.02))
        for seed in (0, 1)
    ]
    monkeypatch.chdir(tmp_path)
    page = write_report(runs)
    assert page == Path("report") / "index.html"
    assert figures(page) == COMPARISON_FIGURES
    text = page.read_text()
    assert "isolated (2 seeds)" in text
    assert "<th>modules</th>" not in text
    assert "8 of 8" in text
    assert "exchange.0.kind" in text


def test_seeds_of_one_experiment_have_no_differences(tmp_path: Path, synthetic: SimpleNamespace) -> None:
    runs = [synthetic.write_run(tmp_path / str(seed), seed=seed) for seed in (0, 1)]
    assert figures(write_report(runs, tmp_path / "here")) == COMPARISON_FIGURES - {"differences"}


def test_groups_without_a_common_seed_have_an_empty_row_of_differences(
    tmp_path: Path, synthetic: SimpleNamespace
) -> None:
    first = synthetic.write_run(tmp_path / "a", seed=0, exchange=False)
    other = synthetic.write_run(tmp_path / "b", seed=1)
    assert "0 of 0" in write_report([first, other], tmp_path / "out").read_text()


def test_matplotlib_is_left_as_it_was_and_imported_by_reports_only(tmp_path: Path) -> None:
    code = (
        "import sys, mpidcl.report.table, mpidcl.record.folder\n"
        "assert 'matplotlib' not in sys.modules and 'torch' not in sys.modules\n"
        "import matplotlib; before = matplotlib.rcParams.copy()\n"
        "import mpidcl.report.page\n"
        "from mpidcl.views.figures.style import styled\n"
        "with styled(): pass\n"
        "assert all(matplotlib.rcParams[key] == before[key] for key in set(before) - {'backend'})\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
    )
    subprocess.run(
        [sys.executable, "-c", code], check=True, env={"PYTHONPATH": ":".join(filter(None, sys.path))}
    )


def test_a_folder_of_runs_is_not_a_run_and_says_what_it_holds(
    tmp_path: Path, synthetic: SimpleNamespace
) -> None:
    run = synthetic.write_run(tmp_path / "runs" / "quickstart")
    with pytest.raises(RunFolderError) as caught:
        write_report([run.parent])
    assert f"runs inside it: {run}" in str(caught.value) and "--out" not in str(caught.value)


def test_groups_without_a_common_seed_have_no_pairs_and_a_page(
    tmp_path: Path, synthetic: SimpleNamespace
) -> None:
    alone = synthetic.write_run(tmp_path / "alone", name="alone", seed=0, exchange=False)
    page = write_report([alone, synthetic.write_run(tmp_path / "b", seed=7)], tmp_path / "report")
    assert figures(page) == COMPARISON_FIGURES and "0 of 0" in page.read_text()


def test_a_star_is_explained_where_there_is_one(tmp_path: Path, synthetic: SimpleNamespace) -> None:
    runs = [synthetic.write_run(tmp_path / f"{seed}", seed=seed) for seed in (0, 1)]
    runs += [synthetic.write_run(tmp_path / f"alone-{seed}", exchange=False, seed=seed) for seed in (0, 1)]
    assert "A name with *" not in write_report(runs, tmp_path / "two").read_text()
    assert "A name with *" in write_report(runs[::2], tmp_path / "one").read_text()
