"""Carries out planned runs, a few at a time, each in a process of its own; finished ones are kept."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed, wait
from pathlib import Path
from threading import Event, Lock

from mpidcl.base.quantities import seconds_text
from mpidcl.errors import (
    EXIT_DONE,
    EXIT_FAILED,
    EXIT_RESUMABLE,
    EXIT_WRONG_INPUT,
    ExperimentError,
    RunFolderError,
)
from mpidcl.launch.ending import Stopped, stops_raise
from mpidcl.record.atomic import make_folder
from mpidcl.record.folder import RunState
from mpidcl.reproduce.plan import Planned, no_data

Say = Callable[[str], None]
LIBRARIES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")


def run_all(runs: Sequence[Planned], jobs: int, driver: str, logs: Path, say: Say = print) -> int:
    """Runs what is not finished, `jobs` at a time; the worst exit status of any.

    0 all done, 2 something is wrong with the experiment or its data, 70 a run failed, 75 stopped: the same
    command goes on. What a run printed lies in `logs`. One run that fails does not stop the others.
    """
    todo, status = _to_do(runs, say)
    if not todo:
        return status
    make_folder(logs)
    workers = _Workers(driver, logs, len(todo), say)
    return max(status, workers.work(todo, jobs), key=_badness)


def _to_do(runs: Sequence[Planned], say: Say) -> tuple[list[Planned], int]:
    """The runs that can be made and are not finished, and 2 where one is wrong or none can be made."""
    absent = {run.dataset: no_data(run.dataset, run.data_options) for run in runs if run.dataset}
    for dataset, why in absent.items():
        if why:
            say(f"{dataset} is left out, {why}")
    here = [run for run in runs if not absent.get(run.dataset)]
    states: Counter[str] = Counter()
    todo, wrong = [], {}
    for run in here:
        try:
            state = run.state()
        except (ExperimentError, RunFolderError) as error:
            wrong[str(error)] = run
            continue
        states[state.value] += 1
        if state is not RunState.FINISHED:
            todo.append(run)
    for text, run in wrong.items():
        say(f"{run.title} cannot be run: {text}")
    if here:
        counts = ", ".join(f"{count} {state}" for state, count in sorted(states.items()))
        say(f"{len(here)} run{'s' * (len(here) != 1)}: {counts or 'none can be made'}")
    return todo, EXIT_WRONG_INPUT if wrong or not here else EXIT_DONE


class _Workers:
    """Threads that each start one process after the other and wait for it."""

    def __init__(self, driver: str, logs: Path, count: int, say: Say) -> None:
        self.driver, self.logs, self.count, self.say = driver, logs, count, say
        self.stopped = Event()
        self.started = 0
        self.running: set[subprocess.Popen[bytes]] = set()
        self.lock = Lock()

    def work(self, todo: Sequence[Planned], jobs: int) -> int:
        """The worst exit status. A signal that stops this process stops all runs, which can be resumed."""
        pool = ThreadPoolExecutor(jobs)
        futures = [pool.submit(self._one, run) for run in todo]
        try:
            with stops_raise():
                return max((future.result() for future in as_completed(futures)), key=_badness)
        except Stopped:
            pool.shutdown(wait=False, cancel_futures=True)
            with self.lock:  # nothing is said of a run after this line
                self.stopped.set()
                self.say("stopped; the runs save and end, and the same command goes on with them")
            self._stop([future for future in futures if not future.cancelled()])
            return EXIT_RESUMABLE
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

    def _stop(self, futures: Sequence[Future[int]]) -> None:
        """Passes on this signal, and every further one, until all runs have ended."""
        while True:
            with self.lock:
                for process in self.running:
                    process.send_signal(signal.SIGINT)
            try:
                with stops_raise():
                    wait(futures)
                    return
            except Stopped:
                continue

    def _one(self, run: Planned) -> int:
        with self.lock:
            self.started += 1
            number = self.started
        began = time.monotonic()
        log = self.logs / f"{run.title.replace(' ', '-')}.log"
        status = self._process(run, log)
        took = seconds_text(time.monotonic() - began)
        said = "done" if status == EXIT_DONE else f"FAILED with status {status}, see {log}"
        with self.lock:
            if status is not None and not self.stopped.is_set():
                self.say(f"[{number}/{self.count}] {run.title}: {said}, {took}")
        return EXIT_RESUMABLE if status is None else status

    def _process(self, run: Planned, log: Path) -> int | None:
        """Exit status, 70 for a process that was killed; None when nothing more is to be started."""
        command = [sys.executable, "-m", "mpidcl", *run.words(self.driver)]
        environment = dict.fromkeys(LIBRARIES, "1") | os.environ
        with log.open("wb") as output:
            with self.lock:
                if self.stopped.is_set():
                    return None
                process = subprocess.Popen(
                    command, stdout=output, stderr=subprocess.STDOUT, env=environment, start_new_session=True
                )
                self.running.add(process)
            status = process.wait()
        with self.lock:
            self.running.discard(process)
        known = (EXIT_DONE, EXIT_WRONG_INPUT, EXIT_FAILED, EXIT_RESUMABLE)
        return status if status in known else EXIT_FAILED


def _badness(status: int) -> int:
    return (EXIT_DONE, EXIT_RESUMABLE, EXIT_WRONG_INPUT, EXIT_FAILED).index(status)
