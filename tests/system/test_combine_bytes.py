"""The ledger of combining beside MPI's own counters (MPI_T), in a job of its own."""

from __future__ import annotations

import subprocess
import sys

import pytest

RANKS = 3
PROGRAM = """
import numpy as np
from mpi4py import MPI
from mpidcl.combining import Combination
from mpidcl.network.mpi.counters import SentCounter

comm = MPI.COMM_WORLD
for floats in (1000, 2_000_000):
    with Combination(comm, "elastic") as combination:
        combination.direction(np.ones(floats, np.float32))
        request = comm.Ibarrier()  # nobody still sends; its own messages are empty
        while not request.Test():
            pass
        counter, before = SentCounter(comm), combination.sent_bytes
        combination.direction(np.full(floats, comm.rank, np.float32))
        counted, sent = counter.sent()[0], combination.sent_bytes - before
        text = f"{counter.known} {floats} {comm.rank} {counted} {sent}"
        for line in comm.gather(text) or []:
            print(line, flush=True)
"""


def test_mpi_counts_what_the_ledger_counts(tmp_path, job_free_environment) -> None:  # type: ignore[no-untyped-def]
    file = tmp_path / "program.py"
    file.write_text(PROGRAM)
    command = [sys.executable, "-m", "mpidcl.launch", str(RANKS), "100", "--", sys.executable, str(file)]
    environment = job_free_environment | {"OMPI_MCA_pml_monitoring_enable": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=110)
    assert done.returncode == 0, done.stderr
    lines = [line.split() for line in done.stdout.splitlines()]
    assert len(lines) == 2 * RANKS
    if not all(line[0] == "True" for line in lines):
        pytest.skip("this MPI does not tell what it counted")
    for _, floats, _, counted, sent in lines:
        assert int(sent) > 4 * int(floats)
        assert int(counted) == int(sent)
