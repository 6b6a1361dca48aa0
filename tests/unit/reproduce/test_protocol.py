"""The published protocol: rows, their settings at every scale, and the numbers they are held against."""

from __future__ import annotations

import math
import shlex
from pathlib import Path

import pytest

from mpidcl.errors import ExperimentError
from mpidcl.experiment.file import Experiment
from mpidcl.experiment.reading import load
from mpidcl.reproduce.__main__ import main
from mpidcl.reproduce.cost import MODES
from mpidcl.reproduce.figures import CURVES
from mpidcl.reproduce.orderings import SINGLE_MODES
from mpidcl.reproduce.plan import no_data, plan, share
from mpidcl.reproduce.protocol import (
    DATA_SETS,
    QUICK,
    QUICK_ROWS,
    ROWS,
    TOPOLOGIES,
    Scale,
    chosen_rows,
    sets_of,
)
from mpidcl.reproduce.published import ORDER, TABLES, published, published_later
from mpidcl.reproduce.sweeps import SWEEPS

EXAMPLES = Path(__file__).parents[3] / "examples" / "dcl"
EVERYWHERE = (*DATA_SETS, "digits")
PUBLISHED = Scale()


def experiment(row: str, dataset: str, scale: Scale = PUBLISHED) -> Experiment:
    return load(EXAMPLES / f"{ROWS[row].file}.toml", sets_of(ROWS[row], dataset, scale))


@pytest.mark.parametrize("dataset", EVERYWHERE)
@pytest.mark.parametrize("scale", [Scale(), QUICK, Scale(epochs=7)], ids=["full", "quick", "seven"])
def test_every_row_is_a_valid_experiment_on_every_data_set(dataset: str, scale: Scale) -> None:
    for row in ROWS:
        found = experiment(row, dataset, scale)
        assert found.name == row
        assert found.learning.epochs == scale.epochs
        for table in found.exchange:
            assert table.every.unit == "task" or 1 <= table.every.count <= scale.epochs


def test_rows_are_different_experiments() -> None:
    texts = {experiment(row, "mnist").model_copy(update={"name": "x"}).to_toml() for row in ROWS}
    assert len(texts) == len(ROWS)


@pytest.mark.parametrize(
    "row", ["modular-isolated", "modmod-1", "all-modes", "modular-data", "monolithic-data"]
)
def test_a_row_without_changes_is_the_example_file(row: str) -> None:
    assert sets_of(ROWS[row], "mnist") == [f"name={row}"]


def test_the_published_sizes() -> None:
    sizes = {name: experiment("modular-isolated", name) for name in DATA_SETS}
    assert {name: found.agents for name, found in sizes.items()} == {
        "mnist": 8, "kmnist": 8, "fashion-mnist": 8, "cifar100": 8, "combined": 20,
    }  # fmt: skip
    stream = sizes["cifar100"].stream.options
    assert (stream.tasks, stream.classes_per_task, stream.replacement) == (20, 5, False)
    assert (stream.train_per_class, stream.validation_per_class) == (256, None)
    kinds = {row: experiment(row, "cifar100").model for row in ("modular-isolated", "monolithic-data")}
    assert [model.kind for model in kinds.values()] == ["compositional-cnn", "cnn"]
    assert [model.options.width for model in kinds.values()] == [50, 50]


@pytest.mark.parametrize(
    ("row", "exchange", "epochs", "of_20"),
    [
        ("modular-parameters-5", 0, 5, 1),
        ("monolithic-parameters-100", 0, 100, 20),
        ("modular-data-20x5", 0, 16, 3),  # epochs // (n + 1)
        ("modular-data-20x10", 0, 9, 1),
        ("modular-data-20x1", 0, 50, 10),
        ("all-modes", 1, 5, 1),
        ("all-modes", 2, 16, 3),
        ("all-modes-small", 1, 100, 20),
    ],
)
def test_periods_are_the_published_ones_and_shrink_with_the_epochs(
    row: str, exchange: int, epochs: int, of_20: int
) -> None:
    for scale, period in ((PUBLISHED, epochs), (Scale(epochs=20), of_20)):
        assert experiment(row, "mnist", scale).exchange[exchange].every.count == period


def test_received_rows_have_the_published_room() -> None:
    for queries in (10, 20, 30):
        for times in (1, 5, 10):
            table = experiment(f"modular-data-{queries}x{times}", "mnist").exchange[0]
            assert table.options.queries == queries
            assert str(table.options.capacity) == f"{max(32, queries * times)} rows per task"


def test_class_ids_do_not_compare_across_data_sets() -> None:
    for row in ("modmod-1", "modmod-3", "all-modes"):
        assert experiment(row, "mnist").exchange[0].options.rank_by == "label"
        assert experiment(row, "combined").exchange[0].options.rank_by == "leep"


def test_more_modules_are_tried_out() -> None:
    chosen = {count: experiment(f"modmod-{count}", "mnist").exchange[0].options for count in (1, 2, 3, 4)}
    assert [one.count for one in chosen.values()] == [1, 2, 3, 4]
    assert [one.choose for one in chosen.values()] == ["trust", "try-out", "try-out", "try-out"]


def test_the_published_p_is_the_share_of_dropped_edges() -> None:
    found = {name: experiment(f"modmod-1-{name}", "mnist").network for name in TOPOLOGIES}
    random = {name: network.probability for name, network in found.items() if "renyi" in name}
    assert [1 - float(name.rsplit("-", 1)[1]) for name in random] == pytest.approx(list(random.values()))


def test_a_control_changes_one_setting() -> None:
    plain, joint = (
        experiment(row, "mnist", Scale(sets=("name=x",)))
        for row in ("modular-isolated", "modular-isolated-joint")
    )
    options = plain.stream.options
    assert not options.joint_shared and joint.stream.options.joint_shared
    changed = options.model_copy(update={"joint_shared": True})
    assert plain.model_copy(update={"stream": plain.stream.model_copy(update={"options": changed})}) == joint


@pytest.mark.parametrize(
    ("row", "dataset", "value"),
    [
        ("modular-isolated", "mnist", 93.47),
        ("monolithic-isolated", "cifar100", 63.11),
        ("modular-parameters-5", "fashion-mnist", 93.23),
        ("monolithic-parameters-100", "cifar100", 63.69),
        ("modmod-1", "cifar100", 72.72),
        ("modmod-4", "fashion-mnist", 93.98),
        ("modular-data", "mnist", 94.60),
    ],
)
def test_published_final_accuracies(row: str, dataset: str, value: float) -> None:
    found = published("final_accuracy", row, dataset)
    assert found is not None and found.mean == value


def test_published_tables_are_whole() -> None:
    for tables in TABLES.values():
        for table in tables:
            assert table.keys() <= ROWS.keys()
            for means, errors in table.values():
                assert len(means) <= len(ORDER) and len(errors) in (len(means), len(ORDER))
                assert all(math.isnan(mean) or 50 < mean < 101 for mean in means)
                assert all(math.isnan(error) or 0 < error < 1.5 for error in errors)


def test_what_was_not_published_is_none() -> None:
    assert published("final_accuracy", "modular-data", "cifar100") is None
    assert published("final_accuracy", "all-modes", "mnist") is None
    assert published("final_accuracy", "modular-isolated", "digits") is None
    later = published_later("final_accuracy", "all-modes", "mnist")
    assert later is not None and later.mean == 94.57


def test_what_tables_and_figures_name_are_rows() -> None:
    named = [row for sweep in SWEEPS for row in sweep.rows]
    named += [row for mode in MODES for row in (mode.base, *mode.levels)]
    assert {*named, *CURVES, *SINGLE_MODES, *QUICK_ROWS} <= ROWS.keys()
    assert all(len(mode.levels) == 3 for mode in MODES)


def test_the_plan_has_each_run_once_and_shares_are_its_parts() -> None:
    rows = chosen_rows(["main"], quick=False)
    runs = plan(rows, ["mnist", "kmnist"], [0, 1], Scale(), EXAMPLES, Path("out"))
    assert len({run.folder for run in runs}) == len(runs) == 2 * 2 * len(rows)
    parts = [share(runs, index, 5) for index in range(5)]
    assert sorted(run.folder for part in parts for run in part) == sorted(run.folder for run in runs)
    assert max(map(len, parts)) - min(map(len, parts)) <= 1
    with pytest.raises(ExperimentError, match="between 0 and 4"):
        share(runs, 5, 5)


def test_the_main_table_comes_before_the_sweeps_and_seed_by_seed() -> None:
    runs = plan(list(ROWS.values()), ["mnist"], [3, 4], Scale(), EXAMPLES, Path("out"))
    assert [(not run.row.main, run.seed) for run in runs] == sorted(
        (not run.row.main, run.seed) for run in runs
    )


def test_rows_are_chosen_by_name() -> None:
    assert [row.name for row in chosen_rows(["modmod-1", "modular-isolated"], False)] == [
        "modular-isolated",
        "modmod-1",
    ]
    main_rows, sweeps = (chosen_rows([word], False) for word in ("main", "sweeps"))
    assert len(main_rows) + len(sweeps) == len(ROWS)
    with pytest.raises(ExperimentError, match="modmod-9"):
        chosen_rows(["modmod-9"], False)


def test_a_listed_command_says_the_same_as_the_plan(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["dcl", "--list", "--only", "all-modes-small", "--datasets", "combined", "--seeds", "5"]
    assert main([*words, "--examples", str(EXAMPLES), "--out", "a folder"]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    (run,) = plan([ROWS["all-modes-small"]], ["combined"], [5], Scale(), EXAMPLES, Path("a folder"))
    assert shlex.split(line) == ["mpidcl", *run.words("inprocess")]
    assert load(run.file, run.sets).seed == 5


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--datasets", "mnits"], "Found mnits"),
        (["--only", "modmod"], "Found modmod"),
        (["--index", "1"], "go together"),
        (["--set", "learning.epochs=3"], "use --epochs"),
        (["--index", "4", "--of", "4"], "between 0 and 3"),
        (["--tables", "--index", "0", "--of", "4"], "leave out --index"),
    ],
)
def test_wrong_words_are_said_with_status_2(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["dcl", "--list", "--examples", str(EXAMPLES), *words]) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    "words", [["--seeds", "3-1"], ["--seeds", "x"], ["--seeds", "-1"], ["--seeds", ","], ["--only", ","]]
)
def test_an_empty_or_unreadable_list_is_never_everything(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["dcl", "--list", "--examples", str(EXAMPLES), *words])
    assert stopped.value.code == 2
    said = capsys.readouterr()
    assert "should" in said.err and not said.out


def test_epochs_of_a_trial_may_be_set(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--only", "modmod-3", "--datasets", "mnist", "--set", "exchange.0.trial_epochs=5"]
    assert main(["dcl", "--list", "--examples", str(EXAMPLES), "--seeds", "0-1,4", *words]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[-1] for line in lines] == ["seed=0", "seed=1", "seed=4"]


def test_a_data_set_that_is_not_here_is_named_with_its_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MPIDCL_DATA", str(tmp_path))
    monkeypatch.setenv("MPIDCL_CACHE", str(tmp_path))
    assert no_data("digits") is None
    assert no_data("kmnist") == "no data: mpidcl data fetch kmnist"
    assert no_data("combined") == "no data: mpidcl data fetch mnist kmnist fashion-mnist"
    of = Scale(sets=('stream.data.of=["digits", "mnist"]',))
    (run,) = plan([ROWS["modular-isolated"]], ["combined"], [0], of, EXAMPLES, tmp_path)
    assert no_data("combined", run.data_options) == "no data: mpidcl data fetch mnist"


def test_the_modular_files_differ_only_in_what_is_shared() -> None:
    files = {
        name: load(EXAMPLES / f"{name}.toml", ["name=x"]) for name in {row.file for row in ROWS.values()}
    }
    alone = {
        name: load(EXAMPLES / f"{name}.toml", ["name=x", "exchange=[]", "stream.joint_shared=false"])
        for name in files
        if not name.startswith("monolithic")
    }
    assert len(alone) == 5 and all(found == alone["modular-isolated"] for found in alone.values())
    shared = {name for name in files if files[name].stream.options.joint_shared}
    assert shared == {"modular-parameters", "modmod", "all-modes", "monolithic-parameters"}
    kinds = [[table.kind for table in files[name].exchange] for name in ("modmod", "all-modes")]
    assert kinds == [["modules"], ["modules", "parameters", "data"]]
    assert files["all-modes"].exchange == tuple(
        files[name].exchange[0] for name in ("modmod", "modular-parameters", "modular-data")
    )


def test_modular_and_monolithic_agents_learn_from_the_same_tasks() -> None:
    modular, monolithic = (load(EXAMPLES / f"{base}-isolated.toml") for base in ("modular", "monolithic"))
    for part in ("stream", "memory", "network", "evaluation", "agents"):
        assert getattr(modular, part) == getattr(monolithic, part)
