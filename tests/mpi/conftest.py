"""Tests of this folder are valid at any number of ranks; the first failure ends the whole job.

    python -m mpidcl.launch 4 900 -- python -m mpi4py -m pytest --with-mpi tests/mpi

Without `--with-mpi` they are skipped.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from mpidcl.base.rank_variables import rank_and_size

if TYPE_CHECKING:
    from whole_runs import Runs

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "helpers"))


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    """Only rank 0 reports progress; the failures of others are printed below."""
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if rank_and_size()[0] > 0 and reporter is not None:
        reporter._tw._file = open(os.devnull, "w")  # noqa: SIM115 - open as long as the process lives


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
        text = f"\nrank {rank}: {report.when} of {report.nodeid} failed\n{report.longreprtext}"
        print(text, file=sys.stderr, flush=True)
        MPI.COMM_WORLD.Abort(1)


@pytest.fixture
def runs(mpi_tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Runs:
    """Whole runs on the first ranks of the job, in the folder of the test."""
    from whole_runs import Runs

    monkeypatch.setenv("MPIDCL_DEBUG", "1")
    return Runs(mpi_tmp_path)
