"""Tables for people: the right numbers with units, readable in a log, a narrow terminal and plain ASCII."""

from __future__ import annotations

import io
import re
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from mpidcl.base import quantities
from mpidcl.errors import RunFolderError
from mpidcl.experiment import toml
from mpidcl.record.folder import RunFolder, read_summary
from mpidcl.report.loaded import load_run
from mpidcl.report.page import write_report
from mpidcl.report.table import comparison_table, results_table
from mpidcl.views.cost.view import points_per_mib
from mpidcl.views.groups import group_runs, paired_differences
from mpidcl.views.units import interval, with_error


class Screen(io.TextIOWrapper):
    """A terminal of some encoding."""

    def __init__(self, encoding: str) -> None:
        super().__init__(io.BytesIO(), encoding=encoding)

    def isatty(self) -> bool:
        return True


@pytest.fixture
def run(tmp_path: Path, synthetic: SimpleNamespace) -> Path:
    return synthetic.write_run(tmp_path / "quickstart")


def test_results_table_holds_the_numbers_of_the_summary(run: Path) -> None:
    text = results_table(run)
    metrics = read_summary(RunFolder(run).summary_file)["metrics"]
    (line,) = (line for line in text.splitlines() if line.startswith("final accuracy"))
    mean, error = (100 * metrics["final_accuracy"], 100 * metrics["standard_error"]["final_accuracy"])
    cells = [
        f"{mean:.2f}",
        "±",
        f"{error:.2f}*",
        *(f"{100 * one:.2f}" for one in metrics["by_agent"]["final_accuracy"]),
    ]
    assert line.split()[2:] == cells
    assert "* One seed: the error is over the agents that share it" in text
    assert "11.1 MiB" in text
    assert "wall 12.3 s" in text


def test_a_run_that_has_diverged_is_marked_wherever_it_is_told(
    tmp_path: Path, synthetic: SimpleNamespace, coarse_pictures: None
) -> None:
    lost = synthetic.write_run(tmp_path / "lost", name="lost", diverged=(1, 3))
    whole = synthetic.write_run(tmp_path / "whole", name="lost", seed=1)
    other = synthetic.write_run(tmp_path / "other", name="other", exchange=False)
    text = results_table(lost)
    assert "seed 0 (diverged):" in text and "The parameters of agents 1, 3 are no longer finite" in text
    assert read_summary(RunFolder(lost).summary_file)["diverged"] == [1, 3]
    assert "diverged" not in results_table(whole)
    text = " ".join(comparison_table([other, lost, whole]).split())
    assert "lost (diverged: 1 of 2 runs)" in text
    assert "no longer finite numbers in lost (diverged: 1 of 2 runs) seed 0." in text
    assert "diverged" not in comparison_table([other, whole])
    page = write_report([lost], tmp_path / "page").read_text()
    assert "· diverged" in page and "of agents 1, 3 are no longer finite" in page


def test_a_log_gets_no_colour_and_no_trailing_blanks(run: Path) -> None:
    text = results_table(run)
    assert "\x1b" not in text
    assert all(line == line.rstrip() for line in text.splitlines())


@pytest.mark.parametrize("columns", [60, 80, 200])
def test_a_terminal_gets_lines_that_fit(run: Path, monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    monkeypatch.setattr(sys, "stdout", Screen("utf-8"))
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("TERM", "xterm")
    text = re.sub(r"\x1b\[[0-9;]*m", "", results_table(run))
    assert max(len(line) for line in text.splitlines()) <= columns


def test_plain_ascii_where_nothing_else_can_be_shown(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding="ascii"))
    text = results_table(run)
    assert text.isascii()
    assert "+-" in text
    assert "?" not in text


def test_an_unfinished_run_says_so(run: Path) -> None:
    RunFolder(run).summary_file.unlink()
    assert "unfinished" in results_table(run)


def test_an_unfinished_run_in_a_comparison_says_so_and_knows_no_cost(
    tmp_path: Path, synthetic: SimpleNamespace
) -> None:
    whole, part = (synthetic.write_run(tmp_path / name, exchange=name == "a") for name in ("a", "b"))
    RunFolder(part).summary_file.unlink()
    lines = [line for line in comparison_table([whole, part]).splitlines() if "(unfinished: so far)" in line]
    assert lines[0].rstrip().endswith("–") and " 0 B" not in lines[0]
    page = write_report([whole, part], tmp_path / "page").read_text()
    assert "not known before it is finished" in page


def test_frames_of_an_exchange_are_some_of_all_frames(run: Path) -> None:
    frames = read_summary(RunFolder(run).summary_file)["communication"]["frames"]
    rows = [
        line.split() for line in results_table(run).splitlines() if line.startswith(("0 parameters", "all "))
    ]
    assert rows[0][2:5] == [str(frames), "of", str(frames)] and rows[1][1] == str(frames)


def test_a_silent_run_says_so(tmp_path: Path, synthetic: SimpleNamespace) -> None:
    assert "Nothing was sent" in results_table(synthetic.write_run(tmp_path / "a", exchange=False))


def test_modules_have_a_line_of_their_own(tmp_path: Path, synthetic: SimpleNamespace) -> None:
    path = synthetic.write_run(tmp_path / "a", modules=True)
    found = read_summary(RunFolder(path).summary_file)["modules"]
    (line,) = (line for line in results_table(path).splitlines() if line.startswith("modules "))
    assert line.startswith(f"modules {found['mean']:.1f} ± {found['standard_error']:.1f}* per agent")
    assert f"{found['kept']} of {found['candidates']} candidates kept" in line
    assert line.endswith(f"{found['received_kept']} of the {found['received']} received")


def test_comparison_table(tmp_path: Path, synthetic: SimpleNamespace) -> None:
    runs = [
        synthetic.write_run(tmp_path / f"{name}{seed}", name=name, seed=seed, gain=gain, exchange=gain > 0)
        for name, gain in (("isolated", 0.0), ("sharing", 0.02))
        for seed in (0, 1)
    ]
    text = comparison_table(runs)
    (first, *_) = (line.split() for line in text.splitlines() if line.startswith("sharing"))
    assert first[1] == "2"
    assert "One seed" not in text
    assert "8 of 8" in text
    assert "2.78 MiB" in text
    assert "Paired" not in comparison_table(runs[:2])
    assert "modules" not in text
    assert max(map(len, text.splitlines())) <= 150


def test_comparison_table_counts_modules_and_points_per_mib(
    tmp_path: Path, synthetic: SimpleNamespace
) -> None:
    runs = [
        synthetic.write_run(tmp_path / "a", name="alone", gain=0.0, exchange=False),
        synthetic.write_run(tmp_path / "b", name="modular", modules=True),
    ]
    text = comparison_table(runs)
    rows = [line.split() for line in text.splitlines() if line.startswith("modular ")]
    mean = read_summary(RunFolder(runs[1]).summary_file)["modules"]["mean"]
    assert f"{mean:.1f}" in rows[0]
    per_mib = points_per_mib(group_runs([load_run(run) for run in runs]))[1]
    assert rows[-1][-3:] == [f"{per_mib.mean:+.2f}", "±", f"{per_mib.standard_error:.2f}*"]
    assert rows[0][1] == rows[-1][1] == "1"
    assert text.count("* One seed") == 1


def test_differences_have_an_interval_where_there_are_seeds(
    tmp_path: Path, synthetic: SimpleNamespace
) -> None:
    runs = [
        synthetic.write_run(tmp_path / f"{name}{seed}", name=name, seed=seed, gain=gain, exchange=gain > 0)
        for name, gain in (("some", 0.0), ("more", 0.02))
        for seed in (0, 1, 2)
    ]
    mean = paired_differences(group_runs([load_run(run) for run in runs]), "final_accuracy")[0].mean
    low, high = (100 * (mean.mean + side * mean.reach) for side in (-1, 1))
    assert f"{low:+.2f} to {high:+.2f}" in comparison_table(runs)
    assert " to " not in comparison_table([runs[0], runs[3]]), "one seed has no interval"


@pytest.mark.parametrize(
    ("function", "value", "text"),
    [
        (quantities.bytes_text, 0, "0 B"),
        (quantities.bytes_text, 1023, "1023 B"),
        (quantities.bytes_text, 1536, "1.50 KiB"),
        (quantities.bytes_text, 5 * 1024**3, "5.00 GiB"),
        (quantities.count_text, 332_800, "333 k"),
        (quantities.count_text, 999, "999"),
        (quantities.count_text, 1000, "1.00 k"),
        (quantities.seconds_text, 0.0123, "12.3 ms"),
        (quantities.seconds_text, 12.34, "12.3 s"),
        (quantities.seconds_text, 245, "4 min 05 s"),
        (quantities.seconds_text, 7620, "2 h 07 min"),
        (quantities.percent, None, "–"),
        (quantities.percent, float("nan"), "–"),
        (quantities.percent, 0.93468, "93.47"),
    ],
)
def test_quantities_have_units(function: object, value: object, text: str) -> None:
    assert function(value) == text  # type: ignore[operator]


def test_small_shares_and_numbers_keep_their_digits() -> None:
    assert quantities.share_text(1.17e-4) == "0.0117 %"
    assert quantities.share_text(None) == "–"
    assert quantities.share_text(40.6) == "4060 %"
    assert quantities.share_text(3e-9) == "0.000000300 %"
    assert [quantities.significant(n) for n in (0, 0.0304, -2.5, 1e6)] == [
        "0.00",
        "0.0304",
        "-2.50",
        "1000000",
    ]
    assert quantities.number_error(8.12, 0.21) == "8.1 ± 0.2"
    assert quantities.number_error(-0.512, 0.1, digits=2, sign=True) == "-0.51 ± 0.10"
    assert quantities.number_error(0.0512, float("nan"), digits=2, sign=True) == "+0.051"
    assert quantities.points(0.0612) == "+6.1"


def test_an_error_is_left_out_where_there_is_none() -> None:
    assert with_error(0.9, None) == "90.00"
    assert with_error(0.9, 0.001) == "90.00 ± 0.10"
    assert with_error(0.005, 0.001, sign=True) == "+0.50 ± 0.10"
    assert with_error(0.9, 0.001, "*") == "90.00 ± 0.10*"
    assert with_error(0.9, None, "*") == "90.00"
    assert interval(0.005, 0.002) == "+0.30 to +0.70"
    assert interval(0.005, float("inf")) == "–"
    assert with_error(None, None) == "–"


FOREIGN = {
    "markup": "[red]x[/red] [link=http://a]y[/link] :smile: $\\frac$ <b>bold</b> &amp;",
    "escapes": "\x1b[31mred\x1b[0m \x1b]8;;http://a\x07link\x1b]8;;\x07 \x9b2J \r\b up \u202e",
}


@pytest.mark.parametrize("name", FOREIGN)
@pytest.mark.parametrize("terminal", [False, True])
def test_nothing_in_a_foreign_name_acts(
    tmp_path: Path,
    synthetic: SimpleNamespace,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
    terminal: bool,
) -> None:
    """Neither on a terminal nor in a log, nor on the page: in tables, errors, and the names of folders."""
    monkeypatch.setattr(sys, "stdout", Screen("utf-8") if terminal else sys.stdout)
    strange, runs = FOREIGN[name], []
    for seed in (0, 1):
        folder = synthetic.write_run(
            tmp_path / f"{seed} {strange.replace('/', '|')}", name="plain", seed=seed
        )
        file = folder / "experiment.toml"
        tables = {**toml.loads(file.read_text()), "name": f"{seed} {strange}"}
        file.write_text(toml.dumps(tables), encoding="utf-8")
        runs.append(folder)
    visible = strange.encode("unicode_escape").decode() if name == "escapes" else strange
    for text in (results_table(runs[0]), comparison_table(runs)):
        shown = re.sub(r"\x1b\[[\d;]*m", "", text) if terminal else text  # the table's own colours
        assert visible[:6] in shown
        assert all(c.isprintable() or c == "\n" for c in shown)
    page = write_report(runs[:1], tmp_path / "page").read_text()
    assert "<b>bold" not in page
    assert all(c.isprintable() or c in "\n\N{NO-BREAK SPACE}" for c in page)
    (runs[0] / "summary.json").write_text("{")
    with pytest.raises(RunFolderError) as caught:
        results_table(runs[0])
    assert all(c.isprintable() or c == "\n" for c in str(caught.value))
