"""Files that are either the old one or the new one, never a half: temporary name, fsync, rename.

A folder that cannot be written, or a full disk, is something that a user can mend: one message says so.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from mpidcl.errors import RunFolderError
from mpidcl_kernels.base import node_files

PARTS = ".*.part"
"""Names of files that are not complete yet."""


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """What the block writes is `path`. Raises RunFolderError when the system does not let it."""
    try:
        if "\0" in str(path):
            raise OSError(errno.EINVAL, "no file can have such a name")
        yield
    except (OSError, UnicodeEncodeError) as error:
        why: object = "this locale has no such file names, set LC_ALL=C.UTF-8"
        if isinstance(error, OSError):
            why = error.strerror or error
        raise RunFolderError(
            f"`{path}` cannot be written: {why}. Mend that, or choose another folder "
            "with `--out`. What was complete is intact, and the same command goes on from there."
        ) from error


def remove_parts(*folders: Path) -> None:
    """Removes what killed processes were writing in these folders. Call it where nobody writes there now."""
    for path in (path for folder in folders for path in folder.glob(PARTS)):
        with suppress(OSError):
            path.unlink()


def make_folder(path: Path) -> None:
    """The folder and those above it, where they are not there yet. Raises RunFolderError."""
    with writing(path):
        path.mkdir(parents=True, exist_ok=True)


def write_text(path: Path, text: str) -> None:
    """Replaces the file at `path` by `text` (UTF-8, line ends as given; halves of characters escaped)."""
    write_bytes(path, text.encode(errors="backslashreplace"))


def write_bytes(path: Path, data: bytes | memoryview) -> None:
    """Replaces the file at `path` by `data`; it stays as it was where that fails. Raises RunFolderError."""
    with writing(path):
        node_files.replace_file(path, data)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """What the block writes to the path that this gives becomes `path`, which else stays as it was.

    Raises RunFolderError for a folder that cannot be written, or a full disk.
    """
    with writing(path), node_files.replacing(path) as temporary:
        yield temporary
