"""`scripts/reproduce rehearsal`: every run is a valid experiment, and the table says what the runs say."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mpidcl.experiment.reading import load
from mpidcl.reproduce.__main__ import main
from mpidcl.reproduce.outcomes import Found
from mpidcl.reproduce.plan import Planned
from mpidcl.reproduce.rehearsal.found import CLAIMS, MEASURES, NUMBERS, find, judged
from mpidcl.reproduce.rehearsal.page import ORDER, page_lines, rows, short_lines, write_page
from mpidcl.reproduce.rehearsal.rows import FULL, QUICK, WAYS, Scale, chosen, plan
from mpidcl.run import simulation

EXAMPLES = Path(__file__).parents[3] / "examples" / "replay"
SHARES = {"global-2.5": 2.5, "global-10": 10, "global-30": 30, "local-30": 30, "derpp-30": 30}


def planned(out: Path, scale: Scale, *names: str, more: tuple[str, ...] = ()) -> list[Planned]:
    return plan(chosen(names or None), [3], scale, more, EXAMPLES, out)


@pytest.mark.parametrize("scale", [FULL, QUICK])
def test_every_run_is_a_valid_experiment_of_four_agents_with_one_model(scale: Scale) -> None:
    made = {run.row.name: load(run.file, run.sets) for run in planned(Path("out"), scale)}
    assert set(made) == set(WAYS) == set(ORDER)
    for name, one in made.items():
        assert (one.name, one.seed, one.agents, one.learning.one_model) == (name, 3, 4, True)
        assert (one.stream.options.tasks, one.stream.options.classes_per_task) == (4, 25)
        assert (one.memory.scope == "global") == (name.startswith("global") or name == "derpp-30")
        assert one.learning.reset_optimizer and one.evaluation.every == one.learning.epochs
    assert made["incremental"].learning.terms == ()
    for name, share in SHARES.items():
        held = 4 * made[name].memory.capacity.rows(1, 0)
        assert share - 100 * 4 / scale.per_class < 100 * held / scale.per_class <= share
    scratch = made["from-scratch"]
    assert scratch.learning.options.restart and scratch.memory.insert == "task end"


def test_the_small_scale_has_the_published_proportions() -> None:
    small, full = (load(*_file(scale)) for scale in (QUICK, FULL))
    draws = [one.learning.terms[0].options.rows_per_step / one.learning.batch for one in (small, full)]
    assert draws == [14 / 32, 7 / 56]
    shares = [[at / one.learning.epochs for at in one.learning.schedule.options.at] for one in (small, full)]
    assert shares[0] == pytest.approx(shares[1], abs=1e-3)
    assert small.stream.options.train_per_class * small.agents == QUICK.per_class


def _file(scale: Scale) -> tuple[Path, tuple[str, ...]]:
    (run,) = planned(Path("out"), scale, "global-30")
    return run.file, run.sets


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--only", "global"], "--only should be of incremental"),
        (["--index", "1"], "--index and --of go together"),
        (["--examples", "nowhere"], "--examples should be the folder examples/replay"),
    ],
)
def test_wrong_words_are_refused(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rehearsal", "--list", *words]) == 2
    assert message in " ".join(capsys.readouterr().err.split())


TINY = (
    'model={kind = "mlp", hidden = [8], dropout = 0}', "stream.dataset=digits", "stream.classes_per_task=2",
    "stream.train_per_class=10", "stream.test_per_class=5", "stream.augment=[]", "learning.epochs=1",
    "stream.tasks=2", "learning.schedule={kind = 'constant'}",
)  # fmt: skip


def test_finished_runs_are_found_with_their_numbers(tmp_path: Path) -> None:
    for run in planned(tmp_path, QUICK, "incremental", "global-30", "from-scratch", more=TINY):
        assert simulation.run(load(run.file, run.sets), run.folder, driver="inprocess", quiet=True) == 0
    found = find(tmp_path)
    assert set(found.outcomes) == {"incremental", "global-30", "from-scratch"} and not found.notes
    for name, seeds in found.outcomes.items():
        metrics = json.loads((tmp_path / "runs" / name / "seed-3" / "summary.json").read_text())["metrics"]
        assert seeds[3]["final"] == 100 * metrics["final_accuracy"]
        assert seeds[3]["final"] == pytest.approx((seeds[3]["first"] + seeds[3]["last"]) / 2)
        assert set(seeds[3]) == set(NUMBERS) and seeds[3]["epoch_s"] > 0
        assert (seeds[3]["drawn_bytes"] > 0) == (name == "global-30")
    words = ["--quick", "--tables", "--out", str(tmp_path), "--examples", str(EXAMPLES)]
    assert main(["rehearsal", *words]) == 0
    assert (tmp_path / "accuracy-buffer.png").read_bytes().startswith(b"\x89PNG")
    assert main(["rehearsal", *words[:3], str(tmp_path / "empty"), *words[4:]]) == 2


@pytest.fixture
def found() -> Found:
    """Three seeds of every row; each row in ORDER is 2 points better than the one before."""
    cost = dict.fromkeys(NUMBERS, 2.0**20)
    return Found(
        {
            name: {
                seed: cost
                | {one: 10.0 + 2 * place + 0.1 * seed * place for one in MEASURES}
                | {"cpu_s": 10.0 + place}
                for seed in range(3)
            }
            for place, name in enumerate(ORDER)
        },
        ["a note"],
    )


def test_the_table_and_the_orderings_say_what_the_runs_say(found: Found, tmp_path: Path) -> None:
    table = rows(found)
    assert [row[0] for row in table][:2] == ["incremental", "local buffers"]
    assert [row[1] for row in table] == ["–", "30 %", "2.5 %", "10 %", "30 %", "30 %", "all"]
    assert table[1][2] == "12.10 ± 0.06" and table[-1][9] == "1.60" and table[0][-1] == "0-2"
    said = {(words, measure): verdict for words, measure, _, verdict in judged(found)}
    assert len(said) == len(CLAIMS) * len(MEASURES) and set(said.values()) == {"holds"}
    difference = found.difference("local-30", "incremental", "top5")
    assert difference is not None and difference.mean == pytest.approx(2.1)
    assert found.difference("local-30", "nothing", "top5") is None
    assert "a note" in page_lines(found)[-2] and "from scratch" in short_lines(found)[0]
    page = write_page(found, tmp_path)
    assert page.read_text() == "\n".join(page_lines(found))
    assert len((tmp_path / "numbers.csv").read_text().splitlines()) == 1 + len(ORDER) * len(NUMBERS)


def test_one_row_alone_makes_a_page() -> None:
    alone = Found({"global-10": {0: dict.fromkeys(NUMBERS, 1.0)}})
    text = "\n".join(page_lines(alone))
    assert "No two rows yet." in text and "| global buffer | 10 % | 1.00 |" in text
