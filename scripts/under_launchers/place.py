"""A folder with a tiny experiment in which one launcher is tried, and what an event there has given."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from mpidcl.base.rank_variables import RANK_VARIABLES

MARK = "MPIDCL_LAUNCHERS"
"""Environment variable by which the processes of one cell are found again, also on emulated nodes."""
LIMIT_S = 600.0
"""Seconds after which a cell counts as one that never ends."""
AROUND = ("nsenter", "salloc")
"""Programs that stand around a launcher, and are not what a user sends signals to."""
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
    """A way to start ranks: `words` come before `python -m mpidcl run FILE`, `after` behind it.

    `lose` takes the last of several nodes from the network, and gives the launcher for those that are left.
    `sure_s`: seconds after the start in which a launcher comes to be sure of ranks that it cannot see.
    """

    name: str
    words: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    lose: Callable[[], Launcher] | None = None
    sure_s: float = 0.0

    def command(self, *words: str) -> list[str]:
        """The whole command line of `mpidcl run tiny.toml WORDS`."""
        return [*self.words, sys.executable, "-m", "mpidcl", "run", "tiny.toml", *self.after, *words]

    def ended(self, folder: Path, status: int | None) -> tuple[int | None, str]:
        """The exit status of a command that ended with `status`, and what was said elsewhere than by it."""
        return status, ""

    def clear(self, folder: Path) -> None:
        """Remove what was said elsewhere."""

    def cancel(self, folder: Path) -> None:
        """End what outlives the command: jobs of a batch system."""


@dataclass
class Cell:
    """What one event gave.

    `digest`: did the run end with the bits of one process? None: it was not to end. `saved`: did a signal
    save? `notes`: what else is worth a word. `why_not`: what stands in the table where it could not be tried.
    """

    status: int | None = None
    seconds: float = 0.0
    left: int = 0
    digest: bool | None = None
    saved: bool | None = None
    notes: list[str] = field(default_factory=list)
    said: str = ""
    why_not: str = ""

    def shown(self, wanted: int) -> str:
        """The cell in words: status (`!`: not the one that `mpidcl run` gives), seconds, what is wrong."""
        if self.why_not:
            return self.why_not
        status = "never ended" if self.status is None else f"{self.status}"
        words = [status + " !" * (self.status != wanted), f"{self.seconds:.1f} s"]
        words += [] if self.saved is None else ["saved" if self.saved else "not saved"]
        words += self.notes
        words += [f"**{self.left} left**"] * (self.left > 0)
        words += ["**other digest**"] * (self.digest is False)
        return ", ".join(words)

    def is_right(self, wanted: int) -> bool:
        """Is it as it should be, or could it not be tried?"""
        return "**" not in self.shown(wanted) and (bool(self.why_not) or self.status == wanted)


@dataclass
class Place:
    """The folder, the launcher that is tried there, and the digest of the experiment in one process."""

    folder: Path
    launcher: Launcher
    digest: str
    lost: set[str] = field(default_factory=set)
    _mark: str = ""
    _began: float = 0.0

    @property
    def run(self) -> Path:
        """The run folder."""
        return self.folder / "runs" / "tiny"

    @property
    def said(self) -> str:
        """What the command has said."""
        return (self.folder / "log").read_text(errors="replace")

    def start(self, *words: str, pace: str = "0") -> subprocess.Popen[bytes]:
        """Start the run of the experiment."""
        return self.start_command(self.launcher.command(*words), pace)

    def start_command(self, command: list[str], pace: str = "0") -> subprocess.Popen[bytes]:
        """Start a command that makes ranks learn at a pace: seconds for each step, or "raise"."""
        (self.folder / "pace").write_text(pace)
        self.launcher.clear(self.folder)
        self._mark, self._began = uuid.uuid4().hex, time.monotonic()
        with (self.folder / "log").open("wb") as log:  # a pipe would be held by what runs on a lost node
            return subprocess.Popen(
                command,
                cwd=self.folder,
                env={**os.environ, **self.launcher.environment, MARK: self._mark},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def end(self, job: subprocess.Popen[bytes], began: float) -> Cell:
        """Wait for the end, count what is left of it, and end that, too."""
        try:
            status: int | None = job.wait(timeout=LIMIT_S)
        except subprocess.TimeoutExpired:
            status = None
            self.launcher.cancel(self.folder)
            job.kill()
        seconds = time.monotonic() - began
        time.sleep(1.0)
        left = [pid for pid in self.processes() if network_of(pid) not in self.lost]
        status, said = self.launcher.ended(self.folder, status)
        for pid in left:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return Cell(status, seconds, len(left), said=self.said + said)

    def close(self) -> None:
        """End all that is left of this cell."""
        self.launcher.cancel(self.folder)
        for pid in list(self.processes()):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def processes(self) -> Iterator[int]:
        """Processes of this cell that this machine knows of."""
        mark = f"{MARK}={self._mark}".encode()
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
                    if name in told and is_mpidcl(pid):
                        found[int(told[name])] = pid
                        break
        return found[max(found)] if found else None

    def learning(self, job: subprocess.Popen[bytes] | None) -> Cell | None:
        """Wait until the agents learn, and launchers on other nodes count on that.

        None, or a cell that says how the `job` has ended too early. None for `job`: nothing to ask.
        """
        limit = time.monotonic() + LIMIT_S
        while not any(path.stat().st_size for path in self.run.glob("metrics/*.jsonl")):
            if (job and job.poll() is not None) or time.monotonic() > limit:
                break
            time.sleep(0.05)
        time.sleep(max(1.0, self._began + self.launcher.sure_s - time.monotonic()))
        if job is None or job.poll() is None:
            return None
        cell = self.end(job, self._began)
        cell.why_not = f"**ended with {cell.status}, before that; {cell.left} left**"
        return cell

    def cuts(self) -> set[Path]:
        """The complete checkpoints."""
        return set(self.run.glob("checkpoints/*/manifest.json"))

    def went_on(self, cell: Cell) -> Cell:
        """The cell, and whether the run, gone on with, ends with the bits of one process."""
        again = self.end(self.start(), time.monotonic())
        cell.digest = again.status == 0 and self.has_digest()
        if not cell.digest:
            cell.said += again.said
        return cell

    def has_digest(self) -> bool:
        """Has the finished run the bits of one process?"""
        return digest_of(self.run) == self.digest


def digest_of(run: Path) -> str | None:
    """The digest of a finished run; None: it is not finished."""
    with suppress(OSError, ValueError):
        return str(json.loads((run / "summary.json").read_text())["digest"])
    return None


def is_mpidcl(pid: int) -> bool:
    """Does the process run mpidcl itself, not only start it?"""
    words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    return words[1:3] == [b"-m", b"mpidcl"]


def network_of(pid: int) -> str | None:
    """Which emulated node a process is on."""
    with suppress(OSError):
        return os.readlink(f"/proc/{pid}/ns/net")
    return None


def front(pid: int) -> int:
    """The process that a user has in front: below what only stands around it."""
    while Path(f"/proc/{pid}/comm").read_text().strip() in AROUND:
        inner = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        if not inner:
            break
        pid = int(inner[0])
    return pid


def in_one_process(folder: Path, *words: str) -> str:
    """The digest of the experiment, from one process without MPI."""
    (folder / "pace").write_text("0")
    run = [sys.executable, "-m", "mpidcl", "run", "tiny.toml", "--driver", "inprocess"]
    command = [*run, "--out", "one", "-q", *words]
    shutil.rmtree(folder / "one", ignore_errors=True)
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    digest = digest_of(folder / "one")
    if done.returncode or digest is None:
        raise SystemExit(f"{shlex.join(command)} ended with {done.returncode}:\n{done.stderr}")
    return digest
