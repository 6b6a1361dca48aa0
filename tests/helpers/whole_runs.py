"""Whole runs inside one job of MPI, on its first ranks: a start for each would cost seconds per rank."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from mpi4py import MPI
from run_bits import bits

from mpidcl.errors import EXIT_DONE, EXIT_RESUMABLE
from mpidcl.experiment.reading import from_toml
from mpidcl.experiment.units import Cadence
from mpidcl.network.mpi import collectives
from mpidcl.run import simulation

COMM = MPI.COMM_WORLD
MOST = 4
needs_all_ranks = pytest.mark.skipif(
    COMM.size != MOST, reason=f"runs on 1 to {MOST} ranks: the job of {MOST} ranks has them all"
)


class Runs:
    """Runs of one test, in its folder; all ranks make the same calls."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def alone(self, text: str, out: str, until: str = "") -> Path:
        """All agents of the experiment in the process of rank 0, without MPI."""
        if COMM.rank == 0:
            self._run(text, out, until, "inprocess")
        return self._ended(out, until)

    def on(self, ranks: int, text: str, out: str, until: str = "") -> Path:
        """The experiment on the first ranks of the job, as if there were no others."""
        part = COMM.Split(0 if COMM.rank < ranks else MPI.UNDEFINED, COMM.rank)
        if part != MPI.COMM_NULL:
            assert part.size == ranks
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(collectives, "world", lambda: part)
                self._run(text, out, until, "mpi")
            part.Free()
        return self._ended(out, until)

    def bits(self, out: str) -> dict[str, Any]:
        """On rank 0, what must be the same; nothing on the others."""
        return bits(self.folder / out) if COMM.rank == 0 else {}

    def _run(self, text: str, out: str, until: str, driver: str) -> None:
        limit = Cadence.parse(until) if until else None
        status = simulation.run(from_toml(text), self.folder / out, driver, limit, quiet=True)
        assert status == (EXIT_RESUMABLE if until else EXIT_DONE)

    def _ended(self, out: str, until: str) -> Path:
        _wait_for_all()
        assert (self.folder / out / "summary.json").exists() == (not until)
        return self.folder / out


def _wait_for_all() -> None:
    """A barrier that leaves the cores to those who compute."""
    request = COMM.Ibarrier()
    while not request.Test():
        time.sleep(0.005)
