"""Start the ranks of a job on this machine, watch over it, and give it one exit status.

    mpidcl run FILE                    -> launch(): starts mpiexec, watches over it
      mpiexec -n 4 python -m mpidcl run FILE
        rank 0 .. 3                    -> run_rank() (rank.py): joins, runs, finish() or fail()

How the ranks say what happened, and what is kept of a job while it lasts: job.py.
"""

from __future__ import annotations

import ctypes
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

from mpidcl.base.notices import say
from mpidcl.base.rank_variables import under_mpiexec, without_launcher
from mpidcl.errors import EXIT_DONE, EXIT_FAILED, EXIT_RESUMABLE, EXIT_WRONG_INPUT
from mpidcl.launch.ending import GOES_ON, on_stop_signals
from mpidcl.launch.job import (
    SIGN_FILE,
    STATUS_FILE,
    asked,
    failure,
    job_folders,
    kill_ranks,
    ranks_of,
    read_end,
    ready,
    stopping,
)
from mpidcl.launch.mpiexec import LaunchError, find_mpiexec, settings
from mpidcl.launch.rank import TOLD

REPEAT_S = 2.0
"""Seconds in which another signal is the same event once more, as in network.stopping."""
TAKE_S = 10.0
"""Seconds in which a rank says that it takes a stop signal; after that all ranks are ended."""
START_S = 10.0
"""Seconds after which ranks run, if not on this machine then on others."""
GRACE_S = 5.0
"""Seconds that mpiexec has to end its ranks before everything is killed; Open MPI needs about 0.3."""
LOOK_S = 0.05
"""Seconds between two looks at the job."""


def launch(arguments: Sequence[str], ranks: int, threads: int = 1) -> int:
    """Run `mpidcl ARGUMENTS` on `ranks` MPI processes of this machine; return the exit status of the job.

    0, 2 and 75 are what the ranks agreed on; 70: a rank failed or was killed. A signal of STOP_SIGNALS goes
    to the ranks, which may save first; a second one ends them within seconds. Both give 75. Raises
    LaunchError when no MPI is found.
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
    with job_folders() as own, _stop_signals() as stops:
        environment = without_launcher(os.environ) if under_mpiexec() else dict(os.environ)
        environment |= {STATUS_FILE: str(own.status), SIGN_FILE: str(own.sign)}
        environment |= settings(mpiexec, threads, own.folder, environment, own.memory)
        job = subprocess.Popen(
            [mpiexec.path, "-n", str(ranks), *program],
            env=environment,
            stdin=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C reaches us alone, and we pass it on once
            preexec_fn=_end_with_parent(),
        )
        try:
            ended = _watch(job, own.status, stops, limit_s, own.sign)
        finally:
            _end(job, own.status)
        return _verdict(ended, mpiexec.status(job.returncode), own.status, own.sign)


def _end_with_parent() -> Callable[[], None] | None:
    """Run by the child before it becomes mpiexec: SIGTERM when we die, even of SIGKILL (Linux only)."""
    if not sys.platform.startswith("linux"):
        return None
    libc = ctypes.CDLL(None)  # loaded here: little is safe between fork and exec
    set_parent_death_signal = 1
    return lambda: libc.prctl(set_parent_death_signal, signal.SIGTERM)


@contextmanager
def _stop_signals() -> Iterator[list[int]]:
    """Collect the signals that end a job in a list instead of dying of them; one that repeats counts once."""
    caught: list[int] = []
    first = 0.0

    def note(number: int, frame: FrameType | None) -> None:
        nonlocal first
        first = first or time.monotonic()
        if not caught or (number != signal.SIGXCPU and time.monotonic() - first > REPEAT_S):
            caught.append(number)

    with on_stop_signals(note):
        yield caught


def _watch(
    job: subprocess.Popen[bytes], status: Path, stops: list[int], limit_s: float | None, sign: Path
) -> str:
    """Wait until the job ends or must be ended: "over", "failed", "told", "stopped" or "late".

    The first signal goes to the ranks, which save and end; a second one, or one that nobody takes, ends them.
    """
    began, taken_by, over_by = time.monotonic(), 0.0, math.inf
    while True:
        with suppress(subprocess.TimeoutExpired):
            job.wait(LOOK_S)
            # the signal may have gone to the ranks, too
            return (
                "stopped" if stops and job.returncode != EXIT_DONE and not _told(job.returncode) else "over"
            )
        now = time.monotonic()
        if stops and not taken_by:
            taken_by = now + _pass_on(job, status, stops[0], now - began)
        if len(stops) > 1 or (taken_by and now >= taken_by and not stopping(status).exists()):
            return "stopped"
        if failure(status).exists():
            return "failed"
        if over_by == math.inf and sign.exists():
            over_by = now + GRACE_S
        if now > over_by:  # mpiexec waits for a node that is lost
            return "told"
        if limit_s is not None and time.monotonic() - began > limit_s:
            return "late"


def _pass_on(job: subprocess.Popen[bytes], status: Path, number: int, age: float) -> float:
    """Ask the ranks to stop; seconds in which one should say that it does so, 0: they have not begun."""
    ranks = ranks_of(status)
    if (ranks and not ready(status).exists()) or (not ranks and age < START_S):
        return 0.0
    with suppress(OSError):  # without it a rank takes SIGTERM for mpiexec's, and ends at once
        asked(status).touch()
    for pid in ranks:
        with suppress(ProcessLookupError):
            os.kill(pid, number)
    if not ranks:
        _pass_on_by_mpiexec(job, number)
    return TAKE_S if ranks else math.inf


def _pass_on_by_mpiexec(job: subprocess.Popen[bytes], number: int) -> None:
    """The same for ranks that are all on other machines, whose answer may not be seen here."""
    name = signal.Signals(number).name
    say(f"mpidcl: {name}: the ranks are on other machines and are asked to stop, by SIGUSR1 through mpiexec.")
    job.send_signal(signal.SIGUSR1)  # the one that every mpiexec passes on


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
    kill_ranks(status)


def _verdict(ended: str, mpiexec_status: int, status: Path, sign: Path) -> int:
    if ended == "stopped":
        say(f"mpidcl: stopped. All ranks have ended. {GOES_ON}")
        return EXIT_RESUMABLE
    if ended == "late":
        say("mpidcl: the time limit has passed. All ranks have been ended.")
        return EXIT_FAILED
    if ended == "told" and (told := read_end(sign)) is not None:
        return told[0]
    if _told(mpiexec_status) and ended != "failed":
        return mpiexec_status - TOLD
    if (failed := read_end(failure(status))) is not None:
        say(failed[1])
        return failed[0]
    if mpiexec_status == EXIT_DONE:
        agreed = read_end(status)
        return agreed[0] if agreed else EXIT_DONE
    say(f"mpidcl: {_explain(mpiexec_status)} All ranks have ended; a started run can be resumed.")
    return EXIT_FAILED


def _told(mpiexec_status: int) -> bool:
    """Has a rank said why the job ends, where `launch` cannot read it?"""
    return mpiexec_status - TOLD in (EXIT_WRONG_INPUT, EXIT_FAILED, EXIT_RESUMABLE)


def _explain(mpiexec_status: int) -> str:
    # mpiexec gives 128 + signal for a killed rank; Popen gives -signal when mpiexec itself was killed
    number = -mpiexec_status if mpiexec_status < 0 else mpiexec_status - 128
    names = {member.value: member.name for member in signal.Signals}
    if number not in names:
        return f"a rank ended unexpectedly (mpiexec gave status {mpiexec_status})."
    hint = " (often: out of memory)" if number == signal.SIGKILL else ""
    return f"{'mpiexec' if mpiexec_status < 0 else 'a rank'} was killed by {names[number]}{hint}."
