"""Standard output of a rank: Open MPI shows it a terminal, whatever the job writes to."""

from __future__ import annotations

import os

import pytest

from mpidcl.base.rank_variables import RANK_VARIABLES
from mpidcl.launch.output import Output


@pytest.mark.parametrize(
    ("variables", "shown"),
    [
        ({}, True),
        ({"TTY_COMPATIBLE": "0"}, False),
        ({"OMPI_COMM_WORLD_RANK": "0", "OMPI_COMM_WORLD_SIZE": "4"}, False),  # a bare mpiexec, in a batch job
        ({"OMPI_COMM_WORLD_RANK": "0", "OMPI_COMM_WORLD_SIZE": "4", "TTY_COMPATIBLE": "1"}, True),
        ({"OMPI_COMM_WORLD_RANK": "0", "OMPI_COMM_WORLD_SIZE": "4", "MPIDCL_STATUS_FILE": "/a/b"}, True),
        ({"PMI_RANK": "0", "PMI_SIZE": "1"}, True),  # the shell of an interactive job
    ],
)
def test_who_has_a_terminal(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], shown: bool) -> None:
    for name in ("TTY_COMPATIBLE", *(name for pair in RANK_VARIABLES for name in pair if name)):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    outer, inner = os.openpty()
    with Output(open(inner, "wb", buffering=0), encoding="utf-8", write_through=True) as stream:
        assert stream.isatty() is shown
    os.close(outer)
