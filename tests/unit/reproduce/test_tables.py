"""Tables, orderings, headline and costs from made-up finished runs whose numbers are known."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path

import pytest

from mpidcl.experiment.reading import load
from mpidcl.learning.compositional.decisions import DECISIONS, ModuleDecision
from mpidcl.record.folder import RunFolder, open_folder
from mpidcl.record.records import AgentRecord, Evaluation, LedgerRow
from mpidcl.record.tables import to_columns
from mpidcl.reproduce import page
from mpidcl.reproduce.cells import minus, number, seeds_text
from mpidcl.reproduce.cost import MODES, advantage, at_best, at_middle, levels
from mpidcl.reproduce.figures import figures
from mpidcl.reproduce.found import Found, find
from mpidcl.reproduce.headline import headline, headline_lines
from mpidcl.reproduce.orderings import FAILS, HOLDS, UNDECIDED, best_single, judge, verdict
from mpidcl.reproduce.plan import run_folder
from mpidcl.reproduce.protocol import ROWS, Scale, sets_of
from mpidcl.reproduce.published import Number
from mpidcl.reproduce.sweeps import sweep_lines
from mpidcl.reproduce.tables import final_table, short_lines
from mpidcl.views.mean_error import MeanError
from mpidcl.views.summary import summarise

EXAMPLES = Path(__file__).parents[3] / "examples" / "dcl"
FLOATS = 100_000
"""Floats of an agent's training rows."""


def record(agent: int, accuracy: float, sent: int, modules: int = 0) -> AgentRecord:
    """Tasks 0 to 3 joint, then task 4: flat curves, so that every metric is this accuracy."""
    rows = [Evaluation(3, 100, {"accuracy": (accuracy,) * 4}, 4.0, 0, 0)]
    rows += [
        Evaluation(4, tick, {"accuracy": (accuracy,) * 5}, 4 + tick / 100, sent, sent // 4)
        for tick in (0, 1, 100)
    ]
    link = LedgerRow(agent, (agent + 1) % 2, 0, "modules", 1, sent, 0, sent // 4, 0.0)
    decision = ModuleDecision(4, 0, 4, 0.9, 0.8, 1, 4, 4, 1.0, modules)
    tables = {DECISIONS: to_columns(ModuleDecision, [decision])} if modules else {}
    return AgentRecord(agent, 4, rows, [link] if sent else [], tables, {"training_floats": FLOATS})


def write(
    out: Path, row: str, accuracies: list[float], sent: int = 0, dataset: str = "mnist", seed: int = 0
) -> None:
    """A finished run of two agents with these final accuracies."""
    scale = Scale(agents=2)
    sets = [*sets_of(ROWS[row], dataset, scale), f"seed={seed}"]
    folder = RunFolder(run_folder(out, dataset, row, seed))
    open_folder(folder, load(EXAMPLES / f"{ROWS[row].file}.toml", sets).to_toml(), {})
    modules = 6 if row.startswith("modmod") else 0
    made = [record(agent, value, sent, modules) for agent, value in enumerate(accuracies)]
    folder.finish(made, [], summarise(made))


@pytest.fixture
def found(tmp_path: Path) -> Found:
    for seed, luck in enumerate((0.0, 0.03)):
        values = {
            "modular-isolated": (0, 0.0), "modmod-1": (2**20, 0.01), "modmod-3": (3 * 2**20, 0.02),
            "modular-parameters-5": (20 * 2**20, -0.01), "modular-data": (5 * 2**20, 0.005),
            "all-modes": (26 * 2**20, 0.02),
        }  # fmt: skip
        for row, (sent, gain) in values.items():
            write(
                tmp_path, row, [0.90 + luck + gain, 0.92 + luck + gain + 0.001 * bool(gain)], sent, seed=seed
            )
    return find(tmp_path, EXAMPLES)


def test_ours_is_the_mean_over_agents_and_seeds_in_published_units(found: Found) -> None:
    final = found.ours("mnist", "modular-isolated", "final_accuracy")
    assert final is not None and final.mean == pytest.approx(92.5) and final.number == 4
    area = found.ours("mnist", "modular-isolated", "learning_speed_current")
    assert area is not None and area.mean == pytest.approx(101 * 0.925)
    assert found.ours("mnist", "modmod-2", "final_accuracy") is None
    assert found.seeds("mnist", "modmod-1") == [0, 1]


def test_differences_are_paired_so_the_luck_of_a_seed_cancels(found: Found) -> None:
    one = found.difference("mnist", "modmod-1", "modular-isolated", "final_accuracy")
    assert one is not None and one.number == 4
    assert one.mean == pytest.approx(1.05)
    assert one.standard_error == pytest.approx(0, abs=1e-9), "both seeds gain 1.05"
    assert one.seeds == 2


def test_errors_are_over_seeds_and_those_of_one_seed_are_marked(tmp_path: Path) -> None:
    """Seeds end at 91 and 94: deviation 3 / sqrt(2), over sqrt(2)."""
    write(tmp_path, "modular-isolated", [0.90, 0.92], seed=0)
    one = find(tmp_path, EXAMPLES)
    assert "91.00 ± 1.00*" in "\n".join(final_table(one, "mnist", ["modular-isolated"]))
    assert "* One seed" in "\n".join(short_lines(one))
    write(tmp_path, "modular-isolated", [0.94, 0.94], seed=1)
    two = find(tmp_path, EXAMPLES)
    assert "92.50 ± 1.50 |" in "\n".join(final_table(two, "mnist", ["modular-isolated"]))
    assert "One seed" not in "\n".join(short_lines(two))


def test_pairs_that_only_one_row_has_are_left_out(tmp_path: Path, found: Found) -> None:
    write(tmp_path, "modmod-1", [0.1, 0.1], 2**20, seed=2)
    more = find(tmp_path, EXAMPLES)
    assert more.seeds("mnist", "modmod-1") == [0, 1, 2]
    before, after = (
        one.difference("mnist", "modmod-1", "modular-isolated", "final_accuracy") for one in (found, more)
    )
    assert after == before


@pytest.mark.parametrize(
    ("mean", "error", "kind", "expected"),
    [
        (1.0, 0.4, "more", HOLDS),
        (1.0, 0.6, "more", UNDECIDED),
        (-1.0, 0.6, "more", UNDECIDED),
        (-1.0, 0.4, "more", FAILS),
        (0.0, 0.0, "more", UNDECIDED),
        (math.nan, math.nan, "more", UNDECIDED),
        (1.0, 0.4, "no gain", FAILS),
        (1.0, 0.6, "no gain", UNDECIDED),
        (0.1, 0.35, "no gain", HOLDS),
        (0.1, 0.4, "no gain", UNDECIDED),
        (0.0, 0.0, "no gain", HOLDS),
        (-3.0, 0.1, "no gain", HOLDS),
        (-1.0, 0.4, "no loss", FAILS),
        (-1.0, 0.6, "no loss", UNDECIDED),
        (-0.1, 0.35, "no loss", HOLDS),
        (3.0, 0.1, "no loss", HOLDS),
        (-0.5, 0.2, "small", HOLDS),
        (0.5, 0.4, "small", UNDECIDED),
        (-2.0, 0.2, "small", FAILS),
    ],
)
def test_verdicts_by_the_interval_of_eight_seeds(mean: float, error: float, kind: str, expected: str) -> None:
    """It reaches 2.36 standard errors from the mean."""
    assert verdict(MeanError(mean, error, 64, 8), kind) == expected


@pytest.mark.parametrize("kind", ["more", "no gain", "no loss", "small"])
@pytest.mark.parametrize("mean", [-9.0, 0.0, 9.0])
def test_one_seed_is_no_evidence_of_anything(mean: float, kind: str) -> None:
    assert verdict(MeanError(mean, 0.01, 8, 1), kind) == UNDECIDED
    assert verdict(MeanError(mean, math.nan, 1, 1), kind) == UNDECIDED


@pytest.mark.parametrize(("seeds", "expected"), [(2, UNDECIDED), (3, UNDECIDED), (4, HOLDS), (8, HOLDS)])
def test_few_seeds_need_more_than_two_standard_errors(seeds: int, expected: str) -> None:
    """Student's t: 12.7 with two seeds, 4.3 with three, 3.2 with four."""
    assert verdict(MeanError(3.5, 1.0, 8 * seeds, seeds)) == expected


def test_four_agents_of_one_seed_decide_nothing(tmp_path: Path) -> None:
    for row, gain in (("modular-isolated", 0.0), ("modmod-1", 0.02)):
        write(tmp_path, row, [0.90 + gain, 0.91 + gain, 0.92 + gain, 0.93 + gain])
    alone = find(tmp_path, EXAMPLES)
    (one,) = [one for one in judge(alone) if one.claim.metric == "final_accuracy"]
    assert (one.better, one.difference.number) == (4, 4)
    assert (one.difference.over(), one.verdict) == ("4 agents of one seed", UNDECIDED)
    folder = page.write_page(alone, tmp_path / "page").parent
    written = json.loads((folder / "numbers.json").read_text())["headline"]["mnist"]
    assert (written["error_over"], written["interval_reach"]) == ("4 agents of one seed", None)


def test_orderings_are_judged_where_both_rows_were_run(found: Found) -> None:
    judged = {(one.claim.row, one.claim.base, one.claim.metric): one for one in judge(found)}
    assert {one.dataset for one in judged.values()} == {"mnist"}
    assert judged["modmod-1", "modular-isolated", "final_accuracy"].verdict == HOLDS
    assert judged["modmod-1", "modular-data", "learning_speed_current"].verdict == HOLDS
    assert judged["modmod-1", "modular-isolated", "final_accuracy"].better == 4
    assert best_single(found, "mnist") == "modmod-1"
    assert judged["all-modes", "modmod-1", "final_accuracy"].verdict == HOLDS
    assert judged["all-modes", "modmod-3", "final_accuracy"].verdict == HOLDS  # the same numbers
    assert not any(row.startswith("monolithic") for row, _, _ in judged)


def test_the_best_single_mode_is_chosen_on_the_pairs_that_all_modes_have(
    found: Found, tmp_path: Path
) -> None:
    write(tmp_path, "modular-data", [0.99, 0.99], 2**20, seed=2)
    more = find(tmp_path, EXAMPLES)
    best = (
        more.ours("mnist", "modular-data", "final_accuracy"),
        more.ours("mnist", "modmod-1", "final_accuracy"),
    )
    assert best[0] and best[1] and best[0].mean > best[1].mean
    assert best_single(more, "mnist") == best_single(found, "mnist") == "modmod-1"


def test_means_of_the_headline_are_of_the_same_data_sets(found: Found) -> None:
    lines = {
        line.split("|")[1].strip(): line.split("|") for line in headline_lines(found) if "mean of" in line
    }
    assert list(lines) == ["mean of the 1 run", "mean of all 5"]
    ours, whole = (([cell.strip() for cell in cells][2:4]) for cells in lines.values())
    assert ours == ["+1.05", "+0.61"] and whole == ["–", "+1.19"]


def test_the_terminal_gets_the_rows_that_were_run_and_what_to_mind(found: Found) -> None:
    lines = "\n".join(short_lines(found)).splitlines()
    assert len(lines) == 1 + 6 + 1 and "Not the published protocol" in lines[-1]
    assert "93.55 ± 1.50" in next(line for line in lines if "modules, k = 1" in line)
    assert next(line for line in lines if "all modes" in line).endswith("(from the later)  0, 1")


def test_agents_that_send_nothing_are_on_no_axis_of_powers(tmp_path: Path) -> None:
    write(tmp_path, "modular-isolated", [0.9, 0.9])
    write(tmp_path, "modmod-1", [0.9, 0.9])
    assert list(figures(find(tmp_path, EXAMPLES))) == ["learning-speed-mnist"]


def test_the_headline_is_the_gain_and_what_it_cost(found: Found) -> None:
    one = headline(found, "mnist")
    assert one.gain is not None and one.gain.mean == pytest.approx(1.05)
    assert one.relative == pytest.approx(100 * 1.05 / 92.5)
    assert one.published_gain == pytest.approx(0.61)
    assert one.per_set == pytest.approx(4160 / (60_000 * 784))
    assert one.per_agent == pytest.approx(2**20 / 4 / FLOATS)
    assert one.bytes_per_agent == pytest.approx(2**20 / (4 * FLOATS))
    assert headline(found, "cifar100").per_set == pytest.approx(22550 / (50_000 * 3072))
    assert headline(found, "kmnist").gain is None


def test_points_per_mib_and_the_advantage_of_modules(found: Found) -> None:
    rates = {level.row: level.per_mib for level in levels(found, "mnist")}
    assert rates["modmod-1"] == pytest.approx(1.05)
    assert rates["modmod-3"] == pytest.approx(2.05 / 3)
    assert rates["modular-data"] == pytest.approx(0.55 / 5)
    there = levels(found, "mnist")
    best, middle = (
        {mode.name: advantage(where(there, MODES[0]), where(there, mode)) for mode in MODES}
        for where in (at_best, at_middle)
    )
    assert best["data"] == middle["data"] == pytest.approx(1.05 / (0.55 / 5))
    assert best["all modes"] == pytest.approx(1.05 / (2.05 / 26))
    assert best["parameters"] == math.inf  # averaging lost: no rate to compare with
    assert middle["parameters"] is None  # only its largest budget was run
    assert best["data, monolithic"] is None and best["modules"] == 1


def test_a_gain_over_agents_that_begin_alike_is_a_column_of_its_own(found: Found, tmp_path: Path) -> None:
    assert all(level.gain_alike is None for level in levels(found, "mnist") if level.mode.alike)
    write(tmp_path, "modular-isolated-joint", [0.905, 0.925])
    level = next(level for level in levels(find(tmp_path, EXAMPLES), "mnist") if level.row == "modmod-1")
    assert level.gain is not None and level.gain.mean == pytest.approx(1.05)
    assert level.gain_alike is not None and level.gain_alike.mean == pytest.approx(0.55)
    assert level.gain_alike.number == 2  # seed 0 only


def test_a_number_beside_a_published_one() -> None:
    assert number(minus(MeanError(93.0, 0.3, 8, 4), Number(92.0, 0.4)), sign=True) == "+1.00 ± 0.50"
    assert number(minus(MeanError(93.0, 0.3, 8, 4), Number(92.0)), sign=True) == "+1.00 ± 0.30"
    assert minus(None, Number(92.0)) is None and minus(MeanError(1.0, 0.1, 2, 2), None) is None
    assert [seeds_text(seeds) for seeds in ([0], [0, 1], [0, 1, 2], [0, 2, 3])] == [
        "0",
        "0, 1",
        "0-2",
        "0, 2, 3",
    ]


def test_the_page_says_what_is_missing_and_that_the_protocol_is_another(
    found: Found, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MPIDCL_DATA", str(tmp_path))
    monkeypatch.setenv("MPIDCL_CACHE", str(tmp_path))
    write(tmp_path, "modular-isolated", [0.9, 0.9], dataset="digits")
    text = "\n".join(page.page_lines(find(tmp_path, EXAMPLES), []))
    assert "**Not the published protocol: mnist, digits.**" in text
    assert "Different: agents = 2 (published 8)." in text
    assert "| modular, isolated | not published | 90.00 ± 0.00* |" in text
    assert "| monolithic, isolated | not published | not run |" in text
    assert "| modular, isolated | 80.63 ± 0.31 | no data: mpidcl data fetch kmnist |" in text


def test_everything_is_written_and_the_same_runs_give_the_same_bytes(found: Found, tmp_path: Path) -> None:
    first, again = (
        page.write_page(one, tmp_path / name) for one, name in ((found, "a"), (find(tmp_path, EXAMPLES), "b"))
    )
    files = sorted(path.name for path in first.parent.iterdir())
    assert files == [
        "accuracy-bytes-mnist.png", "learning-speed-mnist.png", "numbers.csv", "numbers.json",
        "reproduction.md",
    ]  # fmt: skip
    for name in files:
        assert (first.parent / name).read_bytes() == (again.parent / name).read_bytes()


def test_tables_say_what_they_compare(found: Found) -> None:
    found.departed.clear()
    lines = page.page_lines(found, [])
    cells = {line.split(" | ")[0][2:]: line.split(" | ") for line in final_table(found, "mnist", list(ROWS))}
    assert cells["modular, isolated"][3].startswith("-0.97") and cells["modular, isolated"][4] == "(yes)"
    assert cells["modular, data"][3].startswith("-1.55") and cells["modular, data"][4] == "(**no**)"
    assert cells["all modes"][3].endswith("(from the later)") and cells["all modes"][4] == "(yes)"
    swept = next(line for line in sweep_lines(found, "mnist") if "modules, k = 3" in line)
    assert swept.split(" | ")[3].startswith("+1.00")
    assert not any("Labels of received rows" in line for line in lines)  # one row says nothing of a setting
    area = found.ours("mnist", "modular-isolated", "learning_speed")
    assert area is not None and area.mean == pytest.approx(101 * 0.925)


@pytest.mark.parametrize(
    ("accuracies", "within"),
    [((94.2, 94.5), "(yes)"), ((94.50, 94.51), "yes"), ((96.5, 96.6), "**no**"), ((94.6,), "(yes)")],
)
def test_within_one_is_in_brackets_where_the_interval_does_not_decide(
    tmp_path: Path, accuracies: tuple[float, ...], within: str
) -> None:
    """A published number without an error, so that ours decides; one seed never does."""
    for seed, accuracy in enumerate(accuracies):
        write(tmp_path, "modular-data", [accuracy / 100 - 0.001, accuracy / 100 + 0.001], seed=seed)
    found = find(tmp_path, EXAMPLES)
    found.departed.clear()
    row = final_table(found, "mnist", ["modular-data"])[2]
    assert row.split(" | ")[4] == within


def test_numbers_are_for_other_programs(found: Found, tmp_path: Path) -> None:
    folder = page.write_page(found, tmp_path / "page").parent
    rows = list(csv.DictReader((folder / "numbers.csv").open()))
    assert len(rows) == 6 * 3
    assert {row["error_over"] for row in rows} == {"2 seeds"}
    one = next(row for row in rows if row["row"] == "modmod-1" and row["metric"] == "final_accuracy")
    assert float(one["ours"]) == pytest.approx(93.55) and float(one["published"]) == 94.08
    whole = json.loads((folder / "numbers.json").read_text())
    assert whole["headline"]["mnist"]["gain"] == pytest.approx(1.05)
    assert {one["error_over"] for one in whole["orderings"]} == {"2 seeds"}
    assert all(one["interval_reach"] >= one["standard_error"] for one in whole["orderings"])
    times = whole["bytes"]["mnist"]["modules_times_as_many_points_per_mib"]
    assert times["at_best"]["parameters"] is None
    assert {one["verdict"] for one in whole["orderings"]} <= {"holds", "does not hold", "undecided"}
    assert times["at_middle"]["data"] == pytest.approx(1.05 / (0.55 / 5))


def test_a_run_of_another_size_or_a_broken_one_is_noted(found: Found, tmp_path: Path) -> None:
    assert found.notes == []
    folder = RunFolder(run_folder(tmp_path, "mnist", "modmod-1", 0))
    folder.summary_file.write_text("{")
    text = folder.experiment_file.read_text()
    other = RunFolder(run_folder(tmp_path, "mnist", "modmod-3", 0))
    other.experiment_file.write_text(text.replace("epochs = 100", "epochs = 50"))
    unfinished = RunFolder(run_folder(tmp_path, "mnist", "modular-data", 1))
    unfinished.summary_file.unlink()
    notes = find(tmp_path, EXAMPLES).notes
    assert len(notes) == 3
    assert any("modmod-1" in note and "summary" in note for note in notes)
    assert any("modmod-3" in note and "50 epochs" in note for note in notes)
    assert any("modular-data" in note and "not finished" in note for note in notes)


def test_every_setting_that_departs_from_the_protocol_is_named(tmp_path: Path) -> None:
    sets = [*sets_of(ROWS["modular-parameters-5"], "mnist", Scale(epochs=20)), "learning.lr=0.01", "seed=3"]
    for seed, more in (
        (3, []),
        (4, ["learning.epochs=100", "exchange.0.every=5 epochs", "learning.lr=0.001"]),
    ):
        folder = RunFolder(run_folder(tmp_path, "mnist", "modular-parameters-5", seed))
        text = load(EXAMPLES / "modular-parameters.toml", [*sets, *more, f"seed={seed}"]).to_toml()
        open_folder(folder, text, {})
        made = [record(agent, 0.9, 1000) for agent in range(8)]
        folder.finish(made, [], summarise(made))
    found = find(tmp_path, EXAMPLES)
    assert found.departed == {
        "mnist": "learning.epochs = 20 (published 100), learning.lr = 0.01 (published 0.001)"
    }
    run_folder(tmp_path, "mnist", "modular-parameters-5", 3).rename(tmp_path / "away")
    assert find(tmp_path, EXAMPLES).as_published("mnist")
