"""When the time of this job is over: as the user says it, or as the batch system tells it."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

from mpidcl.base.notices import warn
from mpidcl.errors import EXIT_RESUMABLE, ExperimentError, MpidclError
from mpidcl.experiment.units import parse_walltime
from mpidcl.network.alarm import LEAST_S, Alarm

NONE = "none"
"""In place of a time: do not stop before the job ends."""
ASK_S = 10.0
"""Seconds that a batch system has for an answer."""


@dataclass(frozen=True)
class JobEnd:
    """When the time is over, in seconds of `time.monotonic`, and who says so."""

    at: float
    said_by: str

    def __str__(self) -> str:
        left = self.at - time.monotonic()
        form = "%H:%M:%S" if left < 12 * 3600 else "%Y-%m-%d %H:%M"
        return f"{time.strftime(form, time.localtime(time.time() + left))} ({self.said_by})"


def given(text: str, began: float | None = None) -> JobEnd | None:
    """The end of a run that may last for `text`; None for "none". Raises ExperimentError.

    It counts from `began` (seconds since 1970), or from now on.
    """
    if text == NONE:
        return None
    try:
        seconds = parse_walltime(text)
    except ValueError as error:
        raise ExperimentError(f'--walltime {error}, or "{NONE}". Found "{text}"') from None
    passed = 0.0 if began is None else max(0.0, time.time() - began)
    return JobEnd(time.monotonic() + seconds - passed, f"--walltime {text}")


class TooLateError(MpidclError):
    """A run that has got further before finds no time left: it is as unfinished as it was."""

    exit_status = EXIT_RESUMABLE


def alarm_for(end: JobEnd | None, period: float | None, resumed: bool = False) -> Alarm | None:
    """The clock of a run that ends before `end` and is saved every `period` seconds; None: it has neither.

    Raises when there is no time left to learn and to save: ExperimentError for a run that would so start
    again and again, TooLateError for one that is `resumed`, since only this start was slow.
    """
    alarm = Alarm(period, None if end is None else end.at)
    if end is not None and alarm.left() < LEAST_S:
        raise (TooLateError if resumed else ExperimentError)(
            f"The time should last for start-up, some learning, and {LEAST_S:g} s to save and leave. Found"
            f" {max(alarm.left(), 0.0):.1f} s left after start-up ({end.said_by}): give the run more time"
        )
    return None if end is None and period is None else alarm


def of_job(environment: Mapping[str, str] = os.environ) -> JobEnd | None:
    """The end of the Slurm or PBS job that this process is in; None: in no job, or it has no end.

    Where the batch system gives no answer a line says so, and what was asked.
    """
    slurm, pbs = environment.get("SLURM_JOB_ID"), environment.get("PBS_JOBID")
    try:
        left = _slurm(slurm, environment) if slurm else _pbs(pbs) if pbs else None
    except _UnknownError as error:
        warn(f"{error}. The run will not stop by itself before that; `--walltime` can say it.")
        return None
    if left is None or left <= 0:  # a job that is over is not ours: its variables were inherited
        return None
    return JobEnd(time.monotonic() + left, f"Slurm job {slurm}" if slurm else f"PBS job {pbs}")


class _UnknownError(Exception):
    """The batch system does not tell when the job ends."""


def _slurm(job: str, environment: Mapping[str, str]) -> float | None:
    """Seconds left. Newer versions tell the end in the environment."""
    with suppress(KeyError, ValueError):
        left = int(environment["SLURM_JOB_END_TIME"]) - time.time()
        if left > 0:  # else the job was given more time, or is not ours
            return left
    command = ["squeue", "--noheader", "--job", job, "--format", "%L"]
    answer = _ask(command).strip()
    if answer == "UNLIMITED":
        return None
    told = _clock(answer)
    if told is None:
        raise _unknown(command, f'found "{answer}"')
    return told


def _pbs(job: str) -> float | None:
    """Seconds left of a job of PBS Pro, OpenPBS or Torque."""
    command = ["qstat", "-f", job]
    known = dict(line.strip().partition(" = ")[::2] for line in _ask(command).splitlines())
    if (left := known.get("Walltime.Remaining", "")).isdecimal():
        return float(left)
    if "Resource_List.walltime" not in known:
        return None
    walltime = _clock(known["Resource_List.walltime"])
    with suppress(KeyError, ValueError):
        began = time.mktime(time.strptime(known.get("stime") or known["start_time"]))
        if walltime is not None:
            return began + walltime - time.time()
    raise _unknown(command, "found no `stime`")


def _clock(text: str) -> float | None:
    """Seconds of "1-02:03:04", "02:03:04", "03:04" or "4"."""
    days, _, rest = text.rpartition("-")
    try:
        parts = [int(days or 0) * 24 * 60**2, *(int(part) for part in rest.split(":"))]
    except ValueError:
        return None
    return float(parts[0] + sum(part * 60**place for place, part in enumerate(reversed(parts[1:]))))


def _ask(command: list[str]) -> str:
    try:
        # times as the clock here shows them, months in English
        environment = {**os.environ, "LC_ALL": "C"}
        return subprocess.run(
            command, capture_output=True, text=True, check=True, timeout=ASK_S, env=environment
        ).stdout
    except subprocess.CalledProcessError as error:
        raise _unknown(command, error.stderr.strip() or f"status {error.returncode}") from None
    except (OSError, subprocess.SubprocessError) as error:
        raise _unknown(command, str(error)) from None


def _unknown(command: list[str], found: str) -> _UnknownError:
    return _UnknownError(f"`{' '.join(command)}` should tell when this job ends: {found}")
