"""The ptychography example: valid, quick in a short form, and a memory keeps what is forgotten without it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from mpidcl.experiment.reading import load
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
