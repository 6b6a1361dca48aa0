"""`scripts/reproduce baselines`: every run is a valid experiment, and tables say what the runs say."""

from __future__ import annotations

import csv
import json
from itertools import groupby
from pathlib import Path

import pytest

from mpidcl.errors import RunFolderError
from mpidcl.experiment.reading import load
from mpidcl.reproduce.__main__ import main
from mpidcl.reproduce.baselines.found import COSTS, METRICS, Found, find
from mpidcl.reproduce.baselines.methods import METHODS, settings_of
from mpidcl.reproduce.baselines.page import page_lines, short_lines, write_page
from mpidcl.reproduce.baselines.plan import Asked, plan
from mpidcl.reproduce.baselines.published import MAMMOTH, PUBLISHED
from mpidcl.reproduce.baselines.streams import NETWORKED, STREAMS, Cell
from mpidcl.reproduce.plan import Planned
from mpidcl.run import simulation

EXAMPLES = Path(__file__).parents[3] / "examples" / "baselines"
HERE = [name for name in METHODS if (EXAMPLES / f"{name}.toml").is_file()]


def planned(stream: str = "split-mnist", **asked: object) -> list[Planned]:
    defaults = {"streams": [stream], "seeds": [3], "methods": HERE}
    return plan(Asked(**(defaults | asked)), EXAMPLES, Path("out"))  # type: ignore[arg-type]


# --- what is run ----------------------------------------------------------------------------------


@pytest.mark.parametrize("quick", [False, True])
@pytest.mark.parametrize("stream", STREAMS)
def test_every_run_is_a_valid_experiment_with_its_own_name_and_folder(stream: str, quick: bool) -> None:
    runs = planned(stream, quick=quick, networked=quick)
    assert len({run.folder for run in runs}) == len({run.title for run in runs}) == len(runs)
    for run in runs[:: 3 if quick else 1]:
        experiment = load(run.file, run.sets)
        options = experiment.stream.options
        assert experiment.seed == 3 and experiment.stream.dataset == STREAMS[stream].dataset
        assert (options.incremental, options.validation_share) == ("class", 0.05 if quick else 0)
        assert options.class_order == "by id" and options.tasks == STREAMS[stream].tasks


@pytest.mark.parametrize("stream", STREAMS)
def test_joint_training_has_all_tasks_of_the_stream(stream: str) -> None:
    (run,) = planned(stream, methods=["joint"])
    options = load(run.file, run.sets).stream.options
    assert options.joint_tasks == options.tasks == STREAMS[stream].tasks


def test_every_method_has_its_example_file() -> None:
    assert set(HERE) == set(METHODS) == {file.stem for file in EXAMPLES.glob("*.toml")} - {"derpp-ring"}


def test_settings_are_those_of_mammoth_for_the_buffer() -> None:
    said = {}
    for run in planned(buffers=[200, 500], methods=["er", "derpp", "gem", "ewc"]):
        made = load(run.file, run.sets)
        said[run.folder.parts[-2]] = (made.learning.lr, str(made.memory.capacity), made.learning.terms[0])
    assert said["er-200"][:2] == (0.01, "200 rows") and said["er-500"][:2] == (0.1, "500 rows")
    small, large = (said[f"derpp-{rows}"][2].options for rows in (200, 500))
    assert (small.alpha, small.beta, small.rows_per_step) == (0.2, 1.0, 128)
    assert (large.alpha, large.beta, large.rows_per_step) == (1.0, 0.5, 10)
    assert said["gem-200"][:2] == (0.01, "40 rows per task")
    assert said["ewc"][0] == 0.03 and said["ewc"][2].options.weight == 2 * 90
    assert settings_of(METHODS["icarl"], 200, STREAMS["split-cifar10"].settings) == [
        "learning.lr=0.1",
        "learning.weight_decay=2e-5",
    ]
    assert settings_of(METHODS["si"], 0, STREAMS["split-cifar10"].settings)[0] == "learning.lr=0.03"


def test_agents_on_a_ring_make_as_many_steps_as_one() -> None:
    runs = planned(networked=True, methods=["fine-tune"])
    made = [load(run.file, run.sets) for run in runs]
    assert [run.folder.parts[-3] for run in runs] == list(NETWORKED)
    kinds = [[one.kind for one in each.exchange] for each in made]
    assert kinds == [[], ["parameters", "parameters"], ["data"]]
    assert all(one.stream.options.validation_share > 0 for one in made), "else nobody knows what to ask for"
    assert {(one.agents, one.learning.epochs, one.stream.options.draw) for one in made} == {(4, 4, "iid")}


def test_what_others_found_belongs_to_cells_of_ours() -> None:
    for stream, method, buffer in (*PUBLISHED, *MAMMOTH):
        assert stream in STREAMS and (METHODS[method].memory == "none") == (buffer == 0)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--streams", "mnist"], "--streams should be of split-mnist"),
        (["--methods", "der++"], "--methods should be of fine-tune"),
        (["--buffers", "3"], "--buffers should be at least 5, a row for each task. Found 3"),
        (["--index", "1"], "--index and --of go together"),
        (["--examples", "nowhere"], "--examples should be the folder examples/baselines"),
    ],
)
def test_wrong_words_are_refused(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["baselines", "--list", *words]) == 2
    assert message in " ".join(capsys.readouterr().err.split())


# --- what is found --------------------------------------------------------------------------------


def test_a_finished_run_is_found_with_its_numbers_and_is_not_run_again(tmp_path: Path) -> None:
    (run,) = plan(Asked(["split-digits"], [3], ["fine-tune"], quick=True), EXAMPLES, tmp_path)
    simulation.run(load(run.file, run.sets), run.folder, driver="inprocess", quiet=True)
    found = find(tmp_path, EXAMPLES)
    cell = Cell("split-digits", "single", "fine-tune", 0)
    numbers = found.outcomes[cell][3]
    metrics = json.loads((run.folder / "summary.json").read_text())["metrics"]
    assert numbers["final"] == 100 * metrics["final_accuracy"] <= numbers["task"]
    assert numbers["bwt"] == 100 * metrics["bwt"] and set(numbers) == {*METRICS, *COSTS}
    assert found.departed == {"split-digits": {}} and not found.notes
    assert main(["baselines", "--tables", "--out", str(tmp_path), "--examples", str(EXAMPLES)]) == 0
    assert run.state().value == "finished"


def test_a_finished_run_of_older_code_is_kept_unless_it_was_another(tmp_path: Path) -> None:
    """Keys that have come since have their defaults; an unfinished run could not go on without them."""
    (run,) = plan(Asked(["split-digits"], [3], ["fine-tune"], quick=True), EXAMPLES, tmp_path)
    simulation.run(load(run.file, run.sets), run.folder, driver="inprocess", quiet=True)
    file = run.folder / "experiment.toml"
    text = file.read_text()
    assert "\nrestart = false\n" in text and "\nkeep = " in text
    file.write_text(text.replace("\nrestart = false\n", "\n"))
    assert run.state().value == "finished"
    file.write_text(text.replace("\nkeep = ", "\nkeep = 1"))  # decides nothing
    assert run.state().value == "finished"
    file.write_text(text.replace("\nrestart = false\n", "\nrestart = true\n"))
    with pytest.raises(RunFolderError, match=r"learning.restart +True +False"):
        run.state()
    file.write_text(text.replace("\nrestart = false\n", "\n"))
    (run.folder / "summary.json").unlink()
    with pytest.raises(RunFolderError, match=r"learning.restart +\(absent\) +False"):
        run.state()


def test_agents_that_share_send_something(tmp_path: Path) -> None:
    asked = Asked(["split-digits"], [0], ["fine-tune"], networked=True, quick=True)
    for run in plan(asked, EXAMPLES, tmp_path):
        simulation.run(load(run.file, run.sets), run.folder, driver="inprocess", quiet=True)
    found = find(tmp_path, EXAMPLES)
    sent = {cell.sharing: one[0]["wire_bytes"] for cell, one in found.outcomes.items()}
    assert sent["alone"] == 0 < min(sent["parameters"], sent["data"])
    finals = {cell.sharing: one[0]["task"] for cell, one in found.outcomes.items()}
    assert len(set(finals.values())) == 3, "what is sent is used"


@pytest.fixture
def found() -> Found:
    """Six seeds of ER on split MNIST, and one of four agents that share."""

    def one(final: float) -> dict[str, float]:
        costs = dict.fromkeys(COSTS, 2.0**20)
        return {
            "final": final,
            "task": 98.0,
            "forgetting_max": 20.0,
            "bwt": -20.0,
            "fwt": float("nan"),
        } | costs

    cells = {way: Cell("split-mnist", way, "er", 200) for way in ("single", *NETWORKED)}
    outcomes = {cells["single"]: {seed: one(79.0 + 2 * (seed % 2)) for seed in range(6)}}
    outcomes |= {cells[way]: {0: one(70.0 + place)} for place, way in enumerate(NETWORKED)}
    return Found(outcomes, departed={"split-mnist": {"learning.epochs": ("2", "1")}})


def test_ours_stands_beside_what_others_found(found: Found) -> None:
    text = "\n".join(page_lines(found, []))
    assert (
        "| ER | 200 | 80.40† | 79.60 ± 1.60 | 80.00 ± 0.45 | 97.90† | 97.98 ± 0.18 | 98.00 ± 0.00 | – |"
        " – | 6 seeds |" in text
    )
    assert "learning.epochs = 2 (there: 1). No number here can be compared" in text
    tables = [[*lines] for cells, lines in groupby(text.splitlines(), lambda line: line[:1] == "|") if cells]
    assert len(tables) == 3 and all(len({line.count("|") for line in lines}) == 1 for lines in tables)
    found.departed.clear()
    text = "\n".join(page_lines(found, []))
    assert "| +0.40 (0.4 sd) | +0.02 | 6 seeds |" in text, "six seeds 1 from their mean deviate by 1.10"
    assert "| ER | 200 | 70.00 | 71.00 | 72.00 | 98.00 | 98.00 | 98.00 | 1.00 | 1.00 | 1 seed |" in text
    assert "79.0" not in short_lines(found)[0] and "80.00 ± 0.45" in short_lines(found)[0]


def test_everything_is_written_the_same_twice(found: Found, tmp_path: Path) -> None:
    page = write_page(found, tmp_path)
    first = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    assert set(first) == {"reproduction.md", "numbers.csv", "numbers.json", "sharing-split-mnist.png"}
    assert "sharing-split-mnist.png" in page.read_text()
    write_page(found, tmp_path)
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == first
    rows = list(csv.DictReader((tmp_path / "numbers.csv").open()))
    (own,) = [row for row in rows if (row["sharing"], row["number"]) == ("single", "final")]
    assert (own["mean"], own["published"], own["mammoth"], own["seeds"]) == (
        "80.0",
        "80.4",
        "79.6",
        "0-5",
    )
