"""A whole system of a user's own, in NumPy alone: without torch, small, and the same over MPI."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

EXAMPLES = Path(__file__).resolve().parents[2] / "examples" / "own_methods"
WITNESS = """
import json, os, sys
from pathlib import Path
from own_system import *

class Watched(LineFit):
    def digest(self):
        heavy = sorted({"torch", "numba", "matplotlib"} & set(sys.modules))
        (Path(os.environ["TOLD"]) / f"{self.agent}.json").write_text(json.dumps(heavy))
        return super().digest()
"""
MOST_BYTES = 150 * 2**20
"""Of a process: Python, NumPy, HDF5, MPI and the experiment file; torch alone would take more."""


def test_a_system_without_a_model_runs_without_torch(
    tmp_path: Path, mpidcl: Callable[..., CompletedProcess[str]]
) -> None:
    for name in ("own_system.py", "own_system.toml"):
        shutil.copy(EXAMPLES / name, tmp_path)
    (tmp_path / "witness.py").write_text(WITNESS)
    digests = set()
    for number, how in enumerate((("--driver", "inprocess"), ("-n", "2"), ("-n", "4"))):
        told, run = tmp_path / f"told{number}", tmp_path / f"run{number}"
        told.mkdir()
        words = ("own_system.toml", "--set", "learning.kind=witness:Watched", "--out", run, "-q")
        done = mpidcl("run", *words, *how, environment={"TOLD": str(told)})
        assert done.returncode == 0, done.stderr
        assert "final mean squared error" in done.stdout
        assert [json.loads(file.read_text()) for file in told.iterdir()] == [[]] * 4
        summary = json.loads((run / "summary.json").read_text())
        assert summary["memory"]["peak_rss_bytes"] < MOST_BYTES
        digests.add(summary["digest"])
    assert len(digests) == 1
