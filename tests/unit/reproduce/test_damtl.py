"""`scripts/reproduce damtl`: every run is a valid experiment, and tables say what the runs say."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from mpidcl.experiment.reading import load
from mpidcl.reproduce.__main__ import main
from mpidcl.reproduce.damtl.cells import FULL, PARTS, QUICK, TABLES, Cell, Scale, cells
from mpidcl.reproduce.damtl.figures import figures
from mpidcl.reproduce.damtl.found import Found, find
from mpidcl.reproduce.damtl.methods import GRID, Method, words_of
from mpidcl.reproduce.damtl.orderings import judged
from mpidcl.reproduce.damtl.page import page_lines, short_lines, write_page
from mpidcl.reproduce.damtl.plan import chosen, plan
from mpidcl.reproduce.plan import Planned
from mpidcl.reproduce.running import run_all
from mpidcl.run import simulation

EXAMPLES = Path(__file__).parents[3] / "examples" / "damtl"
RING = "5x6-noise-1"
TINY = Scale(40, (1.0,), ((2, 2),), (1.0,), (0.1,))


def planned(
    *parts: str, scale: Scale = QUICK, out: Path = Path("out"), files: Path | None = None
) -> list[Planned]:
    more = ("evaluation.every=10 s",) if scale is TINY else ()
    return plan(chosen(parts or None), [3], scale, more, EXAMPLES, out, files)


# --- what is run ----------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", [QUICK, FULL])
def test_every_run_is_a_valid_experiment_in_a_folder_of_its_own(scale: Scale) -> None:
    runs = planned(scale=scale, files=Path("nowhere"))
    assert len({run.folder for run in runs}) == len({run.title for run in runs}) == len(runs)
    assert {run.row.file for run in runs} == set(PARTS)
    for run in runs[:: 1 if scale == QUICK else 5]:
        made = load(run.file, run.sets)
        assert made.seed == 3 and made.clock.kind == "virtual"
        if run.row.file in ("ring", "field", "student"):
            assert made.network.conditions.loss == made.network.conditions.latency == 0


def test_methods_differ_in_their_exchanges_alone() -> None:
    made = {run.folder.parts[-2]: load(run.file, run.sets) for run in planned("ring")[:24]}
    kinds = {name: [one.kind for one in each.exchange] for name, each in made.items()}
    assert kinds["local"] == [] and kinds["group-only"] == ["nodes"] == kinds["consensus"]
    assert (
        made["consensus"].exchange[0].options.how == "average"
        and made["consensus"].exchange[0].links == "all"
    )
    for form in ("logdet", "fixed", "identity"):
        assert made[f"{form}-rule"].exchange[2].options.strength is None
        tried = [made[f"{form}-{one:g}"].exchange[2].options for one in GRID]
        assert [one.strength for one in tried] == list(GRID) and {one.form for one in tried} == {form}
    first, *others = made.values()
    for other in others:
        assert (other.stream, other.learning, other.network) == (first.stream, first.learning, first.network)


def test_without_the_tables_the_students_are_left_out() -> None:
    assert not list(cells("student", QUICK, None))
    dropped = {
        cell.setting: sets for cell, sets in cells("student", QUICK, Path("d")) if cell.method == "local"
    }
    assert '"G1", "G2"' in " ".join(dropped["without-grades"]) and "drop = []" in " ".join(
        dropped["with-grades"]
    )


def test_conditions_are_those_of_their_names() -> None:
    made = {run.folder.parts[-2]: load(run.file, run.sets) for run in planned("conditions")}
    assert [made[f"loss-{loss}"].network.conditions.loss for loss in (10, 30, 50)] == [0.1, 0.3, 0.5]
    assert (
        made["bursts-30"].network.conditions.burst == 10 and made["bursts-30"].network.conditions.loss == 0.3
    )
    assert made["away-40"].clock.options.away == 0.4 and made["regular"].clock.options.ticks == "regular"
    assert (
        made["away-20-deputies"].network.groups.deputies == 2 and made["away-20"].network.groups.deputies == 0
    )
    gone = made["gone"]
    for agent in range(30):
        mine = gone.for_agent(agent)
        assert bool(mine.clock.options.absences) == (agent % 6 == 0)
        assert mine.stream.options.samples == (400 if agent % 6 == 0 else 1000)


@pytest.mark.parametrize(
    "method", [Method("local"), Method("logdet"), Method("trace-one", 0.003), Method("ridge", 0.1)]
)
def test_a_method_is_found_by_its_name(method: Method) -> None:
    assert Method.of(method.name) == method and words_of(method.family)
    assert Method.of("ridge-rule") is None and Method.of("nothing-0.1") is None


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--only", "rings"], "--only should be of ring, field, student, conditions, digits. Found rings"),
        (["--files", "nowhere"], "--files should be a folder with student-mat.csv and student-por.csv"),
        (["--index", "1"], "--index and --of go together"),
        (["--examples", "nowhere"], "--examples should be the folder examples/damtl"),
    ],
)
def test_wrong_words_are_refused(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["damtl", "--list", *words]) == 2
    assert message in " ".join(capsys.readouterr().err.split())


# --- what is found --------------------------------------------------------------------------------


def students(folder: Path) -> Path:
    """Two small tables of four groups: y is a sum of both columns, but for a constant of each group."""
    for number, name in enumerate(TABLES.values()):
        lines = ["school;a;G1;G2;G3"]
        for row in range(40):
            school, a = ("GP", "MS")[row % 2], (7 * row) % 11
            lines.append(f"{school};{a};{row % 3};{row % 5};{a + row % 5 + number + (row % 2)}")
        (folder / name).write_text("\n".join(lines) + "\n")
    return folder


def test_finished_runs_are_found_with_their_numbers(tmp_path: Path) -> None:
    runs = planned("ring", "field", "student", scale=TINY, out=tmp_path, files=students(tmp_path))
    wanted = ("ring-2x2-noise-1-logdet-rule", "field-noise-1-local", "student-with-grades-group-only")
    said: list[str] = []
    mine = [run for run in runs if run.row.name in wanted]
    assert run_all(mine, 2, "inprocess", tmp_path / "logs", said.append) == 0
    assert said[0] == "3 runs: 3 new" and len(list((tmp_path / "logs").glob("ring-*-seed-3.log"))) == 1
    found = find(tmp_path)
    assert not found.notes and {cell.part for cell in found.outcomes} == {"ring", "field", "student"}
    summary = json.loads((tmp_path / "runs/ring/2x2-noise-1/logdet-rule/seed-3/summary.json").read_text())
    late = summary["regression"]["over_groups"]
    ring = found.outcomes[Cell("ring", "2x2-noise-1", "logdet-rule")][3]
    assert (ring["error"], ring["mse"]) == (late["late_error"], late["late_mse"]) and ring["age"] > 0
    field = found.outcomes[Cell("field", "noise-1", "pooled")][3]
    assert field["mse"] > found.outcomes[Cell("field", "noise-1", "ridge-0.01")][3]["mse"], "regions differ"
    exact = found.outcomes[Cell("student", "with-grades", "mtrl-mean-0.0001")][3]
    assert exact["r2"] > 0.99 and {f"r2_{group}" for group in range(4)} <= set(exact)
    words = ["--quick", "--tables", "--out", str(tmp_path), "--examples", str(EXAMPLES)]
    assert main(["damtl", *words]) == 0
    assert (tmp_path / "strength-ring.png").read_bytes().startswith(b"\x89PNG")
    (tmp_path / TABLES["portuguese"]).unlink()
    assert any("student with-grades seed 3 has no closed forms" in note for note in find(tmp_path).notes)


def test_messengers_are_left_out_of_conditions(tmp_path: Path) -> None:
    (run,) = [
        one for one in planned("conditions", scale=TINY, out=tmp_path) if one.folder.parts[-2] == "gone"
    ]
    assert simulation.run(load(run.file, run.sets), run.folder, driver="inprocess", quiet=True) == 0
    (numbers,) = find(tmp_path).outcomes[Cell("conditions", "5x6-noise-2", "gone")].values()
    by_agent = json.loads((run.folder / "summary.json").read_text())["metrics"]["by_agent"]["late_error"]
    others = [error for agent, error in enumerate(by_agent) if agent % 6]
    assert numbers["error"] == pytest.approx(sum(others) / 25)
    assert numbers["error"] != pytest.approx(sum(by_agent) / 30, rel=1e-6)


def test_accuracies_of_digits_are_found(tmp_path: Path) -> None:
    (run,) = [one for one in planned("digits", out=tmp_path) if one.row.name == "digits-newest-loss-50"]
    short = (*run.sets, "stream.tasks=1", "learning.epochs=2", "evaluation.every=2")
    made = load(run.file, short)
    assert made.exchange[0].options.silent == "newest" and made.network.conditions.loss == 0.5
    assert simulation.run(made, run.folder, driver="inprocess", quiet=True) == 0
    (numbers,) = find(tmp_path).outcomes[Cell("digits", "newest", "loss-50")].values()
    summary = json.loads((run.folder / "summary.json").read_text())
    assert numbers["final"] == pytest.approx(100 * summary["metrics"]["final_accuracy"])


def ring(errors: dict[str, Callable[[int], float]]) -> Found:
    """Five seeds of methods on the ring; `errors`: of a seed."""
    return Found(
        {
            Cell("ring", RING, name): {
                seed: {"error": of(seed), "mse": 1.0, "cpu_s": 1.0, "r2": 0.0} for seed in range(5)
            }
            for name, of in errors.items()
        },
        ["a note"],
    )


def test_acceptance_rules_are_decided_or_said_to_be_undecided() -> None:
    good = ring(
        {
            "local": lambda seed: 1.0 + 0.1 * seed,
            "group-only": lambda seed: 0.5 + 0.05 * seed,
            "logdet-0.01": lambda seed: 0.48 + 0.05 * seed,
            "logdet-1": lambda seed: 9.0,
            "logdet-rule": lambda seed: 0.5 + 0.05 * seed,
        }
    )
    assert good.best("ring", RING, "logdet") == Method("logdet", 0.01)
    assert [one.verdict for one in judged(good)] == ["holds"] * 3
    assert next(judged(good)).change.mean == pytest.approx(-50)
    noisy = ring(
        {
            "local": lambda seed: 1.0,
            "group-only": lambda seed: 0.4 + 0.3 * (seed % 2),
            "logdet-0.01": lambda seed: 0.45 + 0.3 * (seed % 2),
            "logdet-rule": lambda seed: 0.9 + 0.01 * seed,
        }
    )
    verdicts = [one.verdict for one in judged(noisy)]
    assert verdicts == ["undecided", "**does not hold**", "**does not hold**"]


def test_strengths_are_compared_on_the_seeds_that_all_have() -> None:
    found = ring({"logdet-0.01": lambda seed: 1.0 + seed, "logdet-1": lambda seed: 1.1 + seed})
    worse = found.outcomes[Cell("ring", RING, "logdet-1")]
    for seed in range(1, 5):
        del worse[seed]
    assert found.best("ring", RING, "logdet") == Method("logdet", 0.01), "though its mean is larger"
    worse.clear()
    assert found.best("ring", RING, "logdet") is None


def test_the_page_says_what_the_runs_say(tmp_path: Path) -> None:
    found = ring(
        {
            "local": lambda seed: 1.0,
            "group-only": lambda seed: 0.5 + 0.1 * seed,
            "fixed-0.1": lambda seed: 0.25,
        }
    )
    for name, error in (("none", 0.2), ("loss-30", 0.25)):
        found.outcomes[Cell("conditions", "5x6-noise-2", name)] = {
            seed: {"error": error * (1 + seed), "age": 0.5} for seed in range(3)
        }
    for silent, final in (("own", 60.0), ("newest", 65.0)):
        found.outcomes[Cell("digits", silent, "loss-50")] = {0: {"final": final}, 1: {"final": final + 2}}
    page = write_page(found, tmp_path)
    text = page.read_text()
    assert text == "\n".join(page_lines(found, sorted(figures(found)))) and "a note" in text
    assert "| group only | – | 0.7000 ± 0.0707 | -30.00 ± 7.07 | – | 0-4 |" in text
    assert "| fixed Laplacian | 0.1, best (end of the grid) | 0.2500 ± 0.0000 | -75.00 ± 0.00 |" in text
    assert "| 30 % of the frames lost | 0.5000 ± 0.1443 | +25.00 ± 0.00 | yes | 0.50 ± 0.00 | 0-2 |" in text
    assert "| 50 | 61.00 ± 1.00 | 66.00 ± 1.00 | 0, 1 |" in text
    assert "undecided" in short_lines(found)[-1], "-30 % ± 7 is not surely below -30 %"
    rows = list(csv.DictReader((tmp_path / "numbers.csv").open()))
    (own,) = [row for row in rows if (row["method"], row["number"]) == ("group-only", "error")]
    assert float(own["mean"]) == pytest.approx(0.7) and own["error_over"] == "5 seeds"
    first = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    assert {"strength-ring.png", "conditions.png"} < set(first)
    write_page(found, tmp_path)
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == first
