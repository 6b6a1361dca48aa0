"""Tests of this folder are valid at any number of ranks; the first failure ends the whole job.

    python -m mpidcl.launch 3 300 -- python -m mpi4py -m pytest --with-mpi tests/mpi

Without `--with-mpi` they are skipped.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent


@pytest.hookimpl(tryfirst=True)  # before pytest-mpi decides what to skip
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker("mpi")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """End all ranks at the first failure: the others wait for this one and would never return."""
    if not report.failed or "mpi4py.MPI" not in sys.modules:
        return
    from mpi4py import MPI

    if MPI.COMM_WORLD.size > 1:
        rank = MPI.COMM_WORLD.rank
        print(
            f"\nrank {rank}: {report.when} of {report.nodeid} failed\n{report.longreprtext}",
            file=sys.stderr,
            flush=True,
        )
        MPI.COMM_WORLD.Abort(1)
