"""The ptychography example: valid, quick in a short form, and a memory keeps what is forgotten without it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from mpidcl.experiment.reading import load
from mpidcl.reproduce.plan import missing_data
from mpidcl.run import simulation

REPLAY = Path(__file__).resolve().parents[2] / "examples" / "replay"
SHORT = ("stream.tasks=2", "stream.size=16", "stream.positions=4", "model.width=2", "memory.capacity=10 rows")
SHORT += ("learning.epochs=2", "evaluation.every=2", "learning.batch=5")


def test_ptychography_runs_in_its_forms_and_can_be_looked_at(
    tmp_path: Path, job_free_environment: dict[str, str]
) -> None:
    forms = {"rehearsal": [], "incremental": ["learning.terms=[]"]}
    for name, sets in forms.items():
        experiment = load(REPLAY / "ptychography.toml", [*SHORT, *sets, f"name={name}"])
        assert simulation.run(experiment, tmp_path / name, driver="inprocess", quiet=True) == 0
        found = json.loads((tmp_path / name / "summary.json").read_text())["metrics"]
        assert found["final_amplitude_error"] > 0 and found["final_phase_error"] > 0
    command = [sys.executable, str(REPLAY / "pictures.py"), "out.png", *forms, "--patterns", "2"]
    ended = subprocess.run(
        command, cwd=tmp_path, env=job_free_environment, capture_output=True, text=True, timeout=100
    )
    assert ended.returncode == 0, ended.stderr
    assert (tmp_path / "out.png").read_bytes().startswith(b"\x89PNG")
    assert "rehearsal: amplitude error 0." in ended.stdout and "incremental: amplitude" in ended.stdout


TINY = ("model.width=2", "model.stem=imagenet", "stream.tasks=2", "stream.classes_per_task=2")
TINY += ("stream.train_per_class=8", "stream.test_per_class=2")
TINY += ("learning.batch=8", "learning.epochs=2", "evaluation.every=2")


def test_split_cifar_runs_on_real_images_where_they_are(tmp_path: Path) -> None:
    if missing_data("cifar100"):
        pytest.skip("the files of CIFAR-100 are not here")
    experiment = load(REPLAY / "cifar100.toml", TINY)
    assert simulation.run(experiment, tmp_path / "run", driver="inprocess", quiet=True) == 0
    found = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert found["drawn_bytes"] > 0 and found["models"] == 1
    assert found["metrics"]["final_top5"] >= found["metrics"]["final_accuracy"]
