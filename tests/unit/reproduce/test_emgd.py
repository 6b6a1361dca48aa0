"""`scripts/reproduce emgd`: every run is a valid experiment, and tables say what the runs say."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from mpidcl.errors import ExperimentError
from mpidcl.experiment.reading import load
from mpidcl.learning.parallel.course import COURSE, ParallelCourse
from mpidcl.learning.parallel.steps import STEPS, StepLog
from mpidcl.record.folder import RunFolder, open_folder
from mpidcl.record.records import AgentRecord, Evaluation
from mpidcl.reproduce.__main__ import main
from mpidcl.reproduce.emgd.found import Found, find, over_seeds
from mpidcl.reproduce.emgd.methods import GROUPS, METHODS, chosen_methods
from mpidcl.reproduce.emgd.orderings import claims, judge
from mpidcl.reproduce.emgd.page import page_lines, short_lines, write_page
from mpidcl.reproduce.emgd.plan import Asked, places, plan
from mpidcl.reproduce.emgd.streams import NUMBERS, SEEDS, STREAMS, Cell, Place, data_sets, memory_words
from mpidcl.reproduce.plan import Planned
from mpidcl.views.summary import summarise

EXAMPLES = Path(__file__).parents[3] / "examples" / "emgd"
HERE = Place(0, 0, 1234)


def planned(**asked: object) -> list[Planned]:
    defaults = {"datasets": ["digits"], "modes": ["class"], "places": [HERE], "split": "bymerge:test"}
    return plan(Asked(**(defaults | asked)), EXAMPLES, Path("out"))  # type: ignore[arg-type]


# --- what is run ----------------------------------------------------------------------------------


@pytest.mark.parametrize("quick", [False, True])
@pytest.mark.parametrize("dataset", STREAMS)
def test_every_run_is_a_valid_experiment_with_its_own_name_and_folder(dataset: str, quick: bool) -> None:
    runs = planned(datasets=[dataset], methods=GROUPS, modes=["class", "task"], quick=quick)
    assert len(runs) == 2 * len(METHODS) == len({run.folder for run in runs})
    for run in runs[:: 7 if dataset != "digits" else 1]:
        experiment = load(run.file, run.sets)
        stream = experiment.stream.options
        assert run.row.name.endswith(experiment.name) and experiment.agents == 1 and experiment.seed == 1234
        assert stream.incremental == run.folder.parts[-4] and experiment.stream.dataset == dataset


def test_methods_are_the_combiners_and_editors_that_their_names_say() -> None:
    said = {}
    for run in planned(methods=GROUPS):
        options = load(run.file, run.sets).learning.options
        editing = options.editing.kind if options.editing else None
        said[run.folder.parts[-2]] = (options.combiner.kind, editing, options.combiner.options)
    assert said["mean"][:2] == ("mean", None) and said["upgrad"][:2] == ("upgrad", None)
    assert said["elastic"][:2] == ("elastic", None) and said["elastic"][2].sigma == "softmax_ema"
    assert said["elastic-align"][:2] == ("elastic", "align")
    assert said["elastic-gmc-align"][:2] == ("elastic", "align") and said["elastic-gs"][1] is None
    for mode in ("ema_norm", "gmc", "gs", "ones"):
        assert said[f"elastic-{mode}"][2].sigma == said[f"elastic-{mode}-align"][2].sigma == mode
    for kind in ("random", "negated", "conflict"):
        assert said[f"elastic-{kind}"][:2] == ("elastic", kind)
    rules = {name: (found[2].floor, found[2].safe) for name, found in said.items() if found[0] == "elastic"}
    assert rules.pop("elastic-free") == rules.pop("elastic-free-align") == (False, True)
    assert rules.pop("elastic-safe") == ("released", True)
    assert set(rules.values()) == {("released", False)}, "the rule of the public code"
    core = {name for name, method in METHODS.items() if method.group == "core"}
    assert {"elastic", "elastic-free"} <= core


def test_the_published_places_are_all_pairs_under_all_seeds() -> None:
    found = places(NUMBERS, NUMBERS, SEEDS)
    assert len(found) == len(set(found)) == 27 and found[0] == HERE
    assert [place.seed for place in found[:9]] == [1234] * 9


def test_label_set_timeline_and_seed_are_in_the_run() -> None:
    (run,) = planned(datasets=["cifar100"], places=[Place(2, 1, 1236)], methods=["mean"])
    experiment = load(run.file, run.sets)
    stream = experiment.stream.options
    assert (stream.label_set, stream.timeline, experiment.seed) == (2, "cifar100-1", 1236)
    (run,) = planned(datasets=["emnist"], places=[Place(2, 1, 1236)], methods=["mean"])
    stream = load(run.file, run.sets).stream.options
    assert (stream.timeline, stream.timeline_seed) == ("random", 1)
    assert stream.data == {"split": "bymerge", "part": "test"} == run.data_options


@pytest.mark.parametrize("dataset", STREAMS)
def test_the_usual_memory_is_that_of_the_example_file(dataset: str) -> None:
    (run,) = planned(datasets=[dataset], methods=["mean"])
    usual = load(run.file).memory.capacity
    assert load(run.file, run.sets).memory.capacity == usual
    assert run.folder.parts[-5] == f"memory-{STREAMS[dataset].memory}"
    assert (str(STREAMS[dataset].memory) in memory_words(dataset, 50)) and "50 rows" in memory_words(
        dataset, 50
    )


def test_sizes_of_the_memory_lie_beside_each_other() -> None:
    runs = planned(methods=["mean", "elastic"], memories=[10, 50])
    assert [run.folder.parts[-5] for run in runs] == ["memory-10"] * 2 + ["memory-50"] * 2
    assert len({run.title for run in runs}) == len({run.folder for run in runs}) == 4
    assert [str(load(run.file, run.sets).memory.capacity) for run in runs[1:3]] == [
        "10 rows per class", "50 rows per class",
    ]  # fmt: skip


def test_core_methods_come_first_everywhere() -> None:
    runs = planned(modes=["class", "task"], places=places([0, 1], [0], [1, 2]), methods=["main", "core"])
    groups = [METHODS[run.folder.parts[-2]].group for run in runs]
    assert groups == ["core"] * 40 + ["main"] * 24


def test_elastic_factors_are_compared_where_runs_are_short() -> None:
    usual = {name: {m.group for m in chosen_methods(None, name, False)} for name in STREAMS}
    assert usual["emnist"] == {"core", "main", "sigma"} and usual["cifar100"] == {"core", "main"}
    assert [m.name for m in chosen_methods(["sum", "mean"], "emnist", False)] == ["mean", "sum"]


def test_the_split_of_emnist_is_by_class_unless_another_is_at_hand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MPIDCL_DATA", str(tmp_path))
    monkeypatch.setenv("MPIDCL_CACHE", str(tmp_path))
    assert data_sets("emnist", None) == ["stream.data.split=byclass", "stream.data.part=both"]
    assert data_sets("emnist", "letters") == ["stream.data.split=letters", "stream.data.part=both"]
    for name in ("emnist-balanced-test", "emnist-bymerge-test"):
        for part in ("images-idx3", "labels-idx1"):
            (tmp_path / "emnist").mkdir(exist_ok=True)
            (tmp_path / "emnist" / f"{name}-{part}-ubyte.gz").touch()
    found = data_sets("emnist", None)
    assert found[1] == "stream.data.part=test" and found[0].endswith(("balanced", "bymerge"))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--datasets", "mnist"], "--datasets should be of emnist, cifar100"),
        (["--modes", "domain"], "--modes should be of class, task. Found domain"),
        (["--memory", "0,5"], "should be at least 1 row per class"),
        (["--methods", "elastc"], "--methods should name methods or groups of them. Found elastc"),
        (["--index", "1"], "--index and --of go together"),
        (["--index", "9", "--of", "3"], "--index should be between 0 and 2"),
        (["--examples", "nowhere"], "--examples should be the folder examples/emgd"),
    ],
)
def test_wrong_words_are_refused(
    words: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["emgd", "--examples", str(EXAMPLES), "--out", str(tmp_path), *words]) == 2
    assert message in capsys.readouterr().err


def test_a_list_of_commands_is_one_per_run(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["emgd", "--list", "--datasets", "cifar100", "--seeds", "1234-1235", "--label-sets", "0,1"]
    assert main([*words, "--modes", "class", "--methods", "core", "--examples", str(EXAMPLES)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 * 2 * 3 * 5 == len(set(lines))
    assert all(line.startswith("mpidcl run ") and "--driver inprocess" in line for line in lines)


# --- what is written ------------------------------------------------------------------------------


def record(first: float, final: float) -> AgentRecord:
    """Two tasks with these accuracies, less among all classes; two steps, one of them no descent."""
    course = ParallelCourse.planned((0, 0), (0, 1), (0, 0))
    course.first[:] = [first, first - 0.01]
    course.final[:] = [final, final - 0.02]
    log = StepLog(2, 2)
    opposed, alike = (np.array([[1.0, cosine], [cosine, 1.0]]) for cosine in (-0.5, 0.5))
    log.add(0, (0, 1), opposed, np.array([1.0, 0.1]), None, np.ones(2))
    log.add(1, (-1, 1), alike, np.array([0.5, 0.5]), None, np.ones(2), moved=np.array([0.1, 0.3]))
    rows = [Evaluation(0, 2, {"accuracy": (final, final)}, 1.0)]
    return AgentRecord(0, 0, rows, tables={COURSE: course.table(), STEPS: log.table()})


def write(
    out: Path,
    method: str,
    place: Place,
    first: float,
    final: float,
    *sets: str,
    memory: int = 30,
    mode: str = "class",
) -> None:
    asked = Asked(["cifar100"], [mode], [place], [method], sets=sets, memories=[memory])
    (run,) = plan(asked, EXAMPLES, out)
    folder = RunFolder(run.folder)
    open_folder(folder, load(run.file, run.sets).to_toml(), {})
    made = [record(first, final)]
    folder.finish(made, [], summarise(made))


PLACES = [Place(label, line, seed) for seed in (1234, 1235) for label in (0, 1) for line in (0, 2)]
LUCK = dict(zip(PLACES, (0.0, 0.01, 0.05, 0.02, 0.1, 0.12, 0.11, 0.15), strict=True))


@pytest.fixture
def found(tmp_path: Path) -> Found:
    for number, (place, luck) in enumerate(LUCK.items()):
        write(tmp_path, "mean", place, 0.5 + luck, 0.3 + luck)
        write(tmp_path, "elastic", place, 0.5 + luck, 0.34 + luck + 0.001 * (number % 4))
        write(
            tmp_path,
            "elastic-align",
            place,
            0.5 + luck,
            0.33 + luck + 0.001 * (number % 2) + 0.0002 * (number > 3),
        )
    return find(tmp_path, EXAMPLES)


def test_numbers_are_percent_and_forgetting_is_negative(found: Found) -> None:
    one = found.outcomes[Cell("cifar100", "class", 30, "mean")][HERE]
    assert one["first_accuracy"] == pytest.approx(50) and one["final_accuracy"] == pytest.approx(30)
    assert one["forgetting"] == pytest.approx(-20) and one["forgetting_all_classes"] == pytest.approx(-21)
    assert one["conflict"] == pytest.approx(50) and one["edited"] == pytest.approx(0.2)
    assert one["ascent"] == pytest.approx(50), "at step 0 the loss of task 1 rises"


def test_errors_are_over_the_means_of_the_seeds(found: Found) -> None:
    """Places of one seed share what it decides; with one seed the error is over places, and marked."""
    one = found.mean(Cell("cifar100", "class", 30, "mean"), "final_accuracy")
    seeds = [np.mean([100 * luck for place, luck in LUCK.items() if place.seed == s]) for s in (1234, 1235)]
    assert one.number == 8 and one.mean == pytest.approx(30 + np.mean(seeds))
    assert one.standard_error == pytest.approx(abs(seeds[0] - seeds[1]) / 2) and one.mark == ""
    alone = over_seeds({HERE: 3.0, Place(1, 0, 1234): 4.0})
    assert alone.standard_error == pytest.approx(0.5) and alone.mark
    assert alone.over("place") == "2 places of one seed"


def test_differences_are_paired_by_place(found: Found, tmp_path: Path) -> None:
    cell = Cell("cifar100", "class", 30, "elastic")
    difference = found.difference(cell, "mean", "final_accuracy")
    assert difference.mean == pytest.approx(4.15) and difference.number == 8
    write(tmp_path, "pcgrad", PLACES[3], 0.5, 0.3 + LUCK[PLACES[3]] + 0.07)
    again = find(tmp_path, EXAMPLES)
    alone = again.difference(cell._replace(method="pcgrad"), "mean", "final_accuracy")
    assert alone.mean == pytest.approx(7) and alone.number == 1


def test_orderings_hold_fail_or_are_undecided(found: Found) -> None:
    judged = {(one.claim.method, one.claim.base, one.claim.metric): one for one in judge(found)}
    assert judged["elastic", "mean", "final_accuracy"].verdict == "holds"
    assert judged["elastic", "mean", "forgetting"].verdict == "holds"
    assert judged["elastic-align", "elastic", "final_accuracy"].verdict == "**does not hold**"
    assert judged["elastic-align", "mean", "final_accuracy"].difference.over("place") == "2 seeds"
    assert judged["elastic-align", "mean", "final_accuracy"].better == 8
    assert not any("sum" in key for key in judged)
    assert {claim.method for claim in claims()} | {claim.base for claim in claims()} <= set(METHODS)


def test_places_of_one_seed_decide_nothing(tmp_path: Path) -> None:
    for number, place in enumerate(PLACES[:4]):
        write(tmp_path, "mean", place, 0.5, 0.3)
        write(tmp_path, "elastic", place, 0.5, 0.34 + 0.001 * number)
    found = find(tmp_path, EXAMPLES)
    one = next(one for one in judge(found) if one.claim.metric == "final_accuracy")
    assert (one.better, one.verdict) == (4, "undecided")
    assert one.difference.over("place") == "4 places of one seed"
    assert "+4.15 ± 0.06*" in "\n".join(page_lines(found))
    assert "* One seed: the error is over the places that share it" in "\n".join(short_lines(found))


def section(text: str, title: str) -> str:
    """From a heading to the next."""
    (found,) = [part for part in text.split("\n## ") if part.startswith(title)]
    return found


def test_the_page_says_that_nothing_was_published_and_what_departs(found: Found) -> None:
    text = "\n".join(page_lines(found))
    assert "No number of the publication is known" in text
    assert "negative where something was forgotten" in text and "Not the settings" not in text
    departs = section(text, "What departs from the publication")
    assert "1/(n+1) or above, without a safe re-solve: `elastic` is that rule" in departs
    assert "`floor = false, safe = true`) is ours" in departs
    assert "+4.15" in "\n".join(short_lines(found))


def test_the_mask_of_all_classes_is_shown_where_it_says_something_else(tmp_path: Path) -> None:
    for mode in ("class", "task"):
        write(tmp_path, "mean", HERE, 0.5, 0.3, mode=mode)
    text = "\n".join(page_lines(find(tmp_path, EXAMPLES)))
    apart = [section(text, f"PS-CIFAR-100, {mode}-incremental, 30 rows") for mode in ("class", "task")]
    (header, row), (longer, more) = (
        [line for line in part.splitlines() if line.startswith(("| method", "| mean"))][:2] for part in apart
    )
    assert "all classes" not in header and row.split(" | ")[1:4] == ["50.00", "30.00", "-20.00"]
    assert "final, all classes" in longer and more.split(" | ")[6] == "-21.00"


def test_sizes_of_the_memory_are_beside_each_other_on_the_page(found: Found, tmp_path: Path) -> None:
    for place in PLACES:
        write(tmp_path, "mean", place, 0.5, 0.6, memory=50)
        write(tmp_path, "elastic", place, 0.5, 0.58 + 0.01 * (place.seed % 2), memory=50)
    again = find(tmp_path, EXAMPLES)
    assert again.memories("cifar100", "class") == [30, 50]
    text = "\n".join(page_lines(again))
    rows = [line for line in section(text, "PS-CIFAR-100, class-incremental: sizes").splitlines()]
    (row,) = [line for line in rows if line.startswith("| elastic |")]
    cells = row.strip("| ").split(" | ")
    assert cells[2].startswith("+4.") and cells[5].startswith("-1.5") and cells[6] == "2 seeds"
    assert section(text, "PS-CIFAR-100, class-incremental, 50 rows per class (published: 30)")
    verdicts = {
        one.group.memory: one.verdict for one in judge(again) if one.claim.words.endswith("than mean")
    }
    assert set(verdicts) == {30, 50}
    assert not find(tmp_path, EXAMPLES).departed["cifar100"], "the title says what the memory is"


def test_who_decides_is_in_the_table_of_the_steps(tmp_path: Path) -> None:
    write(tmp_path, "mean", HERE, 0.5, 0.3)
    (one,) = find(tmp_path, EXAMPLES).outcomes[Cell("cifar100", "class", 30, "mean")].values()
    assert one["alone"] == pytest.approx(50), "the first step has weights 1 and 0.1"
    assert one["memorised"] == 0
    assert one["length"] == pytest.approx(0.75**0.5), "the second step has a memory"


def test_departures_from_the_published_settings_are_said(tmp_path: Path) -> None:
    write(tmp_path, "mean", HERE, 0.5, 0.3, "model.width=8", "learning.threads=2")
    text = "\n".join(page_lines(find(tmp_path, EXAMPLES)))
    assert "**Not the settings of the example files**: model.width = 8 (there: 64)." in text


def test_the_same_runs_give_the_same_files(found: Found, tmp_path: Path) -> None:
    write_page(found, tmp_path / "a")
    write_page(find(tmp_path, EXAMPLES), tmp_path / "b")
    names = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert names == ["numbers.csv", "numbers.json", "reproduction.md", "runs.csv"]
    assert all((tmp_path / "a" / n).read_bytes() == (tmp_path / "b" / n).read_bytes() for n in names)
    rows = list(csv.DictReader((tmp_path / "a" / "runs.csv").open()))
    assert len(rows) == 24 and float(rows[0]["forgetting"]) == pytest.approx(-20)
    whole = json.loads((tmp_path / "a" / "numbers.json").read_text())
    assert len(whole["runs"]) == 24 and whole["not_as_published"] == {"cifar100": {}}


def test_folders_that_are_none_of_ours_or_not_finished_are_left_out(tmp_path: Path) -> None:
    write(tmp_path, "mean", HERE, 0.5, 0.3)
    (tmp_path / "runs" / "cifar100" / "class" / "l0-tx" / "mean" / "seed-1").mkdir(parents=True)
    asked = Asked(["cifar100"], ["class"], [HERE], ["sum"])
    (run,) = plan(asked, EXAMPLES, tmp_path)
    open_folder(RunFolder(run.folder), load(run.file, run.sets).to_toml(), {})
    found = find(tmp_path, EXAMPLES)
    assert list(found.outcomes) == [Cell("cifar100", "class", 30, "mean")]
    assert len(found.notes) == 1 and "not finished" in found.notes[0]


def test_unknown_streams_are_refused() -> None:
    with pytest.raises(ExperimentError, match="--datasets should be of"):
        planned(datasets=["mnist"], methods=["mean"])


def test_real_runs_give_tables_and_are_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["emgd", "--quick", "--datasets", "digits", "--modes", "class", "--methods", "mean,elastic-align"]
    words += ["--out", str(tmp_path / "out"), "--examples", str(EXAMPLES), "--jobs", "1"]
    words += ["--set", "stream.steps_per_task=6"]
    assert main(words) == 0
    said = capsys.readouterr().out
    assert "2 runs: 2 new" in said and "digits memory-10-class-l0-t0-mean seed 1234: done" in said
    text = (tmp_path / "out" / "reproduction.md").read_text()
    assert "## digits, class-incremental" in text and "elastic, editing" in text
    assert main(words) == 0
    assert "2 runs: 2 finished" in capsys.readouterr().out
    assert (tmp_path / "out" / "reproduction.md").read_text() == text


def test_tables_of_nothing_are_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["emgd", "--tables", "--out", str(tmp_path / "none"), "--examples", str(EXAMPLES)]
    assert main(words) == 2
    assert "no finished run yet" in capsys.readouterr().out and not (tmp_path / "none").exists()
