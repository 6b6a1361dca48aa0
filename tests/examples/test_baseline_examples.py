"""The examples of baselines: each runs, on digits and a few rows, and says what papers ask for."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mpidcl.experiment.reading import load
from mpidcl.run import simulation

FILES = sorted((Path(__file__).resolve().parents[2] / "examples" / "baselines").glob("*.toml"))
TINY = ("stream.dataset=digits", "stream.train_per_class=20", "stream.test_per_class=20", "model.hidden=[20]")


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_baseline_runs_and_measures_what_papers_print(file: Path, tmp_path: Path) -> None:
    simulation.run(load(file, TINY), tmp_path / "run", driver="inprocess", quiet=True)
    found = json.loads((tmp_path / "run" / "summary.json").read_text())
    metrics = found["metrics"]
    assert 0 < metrics["final_accuracy"] <= metrics["final_task_accuracy"] <= 1
    assert metrics["forgetting_max"] >= max(0.0, -metrics["bwt"]) - 1e-12
    assert (metrics["fwt"] is None) == (file.stem == "joint"), "one evaluation of joint tasks has no order"
    assert found["parameters"] == 64 * 20 + 20 + 20 * 10 + 10


def test_a_memory_keeps_what_fine_tuning_forgets(tmp_path: Path) -> None:
    """With more rows and passes than above, so that there is something to forget."""
    more = ("stream.train_per_class=80", "learning.epochs=4", "learning.lr=0.1")
    final = {}
    for name in ("fine-tune", "er", "joint"):
        (file,) = [file for file in FILES if file.stem == name]
        simulation.run(load(file, [*TINY, *more]), tmp_path / name, driver="inprocess", quiet=True)
        final[name] = json.loads((tmp_path / name / "summary.json").read_text())["metrics"]["final_accuracy"]
    assert final["fine-tune"] < 0.3 < final["er"] - 0.2 and final["er"] < final["joint"] + 0.1
