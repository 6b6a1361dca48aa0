"""One run at a time in a folder: two jobs that go on with the same run would mix their lines."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from mpidcl.errors import RunFolderError
from mpidcl.record.atomic import writing


class Lock:
    """Held by one process of a run until `close`, or until that process ends, however it ends."""

    def __init__(self) -> None:
        self._descriptor: int | None = None

    def take(self, file: Path) -> None:
        """Holds an existing file of the run. Raises RunFolderError while another process holds it.

        A file system that knows no locks is used without one.
        """
        self.close()
        with writing(file):
            self._descriptor = os.open(file, os.O_RDWR)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.close()
            raise RunFolderError(
                f"`{file.parent}` should be used by one run at a time. Found another that is running there. "
                "Wait for it or stop it, choose another folder with `--out`, or add `--again`."
            ) from None
        except OSError:
            self.close()

    def close(self) -> None:
        """Lets others in."""
        if self._descriptor is not None:
            os.close(self._descriptor)
        self._descriptor = None
