"""What a job on this machine keeps outside the run folder, and by which its launcher hears how it ended.

    $TMPDIR/mpidcl-job-x1y2/    owner    held (flock) by the launcher for as long as it lives
                                status   what all ranks agreed on
                                failure  the message of the one rank that speaks for a failed job
                                ready    a rank has joined
                                asked    the launcher has passed on a signal; and then
                                stopping a rank has taken it, and will save and end
                                ompi.*   Open MPI's own session
    /dev/shm/mpidcl-job-x1y2/   owner, and the memory by which the ranks of this machine send
    ./.mpidcl-job-x1y2.failed   left by a rank that does not see these, in the folder that all started in

Both folders are removed at the end. Where the launcher was killed, the next one finds that nobody holds
`owner` and removes them, with the ranks that were left. `status` and `failure` have their size from the
start, so that a disk that is full later does not keep a rank from saying why it failed.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import socket
import stat
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from mpidcl.base.rank_variables import says_rank
from mpidcl.launch.mpiexec import LaunchError

STATUS_FILE = "MPIDCL_STATUS_FILE"
"""Environment variable of every process of a job: the path of its `status`."""
SIGN_FILE = "MPIDCL_FAILURE_SIGN"
"""The same: the path of its sign of a failure."""
PREFIX = "mpidcl-job-"
MEMORY = Path("/dev/shm")
MAGIC = "a job of mpidcl"
STATUS_BYTES = 16
FAILURE_BYTES = 2**16


@dataclass(frozen=True)
class Job:
    """The folders of a job; `memory` is None where the machine has no folder for shared memory."""

    folder: Path
    memory: Path | None

    @property
    def status(self) -> Path:
        """Where rank 0 says what all have agreed on."""
        return self.folder / "status"

    @property
    def sign(self) -> Path:
        """Where a rank on another machine says that it fails; other machines usually see this folder."""
        try:
            return Path(os.getcwd(), f".{self.folder.name}.failed")
        except FileNotFoundError:  # it was removed
            return self.folder / "failed"


@contextmanager
def job_folders() -> Iterator[Job]:
    """The folders of a new job, for as long as the block lasts.

    What killed jobs of this user left is removed first. Raises LaunchError when there is no room for them.
    """
    with ExitStack() as kept:
        try:
            job = _new_job(kept)
        except OSError as error:
            raise LaunchError(
                "The folder for temporary files should have room for a job's own files. It has not:"
                f" {error.strerror or error}. Set TMPDIR to another folder."
            ) from error
        yield job


def _new_job(kept: ExitStack) -> Job:
    root = Path(tempfile.gettempdir())
    _sweep(root)
    _sweep(MEMORY)
    folder = _own_folder(root, kept)
    job = Job(folder, _memory(folder / "status", kept))
    _mark(folder, job.status, kept)
    kept.callback(job.sign.unlink, missing_ok=True)
    job.status.write_bytes(b" " * STATUS_BYTES)
    _slot(job.status).write_bytes(b" " * FAILURE_BYTES)
    return job


def _own_folder(root: Path, kept: ExitStack) -> Path:
    folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=root))
    kept.callback(shutil.rmtree, folder, ignore_errors=True)
    return folder


def _memory(status: Path, kept: ExitStack) -> Path | None:
    if not os.access(MEMORY, os.W_OK):
        return None
    folder = _own_folder(MEMORY, kept)
    _mark(folder, status, kept)
    return folder


def _mark(folder: Path, status: Path, kept: ExitStack) -> None:
    """Leave `owner`, held by this process from the moment that it can be seen; without locks leave none."""
    draft = folder / "owner.new"
    descriptor = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    kept.callback(os.close, descriptor)
    os.write(descriptor, _owner_text(str(status)))
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return
    draft.rename(folder / "owner")


def _owner_text(status: str) -> bytes:
    return "\n".join((MAGIC, socket.gethostname(), status, "")).encode(errors="surrogateescape")


# --- what killed jobs left --------------------------------------------------------------------------


def _sweep(root: Path) -> None:
    """Remove the folders of dead jobs of this user and machine, and nothing of which that is not sure."""
    for folder in root.glob(f"{PREFIX}*"):
        with suppress(OSError, ValueError):
            _remove_if_dead(folder)


def _remove_if_dead(folder: Path) -> None:
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
        return
    descriptor = os.open(folder / "owner", os.O_RDWR | os.O_NOFOLLOW)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)  # BlockingIOError: it lives
        text = os.read(descriptor, 2**16)
        status = text.decode(errors="surrogateescape").split("\n")[2:3]
        if not status or text != _owner_text(status[0]):
            return
        kill_ranks(Path(status[0]))
        shutil.rmtree(folder, ignore_errors=True)
    finally:
        os.close(descriptor)


def kill_ranks(status: Path) -> None:
    """Kill every process of the job with this status file."""
    for pid in set(_marked(status)) - {os.getpid()}:
        with suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)


def ranks_of(status: Path) -> list[int]:
    """Processes on this machine that were told that they are ranks of the job with this status file.

    What a rank has started itself is not among them.
    """
    ranks = [pid for pid, environment in _marked_with(status) if says_rank(environment)]
    return [pid for pid in ranks if _parent(pid) not in ranks]


def _parent(pid: int) -> int:
    with suppress(OSError, ValueError, IndexError):
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    return 0


def _marked(status: Path) -> Iterator[int]:
    return (pid for pid, _ in _marked_with(status))


def _marked_with(status: Path) -> Iterator[tuple[int, list[bytes]]]:
    """Processes that carry the status file in their environment, and that (Linux; elsewhere none).

    Ranks have process groups of their own and outlive a killed mpiexec, so the group is not enough.
    """
    mark = os.fsencode(f"{STATUS_FILE}={status}")
    for entry in Path("/proc").glob("[0-9]*/environ"):
        with suppress(OSError):
            environment = entry.read_bytes().split(b"\0")
            if mark in environment:
                yield int(entry.parent.name), environment


# --- what a job says about its end ------------------------------------------------------------------


def agree(status: Path, code: int) -> None:
    """Rank 0 leaves the status that all ranks have agreed on. Raises OSError."""
    _fill(status, f"{code}\n")


def claim(status: Path, code: int, message: str) -> bool:
    """Be the one rank that speaks for the failed job; False when another was first.

    Raises OSError when the message cannot be written, as on a machine that does not see the job's folder.
    """
    if not status.parent.exists():
        raise FileNotFoundError(status.parent)
    mine = status.with_name(f"failure.{socket.gethostname()}.{os.getpid()}")
    try:
        _slot(status).rename(mine)  # one rank succeeds
    except FileNotFoundError:
        return False
    _fill(mine, f"{code}\n{message}")
    mine.rename(failure(status))  # and nobody sees the file half written
    return True


def ready(status: Path) -> Path:
    """There once a rank has joined the job, and knows what to do with a signal."""
    return status.with_name("ready")


def asked(status: Path) -> Path:
    """There once the launcher has passed on a signal: what the ranks get is meant for them."""
    return status.with_name("asked")


def stopping(status: Path) -> Path:
    """There once a rank has taken a signal and will end by itself."""
    return status.with_name("stopping")


def _slot(status: Path) -> Path:
    return status.with_name("failure.free")


def failure(status: Path) -> Path:
    """Where the rank that speaks for a failed job says why, once it has."""
    return status.with_name("failure")


def _fill(file: Path, text: str) -> None:
    """Write into the room that the file has had from the start."""
    data = text.encode(errors="backslashreplace")
    if len(data) > FAILURE_BYTES:
        half = FAILURE_BYTES // 2 - 64
        data = data[:half] + b"\n... (too long to be shown whole) ...\n" + data[-half:]
    with file.open("r+b", buffering=0) as opened:
        opened.write(data)
        opened.truncate()


def read_end(file: Path) -> tuple[int, str] | None:
    """Exit status and message that a rank left; None where none has."""
    try:
        code, _, message = file.read_text(encoding="utf-8", errors="replace").partition("\n")
        return int(code), message
    except (FileNotFoundError, ValueError):
        return None
