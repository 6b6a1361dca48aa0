"""Was this process started as a rank of an MPI job? What launchers say about it in the environment.

The variables are inherited by every process that a rank or an interactive step (`srun --pty bash`) starts, so
they may be about somebody else. Where they decide, the message names them.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from mpidcl.errors import ExperimentError

# Each launcher's names of (rank, number of ranks), surest first: Open MPI; MVAPICH's mpirun_rsh; MPICH,
# Intel and Cray; jsrun; Flux; Slurm's srun; PALS and bare PMIx, which do not say how many there are.
RANK_VARIABLES = (
    ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"),
    ("MV2_COMM_WORLD_RANK", "MV2_COMM_WORLD_SIZE"),
    ("PMI_RANK", "PMI_SIZE"),
    ("JSM_NAMESPACE_RANK", "JSM_NAMESPACE_SIZE"),
    ("FLUX_TASK_RANK", "FLUX_JOB_SIZE"),
    ("SLURM_PROCID", "SLURM_STEP_NUM_TASKS"),
    ("PALS_RANKID", None),
    ("PMIX_RANK", None),
)
TORCHRUN = ("RANK", "WORLD_SIZE")
"""What torchrun says. It starts no ranks of MPI."""
OF_MPIEXEC = {b"OMPI_COMM_WORLD_RANK", b"MV2_COMM_WORLD_RANK", b"PMI_RANK"}
"""Of these, what an mpiexec tells its ranks; it has no such variable itself."""
SLURM_SPECIAL_STEPS = 0xFFFFFFF0
"""Step numbers from here on are Slurm's own: the batch script and the interactive shell are no ranks."""
FAMILIES = (
    "OMPI_", "PMIX_", "PMI_", "PRTE_", "PALS_", "MPI_LOCALNRANKS", "MPI_LOCALRANKID", "MV2_COMM_WORLD_",
    "JSM_NAMESPACE_", "FLUX_TASK_", "FLUX_JOB_SIZE",
)  # fmt: skip
"""Beginnings of the variables by which a launcher and its ranks find each other."""
UNKNOWN_RANK = re.compile(r"(?!.*(LOCAL|GROUP|NODE|ROLE)_?RANK)(\w+_)?(RANK|RANKID|PROCID)")
"""What other launchers may call the number of a rank (torchrun: RANK)."""
SETTINGS = ("OMPI_MCA_", "PMIX_MCA_", "PRTE_MCA_", "OMPI_ALLOW_RUN_AS_ROOT")
"""Of these, what a user or a site sets."""


@dataclass(frozen=True)
class Launcher:
    """What a launcher said: this rank, how many there are (None: not said), and by which variable."""

    rank: int
    size: int | None
    named: str


def launcher() -> Launcher | None:
    """What started this process as a rank (see RANK_VARIABLES); None: nothing did."""
    return _first_of(RANK_VARIABLES)


def torchrun() -> Launcher | None:
    """The same of torchrun, whose processes MPI does not know."""
    return _first_of((TORCHRUN,))


def _first_of(variables: Iterable[tuple[str, str | None]]) -> Launcher | None:
    for rank_name, size_name in variables:
        rank, size = _number(rank_name), _number(size_name)
        said = rank is not None and (size_name is None or size is not None)
        if not said or (rank_name == "SLURM_PROCID" and _is_no_rank_of_slurm(size)):
            continue
        name = size_name or rank_name
        return Launcher(rank or 0, size, f"{name}={os.environ[name]}")
    return None


def says_rank(environment: Iterable[bytes]) -> bool:
    """Has an mpiexec told the process with this environment (`NAME=value`, bytes) which rank it is?"""
    return not OF_MPIEXEC.isdisjoint(entry.partition(b"=")[0] for entry in environment)


def _number(name: str | None) -> int | None:
    text = os.environ.get(name or "", "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 12 else None


def _is_no_rank_of_slurm(size: int | None) -> bool:
    """A step of Slurm's own; or one task to which nobody offers MPI (`srun -n 1 --pty bash`)."""
    step = _number("SLURM_STEP_ID")
    alone = size == 1 and not any(name.startswith(("PMI_", "PMIX_")) for name in os.environ)
    return step is None or step >= SLURM_SPECIAL_STEPS or alone


def under_mpiexec() -> bool:
    """Whether this process was started as a rank of an MPI job."""
    return launcher() is not None


def rank_and_size() -> tuple[int, int | None]:
    """Rank and number of ranks as the launcher said them, without asking MPI; size None: not said."""
    found = launcher()
    return (0, 1) if found is None else (found.rank, found.size)


def joins(ranks: int | None) -> bool:
    """Whether this process joins its job as a rank; False: it starts the `ranks` that `-n` asked for.

    A launcher that says "one rank" beside `-n` started a shell or a script, not us. Raises ExperimentError
    where `-n` is given to one of several ranks, and in a rank of a launcher that is not known here.
    """
    found = launcher()
    if found is None and ranks is None:
        _refuse_unknown_rank()
    if found is None or (ranks is not None and found.size == 1):
        return False
    if ranks is None:
        return True
    raise ExperimentError(
        f"`-n {ranks}` starts ranks, but mpiexec has started this one: {found.named} says so. Leave `-n` out;"
        f" or, where that was only inherited from another job, `unset {found.named.partition('=')[0]}`"
    )


def _refuse_unknown_rank() -> None:
    """A rank that is not recognised as one would start a job of its own, beside those of all the others."""
    for name in sorted(os.environ):
        if UNKNOWN_RANK.fullmatch(name) and not name.startswith((*FAMILIES, "SLURM_")) and _number(name):
            known = ", ".join(sorted({rank for rank, _ in RANK_VARIABLES}))
            raise ExperimentError(
                f"A rank should be told so by one of {known}. Found {name}={os.environ[name]}, of a launcher"
                " that mpidcl does not know. Start the ranks by mpiexec or srun; or, where that was only"
                f" inherited, `unset {name}`, or say with `-n` how many ranks to start here"
            )


def without_launcher(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment for a job of one's own: without what another launcher said to its ranks."""
    return {
        name: value
        for name, value in environment.items()
        if name.startswith(SETTINGS) or not name.startswith(FAMILIES)
    }
