"""Start the ranks of a job on this machine, and end a rank so that the whole job ends with one exit status.

    mpidcl run FILE                    -> launch(): starts mpiexec, watches over it
      mpiexec -n 4 python -m mpidcl run FILE
        rank 0 .. 3                    -> run_rank(): joins, runs, finish() or fail()

Open MPI reports every non-zero exit of a rank as an accident. So under `launch` all ranks leave with 0
and say what happened in a small file (`MPIDCL_STATUS_FILE`); a rank that fails says so in a second
file, and `launch` ends the others. Under a bare `mpiexec` the status is the exit status itself.
"""

from __future__ import annotations

import ctypes
import faulthandler
import io
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import NoReturn

from mpidcl.errors import EXIT_DONE, EXIT_FAILED, EXIT_RESUMABLE, EXIT_WRONG_INPUT, MpidclError
from mpidcl.mpiexec import LaunchError, find_mpiexec, settings

STATUS_FILE = "MPIDCL_STATUS_FILE"
GRACE_S = 5.0
"""Seconds that mpiexec has to end its ranks before everything is killed; Open MPI needs about 0.3."""
LOOK_S = 0.05
"""Seconds between two looks at the job."""

# Each launcher's names of (rank, number of ranks), surest first: Open MPI; MPICH, Intel and Cray; Slurm's
# srun; PALS and bare PMIx, which do not say how many there are.
RANK_VARIABLES = (
    ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"),
    ("PMI_RANK", "PMI_SIZE"),
    ("SLURM_PROCID", "SLURM_STEP_NUM_TASKS"),
    ("PALS_RANKID", None),
    ("PMIX_RANK", None),
)
SLURM_SPECIAL_STEPS = 0xFFFFFFF0
"""Step numbers from here on are Slurm's own: the batch script and the interactive shell are no ranks."""


# --- starting and watching --------------------------------------------------------------------------


def launch(arguments: Sequence[str], ranks: int, threads: int = 1) -> int:
    """Run `mpidcl ARGUMENTS` on `ranks` MPI processes of this machine; return the exit status of the job.

    0, 2 and 75 are what the ranks agreed on; 70: a rank failed or was killed. Ctrl-C, SIGTERM and a closed
    terminal end all ranks within seconds and give 75. Raises LaunchError when no MPI is found.
    """
    return run_ranks([sys.executable, "-m", "mpidcl", *arguments], ranks, threads)


def run_ranks(program: Sequence[str], ranks: int, threads: int = 1, limit_s: float | None = None) -> int:
    """Run `program` on `ranks` MPI processes as `launch` does; after `limit_s` seconds all are ended (70)."""
    if ranks < 1:
        raise LaunchError(f"The number of ranks should be 1 or more. Found {ranks}.")
    if ":" in program:
        raise LaunchError(
            "No argument of a program on MPI ranks should be `:` alone: mpiexec reads it itself."
        )
    mpiexec = find_mpiexec()
    with tempfile.TemporaryDirectory(prefix="mpidcl-") as folder, _stop_signals() as stops:
        status = Path(folder) / "status"
        environment = {**os.environ, STATUS_FILE: str(status)}
        environment |= settings(mpiexec, threads, Path(folder), environment)
        job = subprocess.Popen(
            [mpiexec.path, "-n", str(ranks), *program],
            env=environment,
            stdin=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C reaches us alone, and we pass it on once
            preexec_fn=_end_with_parent(),
        )
        try:
            ended = _watch(job, status, stops, limit_s)
        finally:
            _end(job, status)
        return _verdict(ended, job.returncode, status)


def _end_with_parent() -> Callable[[], None] | None:
    """Run by the child before it becomes mpiexec: SIGTERM when we die, even of SIGKILL (Linux only)."""
    if not sys.platform.startswith("linux"):
        return None
    libc = ctypes.CDLL(None)  # loaded here: little is safe between fork and exec
    set_parent_death_signal = 1
    return lambda: libc.prctl(set_parent_death_signal, signal.SIGTERM)


@contextmanager
def _stop_signals() -> Iterator[list[int]]:
    """Collect Ctrl-C, SIGTERM and SIGHUP in a list instead of dying of them."""
    caught: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        caught.append(number)

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    try:
        before = {number: signal.signal(number, note) for number in numbers}
    except ValueError:  # not the main thread: whoever owns that one takes care of signals
        yield caught
        return
    try:
        yield caught
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _watch(job: subprocess.Popen[bytes], status: Path, stops: list[int], limit_s: float | None) -> str:
    """Wait until the job ends or must be ended: "over", "failed", "stopped" or "late"."""
    began = time.monotonic()
    while True:
        with suppress(subprocess.TimeoutExpired):
            job.wait(LOOK_S)
            return "over"
        if stops:
            return "stopped"
        if _failure(status).exists():
            return "failed"
        if limit_s is not None and time.monotonic() - began > limit_s:
            return "late"


def _end(job: subprocess.Popen[bytes], status: Path) -> None:
    """Leave no process of the job behind: ask mpiexec, then kill it and every rank that is left."""
    if job.poll() is None:
        job.terminate()
        with suppress(subprocess.TimeoutExpired):
            job.wait(GRACE_S)
    if job.poll() is None:
        with suppress(ProcessLookupError):
            os.killpg(job.pid, signal.SIGKILL)
        job.wait()
    for pid in _marked(status):
        with suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)


def _marked(status: Path) -> Iterator[int]:
    """Processes that carry this job's status file in their environment (Linux; elsewhere none).

    Ranks have process groups of their own and outlive a killed mpiexec, so the group is not enough.
    """
    mark = f"{STATUS_FILE}={status}".encode()
    for entry in Path("/proc").glob("[0-9]*/environ"):
        with suppress(OSError):
            if mark in entry.read_bytes().split(b"\0"):
                yield int(entry.parent.name)


def _verdict(ended: str, mpiexec_status: int, status: Path) -> int:
    if ended == "stopped":
        _say("mpidcl: stopped. All ranks have ended; the same command goes on from the last checkpoint.")
        return EXIT_RESUMABLE
    if ended == "late":
        _say("mpidcl: the time limit has passed. All ranks have been ended.")
        return EXIT_FAILED
    if (failed := _read(_failure(status))) is not None:
        _say(failed[1])
        return failed[0]
    if mpiexec_status == 0:
        agreed = _read(status)
        return agreed[0] if agreed else EXIT_DONE
    _say(f"mpidcl: {_explain(mpiexec_status)} All ranks have ended; a started run can be resumed.")
    return EXIT_FAILED


def _explain(mpiexec_status: int) -> str:
    # mpiexec gives 128 + signal for a killed rank; Popen gives -signal when mpiexec itself was killed
    number = -mpiexec_status if mpiexec_status < 0 else mpiexec_status - 128
    names = {member.value: member.name for member in signal.Signals}
    if number not in names:
        return f"a rank ended unexpectedly (mpiexec gave status {mpiexec_status})."
    hint = " (often: out of memory)" if number == signal.SIGKILL else ""
    return f"{'mpiexec' if mpiexec_status < 0 else 'a rank'} was killed by {names[number]}{hint}."


def _failure(status: Path) -> Path:
    return status.with_name(status.name + ".failed")


def _read(file: Path) -> tuple[int, str] | None:
    """Exit status (first line) and message of a file that a rank left; None without one."""
    try:
        code, _, message = file.read_text(encoding="utf-8").partition("\n")
    except FileNotFoundError:
        return None
    return int(code), message


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


# --- inside a rank ----------------------------------------------------------------------------------


def under_mpiexec() -> bool:
    """Whether this process was started as a rank of an MPI job (Open MPI, MPICH, Intel, Slurm, PALS)."""
    return _launcher() is not None


def rank_and_size() -> tuple[int, int | None]:
    """Rank and number of ranks as the launcher said them, without asking MPI; size None: not said."""
    found = _launcher()
    if found is None:
        return 0, 1
    rank, size = found
    return int(os.environ[rank]), int(os.environ[size]) if size is not None else None


def _launcher() -> tuple[str, str | None] | None:
    for rank, size in RANK_VARIABLES:
        named = rank in os.environ and (size is None or size in os.environ)
        if named and not (rank == "SLURM_PROCID" and _is_slurms_own_step()):
            return rank, size
    return None


def _is_slurms_own_step() -> bool:
    return int(os.environ.get("SLURM_STEP_ID", SLURM_SPECIAL_STEPS)) >= SLURM_SPECIAL_STEPS


def run_rank(body: Callable[[], int | None]) -> NoReturn:
    """Run `body` as this rank's whole life and end the process; every rank of the job calls it.

    `body` returns the exit status that all ranks have agreed on. An exception is this rank's own affair: its
    message (MpidclError) or traceback is printed once with rank and host, and the whole job ends.
    """
    try:
        _join()
        code = body()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int | None) else EXIT_FAILED
    except KeyboardInterrupt:
        code = EXIT_RESUMABLE
    except BaseException as error:
        fail(error)
    finish(code or EXIT_DONE)


def _join() -> None:
    """Start MPI and see that the ranks found each other; raises LaunchError if they did not."""
    from mpi4py import MPI

    faulthandler.enable()
    if os.environ.get("TTY_COMPATIBLE") == "0":
        sys.stdout = _Log(sys.stdout.buffer, encoding=sys.stdout.encoding, line_buffering=True)
    _, said = rank_and_size()
    found: int = MPI.COMM_WORLD.Get_size()
    if said is not None and said != found:
        library = MPI.Get_library_version().splitlines()[0]
        raise LaunchError(
            f"mpiexec started {said} ranks, but this rank found {found}: the mpiexec belongs to another MPI "
            f"than the one that mpi4py loads ({library}). Each rank would have run everything alone.\n"
            "  Use the mpiexec of that MPI, or load the module of the MPI whose mpiexec it is."
        )


class _Log(io.TextIOWrapper):
    """Standard output of a rank whose job writes to a file: Open MPI shows it a terminal all the same."""

    def isatty(self) -> bool:
        return False


def finish(code: int) -> NoReturn:
    """End this rank with a status that all ranks have agreed on; every rank of the job calls it."""
    sys.stdout.flush()
    status = os.environ.get(STATUS_FILE)
    if status is None:
        sys.exit(code)
    if rank_and_size()[0] == 0:
        Path(status).write_text(str(code))
    sys.exit(EXIT_DONE)


def fail(error: BaseException) -> NoReturn:
    """End the whole job because of this rank's `error`; the other ranks need not know of it."""
    code = error.exit_status if isinstance(error, MpidclError) else EXIT_FAILED
    if rank_and_size()[0] > 0 and code == EXIT_WRONG_INPUT:
        time.sleep(1.0)  # wrong input is often seen by all ranks: let rank 0 say it, once
    status = os.environ.get(STATUS_FILE)
    if status is not None:
        _claim(_failure(Path(status)), f"{code}\n{_message(error)}")
        time.sleep(2 * GRACE_S)
    else:
        _say(_message(error))
    from mpi4py import MPI

    MPI.COMM_WORLD.Abort(code)
    raise SystemExit(code)  # Abort does not return


def _claim(failure: Path, text: str) -> None:
    """Be the one rank that tells of its failure: `launch` prints the text and ends the job quietly."""
    draft = failure.with_name(f"{failure.name}.{os.getpid()}")
    draft.write_text(text, encoding="utf-8")
    with suppress(FileExistsError):
        os.link(draft, failure)  # one rank succeeds, and nobody sees the file half written


def _message(error: BaseException) -> str:
    rank, size = rank_and_size()
    if rank == 0 and isinstance(error, MpidclError) and error.exit_status == EXIT_WRONG_INPUT:
        return f"mpidcl: {error}"  # as on the command line: it is the same on every rank
    where = f"mpidcl: rank {rank}" + (f" of {size}" if size else "") + f" on {socket.gethostname()}"
    if isinstance(error, MpidclError):
        return "\n".join([f"{where}: {error}", *getattr(error, "__notes__", ())])
    return f"{where} failed:\n{''.join(traceback.format_exception(error))}".rstrip()


def main(arguments: Sequence[str]) -> int:
    """`python -m mpidcl.launch RANKS [LIMIT_S] -- PROGRAM...`: `run_ranks` for scripts."""
    try:
        cut = list(arguments).index("--")
        ranks, limit = int(arguments[0]), float(arguments[1]) if cut > 1 else None
        return run_ranks(arguments[cut + 1 :], ranks, limit_s=limit)
    except (ValueError, IndexError):
        _say("usage: python -m mpidcl.launch RANKS [LIMIT_S] -- PROGRAM [ARGUMENT]...")
        return EXIT_WRONG_INPUT
    except LaunchError as error:
        _say(f"mpidcl: {error}")
        return error.exit_status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
