"""Files that the processes of a node share: whole or not there at all, and written by one of them.

The caches of compiled kernels and of decoded data are made of such files.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

SAY_AFTER = 10.0
"""Seconds of waiting for a lock after which it is said which one, and who holds it."""

NO_LOCKS = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL)
"""What a file system answers that cannot lock."""

log = logging.getLogger(__name__)


def replace_file(path: Path, content: bytes | memoryview) -> None:
    """`content` becomes the file at `path`, which else stays as it was. Raises OSError."""
    with replacing(path) as temporary:
        temporary.write_bytes(content)


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """What the block writes to the path that this gives becomes `path`: synced, then renamed.

    When the block raises, `path` stays as it was. Raises OSError.
    """
    who = f"{socket.gethostname()}-{os.getpid()}-{threading.get_ident()}"  # nodes may share the folder
    temporary = path.with_name(f".{path.name}.{who}.part")
    try:
        yield temporary
        with open(temporary, "rb") as handle:
            sync(handle.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    sync_folder(path.parent)


def sync(descriptor: int) -> None:
    """What was written to an open file or folder is on the disk. Raises OSError."""
    os.fsync(descriptor)


def sync_folder(folder: Path) -> None:
    """The names in `folder` are on the disk; not every file system can be asked for that."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):
            sync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def one_at_a_time(
    path: Path, at_most: float, instead: str, spare: Callable[[], Path] | None = None
) -> Iterator[bool]:
    """Hold the lock file at `path`; gives False when another process keeps it for longer than is waited.

    After ten seconds one line says which file and who holds it. A holder that is stopped is not waited for
    after that; another one for `at_most` seconds. `instead` completes "This process goes on and ...". Where
    the file system cannot lock, the file that `spare` gives, on another one, is locked; without one everybody
    gets True. Raises OSError for a file that cannot be opened.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        if spare is not None and not _can_lock(descriptor):
            with one_at_a_time(spare(), at_most, instead) as held:
                yield held
            return
        held = _wait(descriptor, path, at_most, instead)
        if held:
            _sign(descriptor)
        yield held
    finally:
        os.close(descriptor)


def _wait(descriptor: int, path: Path, at_most: float, instead: str) -> bool:
    begin, pause, said = time.monotonic(), 0.002, False
    while not _taken(descriptor):
        waited = time.monotonic() - begin
        stopped = waited >= SAY_AFTER and _is_stopped(descriptor)
        if stopped or waited >= at_most:
            log.warning(
                "%s has been held for %.0f s by %s%s. This process goes on and %s.",
                path, waited, _holder(descriptor), ", which is stopped" if stopped else "", instead,
            )  # fmt: skip
            return False
        if waited >= SAY_AFTER and not said:
            log.warning("Waiting for %s, held by %s.", path, _holder(descriptor))
            said = True
        time.sleep(pause)
        pause = min(2 * pause, 0.02 if waited < SAY_AFTER else 0.2)
    return True


def _can_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError as reason:
        return reason.errno not in NO_LOCKS
    fcntl.flock(descriptor, fcntl.LOCK_UN)
    return True


def _taken(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as reason:
        if reason.errno not in NO_LOCKS:
            raise
    return True


def _sign(descriptor: int) -> None:
    # Only for those who wait: a disk that is full takes nothing from the lock itself.
    with contextlib.suppress(OSError):
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()} {socket.gethostname()}\n".encode(), 0)


def _signature(descriptor: int) -> tuple[int, str] | None:
    words = os.pread(descriptor, 300, 0).decode(errors="replace").split()
    if len(words) != 2 or not words[0].isdigit():
        return None
    return int(words[0]), words[1]


def _holder(descriptor: int) -> str:
    signature = _signature(descriptor)
    return "a process that is not known" if signature is None else "process {} on {}".format(*signature)


def _is_stopped(descriptor: int) -> bool:
    """Is the holder a process of this machine that was stopped (SIGSTOP, a debugger)? Linux only."""
    signature = _signature(descriptor)
    if signature is None or signature[1] != socket.gethostname():
        return False
    return process_fields(signature[0])[:1] in (["T"], ["t"])


def process_fields(process: int) -> list[str]:
    """What Linux says of a process, from its state on (`man proc_pid_stat`, field 3); else an empty list."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return []
