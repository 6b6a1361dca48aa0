"""`scripts/reproduce dmkd`: every run is a valid experiment, and the table says what the runs say."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from mpidcl.errors import ExperimentError
from mpidcl.experiment.reading import load
from mpidcl.reproduce.__main__ import main
from mpidcl.reproduce.dmkd.found import CLAIMS, NUMBERS, find, judged
from mpidcl.reproduce.dmkd.page import page_lines, rows, short_lines, write_page
from mpidcl.reproduce.dmkd.rows import WAYS, chosen, plan
from mpidcl.reproduce.outcomes import Found
from mpidcl.reproduce.plan import Planned
from mpidcl.run import simulation

EXAMPLES = Path(__file__).parents[3] / "examples" / "dmkd"
DENSE = {"er", "fedavg", "fedavg-er", "matching"}


def planned(out: Path, *names: str, scale: str = "fashion", more: tuple[str, ...] = ()) -> list[Planned]:
    return plan(chosen(names or None, scale), [3], scale, more, EXAMPLES, out)


def test_every_run_is_a_valid_experiment_with_as_many_remembered_rows() -> None:
    made = {run.row.name: load(run.file, run.sets) for run in planned(Path("out"))}
    assert set(made) == set(WAYS)
    table = {name: one for name, one in made.items() if WAYS[name].main}
    for name, one in table.items():
        assert (one.name, one.seed, one.agents, one.stream.dataset) == (name, 3, 4, "fashion-mnist")
        assert (one.learning.epochs, one.learning.batch, one.learning.lr) == (2, 10, 0.05)
        assert str(one.memory.capacity) == "200 rows"
        assert (one.learning.kind == "gradient") == (one.model.kind == "mlp") == (name in DENSE)
    kinds = {name: [term.kind for term in one.learning.terms] for name, one in made.items()}
    assert kinds["dmkd"] == ["replay", "balance", "distillation", "preservation"]
    assert kinds["neither"] == ["replay", "balance"] and kinds["fedavg"] == []
    assert made["alone"].exchange == made["er"].exchange == ()
    assert made["matched"].exchange[0].options.merge == "matched" and len(made["matched"].exchange) == 1
    assert made["sparse-3"].exchange[1].options.fraction == 0.03
    assert made["neighbours"].exchange[1].options.teach


def test_a_run_that_reuses_experts_has_half_of_the_steps_and_other_classes() -> None:
    made = {run.row.name: load(run.file, run.sets) for run in planned(Path("out")) if run.dataset == "emnist"}
    assert {name: (one.seed, one.learning.epochs) for name, one in made.items()} == {
        "earlier": (3, 2), "later": (103, 2), "later-half": (103, 1), "reused": (103, 1),
    }  # fmt: skip
    assert made["reused"].learning.options.start_from == "out/runs/earlier/seed-3"
    assert made["later-half"].learning.options.start_from is None


def test_the_same_rows_on_colour_images_and_small_ones() -> None:
    for scale, dataset, tasks in (("cifar100", "cifar100", 10), ("quick", "digits", 5)):
        made = {run.row.name: load(run.file, run.sets) for run in planned(Path("out"), scale=scale)}
        assert set(made) == {name for name, way in WAYS.items() if way.main}
        assert {(one.stream.dataset, one.stream.options.tasks) for one in made.values()} == {(dataset, tasks)}
    with pytest.raises(ExperimentError, match="--only should be of dmkd"):
        chosen(["reused"], "quick")


def test_matched_nets_have_nearly_no_barrier_between_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["dmkd", "--merging", "--seeds", "0", "--out", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    high = {way: float(found) for way, found in re.findall(r"^  (\w.*?)  .* ([\d.]+) ±.*$", printed, re.M)}
    assert high["as they are"] > 0.4
    assert max(high["matched by activations"], high["matched by weights"]) < 0.3 * high["as they are"]
    assert (tmp_path / "merging.png").stat().st_size > 1000


def test_the_row_of_all_parts_is_the_example_itself() -> None:
    (run,) = planned(Path("out"), "dmkd")
    assert run.sets == ("name=dmkd", "seed=3")


@pytest.mark.parametrize(
    ("words", "message"),
    [(["--only", "dense"], "--only should be of dmkd"), (["--examples", "nowhere"], "examples/dmkd")],
)
def test_wrong_words_are_refused(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["dmkd", "--list", *words]) == 2
    assert message in " ".join(capsys.readouterr().err.split())


TINY = (
    "stream.tasks=2", "stream.train_per_class=8", "stream.test_per_class=5", "learning.epochs=1",
    "evaluation.every=1", "memory.capacity=20 rows", "stream.validation_per_class=4",
)  # fmt: skip


def test_finished_runs_are_found_with_their_numbers(tmp_path: Path) -> None:
    for run in planned(tmp_path, "dmkd", "fedavg-er", "alone", scale="quick", more=TINY):
        assert simulation.run(load(run.file, run.sets), run.folder, driver="inprocess", quiet=True) == 0
    found = find(tmp_path)
    assert set(found.outcomes) == {"dmkd", "fedavg-er", "alone"} and not found.notes
    assert all(set(one[3]) == set(NUMBERS) for one in found.outcomes.values())
    sent = {name: one[3]["sent_mib"] for name, one in found.outcomes.items()}
    assert 0 == sent["alone"] < sent["dmkd"]
    assert found.outcomes["dmkd"][3]["information"] >= 0
    assert len(rows(found)) == 3 and "DMKD, all of it" in "\n".join(page_lines(found))
    page = write_page(found, tmp_path)
    assert page.is_file() and (tmp_path / "accuracy-bytes.png").stat().st_size > 1000
    assert "all of it" in short_lines(found)[0]


def test_claims_are_judged_by_differences_paired_by_seed() -> None:
    found = Found()
    for seed in range(4):
        for row, final in (("dmkd", 60.0 + seed), ("er", 50.0 + seed), ("fedavg-er", 60.5 + 2 * seed)):
            found.outcomes.setdefault(row, {})[seed] = dict.fromkeys(NUMBERS, final)
    said = {words: verdict for words, _, _, verdict in judged(found)}
    assert said["DMKD beats isolated ER"] == "holds"
    assert said["DMKD beats FedAvg with ER"] != "holds"
    assert {row for _, row, base, _, _ in CLAIMS for row in (row, base)} <= set(WAYS)
