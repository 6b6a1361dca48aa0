#!/usr/bin/env python
"""How a run starts, ends, fails and stops under launchers: status, seconds, processes left, digest.

python scripts/launchers.py [--launch "srun -n 2"]... [--ranks 2] [--only run,resume] [--out FILE]

Every cell is a real run of a tiny experiment: exit status, and seconds from the event (or the start) to the
end. A run that was stopped is gone on with, and has to end with the bits of one process. Marked are a status
that `mpidcl run` would not give (`!`; launchers have statuses of their own), processes that were left, and
another digest; the exit status of this script is 1 where there is any of these.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from mpidcl.rank_variables import RANK_VARIABLES

MARK = "MPIDCL_LAUNCHERS"
"""Environment variable by which the processes of one cell are found again."""
NOT_HERE = "not tried: no rank on this machine"
LIMIT_S = 180.0
"""Seconds after which a cell counts as one that never ends."""
EXPERIMENT = """name = "tiny"
agents = {agents}
[stream]
tasks = 3
train_per_class = 10
[learning]
epochs = 30
terms = ["paced:Paced"]
[[exchange]]
kind = "parameters"
when = "before"
every = "1 epochs"
from_task = 0
"""
PACED = '''"""Learning as slow, or as broken, as the file `pace` says."""
import time
from pathlib import Path
from mpidcl.learning.terms.replay import Replay

class Paced(Replay):
    def loss(self, *args, **kwargs):
        said = Path(__file__).with_name("pace").read_text()
        if said == "raise":
            from mpi4py import MPI
            if MPI.COMM_WORLD.rank == MPI.COMM_WORLD.size - 1:
                raise ValueError("raised on the last rank")
        else:
            time.sleep(float(said))
        return super().loss(*args, **kwargs)
'''


@dataclass(frozen=True)
class Launcher:
    """A way to start ranks: `words` come before `python -m mpidcl run FILE`, `after` behind it."""

    name: str
    words: tuple[str, ...]
    after: tuple[str, ...] = ()

    def command(self, *words: str) -> list[str]:
        """The whole command line of `mpidcl run tiny.toml WORDS`."""
        return [*self.words, sys.executable, "-m", "mpidcl", "run", "tiny.toml", *self.after, *words]


@dataclass
class Cell:
    """What one event gave. `digest`: did the run end with the right bits? None: it was not to end."""

    status: int | None
    seconds: float
    left: int
    digest: bool | None = None
    saved: bool | None = None
    said: str = ""


@dataclass
class Place:
    """A folder with the experiment, in which one launcher is tried."""

    folder: Path
    launcher: Launcher
    digest: str
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def run(self) -> Path:
        """The run folder."""
        return self.folder / "runs" / "tiny"

    def start(self, *words: str, pace: str = "0") -> subprocess.Popen[str]:
        """Start the run of the experiment."""
        (self.folder / "pace").write_text(pace)
        self.environment = {**os.environ, MARK: uuid.uuid4().hex}
        return subprocess.Popen(
            self.launcher.command(*words),
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def end(self, job: subprocess.Popen[str], began: float) -> Cell:
        """Wait for the end, count what is left of it, and end that, too."""
        try:
            said, _ = job.communicate(timeout=LIMIT_S)
        except subprocess.TimeoutExpired:
            job.kill()
            said, status = "never ended", None
        else:
            status = job.returncode
        seconds = time.monotonic() - began
        time.sleep(1.0)
        left = list(self.processes())
        for pid in left:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return Cell(status, seconds, len(left), said=said)

    def processes(self) -> Iterator[int]:
        """Processes of this cell that this machine knows of."""
        mark = f"{MARK}={self.environment.get(MARK)}".encode()
        for entry in Path("/proc").glob("[0-9]*/environ"):
            with suppress(OSError):
                if mark in entry.read_bytes().split(b"\0"):
                    yield int(entry.parent.name)

    def last_rank(self) -> int | None:
        """The process of the last rank on this machine, None: there is no rank here."""
        found = {}
        for pid in self.processes():
            with suppress(OSError):
                entries = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
                told = dict(entry.split(b"=", 1) for entry in entries if b"=" in entry)
                for name in (rank.encode() for rank, _ in RANK_VARIABLES):
                    if name in told and b"mpidcl" in Path(f"/proc/{pid}/cmdline").read_bytes():
                        found[int(told[name])] = pid
                        break
        return found[max(found)] if found else None

    def learning(self, job: subprocess.Popen[str]) -> None:
        """Wait until the agents learn."""
        limit = time.monotonic() + LIMIT_S
        while not any(path.stat().st_size for path in self.run.glob("metrics/*.jsonl")):
            if job.poll() is not None or time.monotonic() > limit:
                return
            time.sleep(0.05)
        time.sleep(1.0)

    def cuts(self) -> set[Path]:
        """The complete checkpoints."""
        return set(self.run.glob("checkpoints/*/manifest.json"))

    def went_on(self, cell: Cell) -> Cell:
        """The cell, and whether the run, gone on with, ends with the right bits."""
        again = self.end(self.start(), time.monotonic())
        cell.digest = again.status == 0 and self.has_digest()
        return cell

    def has_digest(self) -> bool:
        """Has the finished run the bits of one process?"""
        with suppress(OSError, ValueError):
            return bool(json.loads((self.run / "summary.json").read_text())["digest"] == self.digest)
        return False


# --- events ------------------------------------------------------------------------------------------


def straight(place: Place) -> Cell:
    """A run from its beginning to its end."""
    cell = place.end(place.start(), time.monotonic())
    cell.digest = place.has_digest()
    return cell


def resume(place: Place) -> Cell:
    """Stopped on purpose after the first task, and gone on with."""
    return place.went_on(place.end(place.start("--until", "1 task"), time.monotonic()))


def wrong(place: Place) -> Cell:
    """A key that does not exist."""
    return place.end(place.start("--set", "learning.epoch=3"), time.monotonic())


def raises(place: Place) -> Cell:
    """An error in the user's own code, on the last rank alone."""
    return place.end(place.start(pace="raise"), time.monotonic())


def killed(place: Place) -> Cell:
    """The last rank is killed while it learns; the run can be gone on with."""
    job = place.start(pace="0.2")
    place.learning(job)
    began = time.monotonic()
    if (rank := place.last_rank()) is not None:
        os.kill(rank, signal.SIGKILL)
        return place.went_on(place.end(job, began))
    job.terminate()
    return replace(place.end(job, began), said=NOT_HERE)


def signalled(number: signal.Signals) -> Callable[[Place], Cell]:
    """The launcher gets a signal while the agents learn."""

    def event(place: Place) -> Cell:
        job = place.start(pace="0.2")
        place.learning(job)
        before, began = place.cuts(), time.monotonic()
        job.send_signal(number)
        cell = place.end(job, began)
        cell.saved = place.cuts() > before
        return place.went_on(cell)

    return event


def walltime(place: Place) -> Cell:
    """The time is nearly over."""
    return place.went_on(place.end(place.start("--walltime", "20 s", pace="0.5"), time.monotonic()))


EVENTS: dict[str, Callable[[Place], Cell]] = {
    "run": straight,
    "resume": resume,
    "wrong file": wrong,
    "rank raises": raises,
    "rank killed": killed,
    "SIGUSR1": signalled(signal.SIGUSR1),
    "SIGTERM": signalled(signal.SIGTERM),
    "SIGINT": signalled(signal.SIGINT),
    "time limit": walltime,
}
WANTED = {"run": 0, "resume": 75, "wrong file": 2, "rank raises": 70, "rank killed": 70, "time limit": 75} | {
    name: 75 for name in EVENTS if name.startswith("SIG")
}
"""The exit status that `mpidcl run` gives; a launcher of somebody else's may give another."""


def in_one_process(folder: Path) -> str:
    """The digest of the experiment, from one process without MPI."""
    (folder / "pace").write_text("0")
    command = [
        sys.executable,
        "-m",
        "mpidcl",
        "run",
        "tiny.toml",
        "--driver",
        "inprocess",
        "--out",
        "one",
        "-q",
    ]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{shlex.join(command)} ended with {done.returncode}:\n{done.stderr}")
    return str(json.loads((folder / "one" / "summary.json").read_text())["digest"])


def shown(event: str, cell: Cell) -> str:
    """A cell in words: status, seconds, and what is not as it should be."""
    if cell.said == NOT_HERE:
        return NOT_HERE
    status = "never ended" if cell.status is None else f"{cell.status}"
    words = [status + " !" * (cell.status != WANTED[event]), f"{cell.seconds:.1f} s"]
    words += [] if cell.saved is None else ["saved" if cell.saved else "not saved"]
    words += [f"**{cell.left} left**"] * (cell.left > 0)
    words += ["**other digest**"] * (cell.digest is False)
    return ", ".join(words)


def table(rows: list[tuple[str, str, Cell]]) -> str:
    """The cells as a table of Markdown: an event per line, a launcher per column."""
    launchers = list(dict.fromkeys(launcher for launcher, _, _ in rows))
    found = {(launcher, event): shown(event, cell) for launcher, event, cell in rows}
    events = dict.fromkeys(event for _, event, _ in rows)
    lines = [["event", *launchers], ["---"] * (len(launchers) + 1)]
    lines += [[event, *(found.get((launcher, event), "") for launcher in launchers)] for event in events]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def main() -> int:
    """Try every event under every launcher."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--launch", action="append", metavar="WORDS", help="a launcher; again for each further one"
    )
    parser.add_argument("--ranks", type=int, default=2, help="agents of the experiment, and ranks of `-n`")
    parser.add_argument("--only", metavar="EVENT,...", help=f"of {', '.join(EVENTS)}")
    parser.add_argument(
        "--folder", type=Path, default=Path.cwd(), help="where all nodes can write; default: here"
    )
    parser.add_argument("--out", type=Path, help="write the table there, too")
    parser.add_argument("--verbose", action="store_true", help="show what every run has said")
    asked = parser.parse_args()
    events = [name.strip() for name in asked.only.split(",")] if asked.only else list(EVENTS)
    if unknown := [name for name in events if name not in EVENTS]:
        parser.error(f"--only should name events of {', '.join(EVENTS)}. Found {', '.join(unknown)}")
    launchers = [Launcher(words, tuple(shlex.split(words))) for words in asked.launch or ()]
    if not launchers:
        from mpidcl.mpiexec import find_mpiexec

        n = str(asked.ranks)
        launchers = [
            Launcher("mpidcl run -n", (), ("-n", n)),
            Launcher("mpiexec", (find_mpiexec().path, "-n", n)),
        ]
    folder = Path(tempfile.mkdtemp(prefix="launchers-", dir=asked.folder))
    rows = []
    try:
        (folder / "tiny.toml").write_text(EXPERIMENT.format(agents=asked.ranks))
        (folder / "paced.py").write_text(PACED)
        digest = in_one_process(folder)
        for launcher in launchers:
            for name in events:
                shutil.rmtree(folder / "runs", ignore_errors=True)
                cell = EVENTS[name](Place(folder, launcher, digest))
                rows.append((launcher.name, name, cell))
                print(f"{launcher.name}: {name}: {shown(name, cell)}", flush=True)
                if asked.verbose:
                    print(cell.said, flush=True)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    text = table(rows)
    print(f"\n{text}")
    if asked.out is not None:
        asked.out.write_text(text + "\n")
    tried = [(event, cell) for _, event, cell in rows if cell.said != NOT_HERE]
    bad = [cell for event, cell in tried if cell.status != WANTED[event] or cell.left or cell.digest is False]
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
