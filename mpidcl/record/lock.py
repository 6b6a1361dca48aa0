"""One run at a time in a folder: two jobs that go on with the same run would mix their lines.

The file `run.lock` is held with `flock`, and names the process that holds the folder. Where the file system
has no locks (ENOLCK, EOPNOTSUPP), the name is all there is: it keeps out a second run on the same host. One
on another host cannot be seen, and a line says so.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from mpidcl.base.notices import warn
from mpidcl.errors import RunFolderError
from mpidcl.record.atomic import writing
from mpidcl_kernels.base.node_files import process_fields

LOCK = "run.lock"
SETTLE_S = 0.2
"""Without locks: seconds after which a process looks whether another has put its name over its own."""


class FolderInUseError(RunFolderError):
    """Another run is working in the folder."""


class Lock:
    """Held by one process of a run until `close`, or until that process ends, however it ends."""

    def __init__(self, warn: Callable[[str], None] = warn) -> None:
        self._warn = warn
        self._descriptor = -1  # none is open

    def take(self, folder: Path) -> None:
        """Holds an existing folder. Raises FolderInUseError while another process holds it."""
        self.close()
        with writing(folder / LOCK):
            self._descriptor = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise self._in_use(folder) from None
        except OSError as error:
            self._take_by_name(folder, error)
        else:
            self._sign()

    def close(self) -> None:
        """Lets others in."""
        if self._holder() == _me():
            with suppress(OSError):
                os.ftruncate(self._descriptor, 0)
        self._let_go()

    def _let_go(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self._descriptor = -1

    def _take_by_name(self, folder: Path, error: OSError) -> None:
        holder = self._holder()
        if holder != _me():
            if _lives_here(holder):
                raise self._in_use(folder)
            self._sign()
            time.sleep(SETTLE_S)
            if self._holder() != _me():
                raise self._in_use(folder)
        elsewhere = holder and holder[0] != socket.gethostname()
        last = f" The last one there, on {holder[0]}, did not say that it ended." if elsewhere else ""
        self._warn(
            f"`{folder}` is on a file system without locks ({error.strerror}): a second run on another host "
            f"would not be noticed. Start only one there at a time.{last}"
        )

    def _sign(self) -> None:
        """Writes this process's name into the file; a full disk keeps nobody from working."""
        with suppress(OSError):
            os.ftruncate(self._descriptor, 0)
            os.pwrite(self._descriptor, json.dumps(_me()).encode(), 0)

    def _holder(self) -> list[object]:
        """Host, process id and start of the process that is named in the file; empty when there is none."""
        with suppress(OSError, ValueError):
            found = json.loads(os.pread(self._descriptor, 4096, 0))
            if isinstance(found, list) and len(found) == 3:
                return found
        return []

    def _in_use(self, folder: Path) -> FolderInUseError:
        """Gives the file back as it is, and tells who is named in it."""
        holder = self._holder()
        self._let_go()
        who = f" (process {holder[1]} on {holder[0]})" if holder else ""
        return FolderInUseError(
            f"`{folder}` should be used by one run at a time. Found another that is running there{who}. "
            "Wait for it or stop it, choose another folder with `--out`, or add `--again`."
        )


def _me() -> list[object]:
    return [socket.gethostname(), os.getpid(), _start(os.getpid())]


def _start(process: int) -> str:
    """When a process was started, as far as the system says (Linux): process ids are used again."""
    return "".join(process_fields(process)[19:20])


def _lives_here(holder: list[object]) -> bool:
    if not holder or holder[0] != socket.gethostname() or not isinstance(holder[1], int):
        return False
    try:
        os.kill(holder[1], 0)
    except ProcessLookupError:
        return False
    except OSError:  # somebody else's process
        pass
    return _start(holder[1]) == holder[2]
