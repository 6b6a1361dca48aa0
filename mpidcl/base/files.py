"""Text files that somebody else wrote: only regular files of a sane size are read, none waited for."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from io import TextIOWrapper
from pathlib import Path
from typing import BinaryIO, TextIO

MOST_BYTES = 64 * 2**20
"""More than any file of settings, list of links or summary of a run has ever needed."""


NO_TEXT = "it is not a text in UTF-8"


class UnreadableError(ValueError):
    """Why a file cannot be read, as the end of a sentence: "it is a folder"."""


def read_text(path: str | Path, encoding: str = "utf-8", most: int = MOST_BYTES) -> str:
    """Text of the regular file at `path`. Raises UnreadableError; FileNotFoundError where there is none.

    A pipe or a device would be waited for, or never end, and is not opened.
    """
    try:
        with _opened(path, most) as file:
            return file.read(most + 1).decode(encoding)
    except UnicodeDecodeError:
        raise UnreadableError(NO_TEXT) from None
    except OSError as error:
        if isinstance(error, FileNotFoundError):
            raise
        raise UnreadableError(error.strerror or str(error)) from None


@contextmanager
def open_text(path: str | Path, most: int) -> Iterator[TextIO]:
    """The regular file at `path` as text, for one who reads it line by line. Raises what `read_text` raises.

    Ends of lines are left as they are, and a mark at the begin that says "UTF-8" is left out.
    """
    with _opened(path, most) as file, TextIOWrapper(file, "utf-8-sig", newline="") as text:
        try:
            yield text
        except UnicodeDecodeError:
            raise UnreadableError(NO_TEXT) from None


def _opened(path: str | Path, most: int) -> BinaryIO:
    try:
        name = os.fsencode(path)
        found = os.stat(name)
        if not stat.S_ISREG(found.st_mode):
            raise UnreadableError(f"it is {_kind(found.st_mode)}, and should be a file")
        if found.st_size > most:
            raise UnreadableError(f"it has {found.st_size:,} bytes, and should have at most {most:,}")
        return open(name, "rb")
    except (FileNotFoundError, UnreadableError):
        raise
    except UnicodeEncodeError:
        raise UnreadableError("this locale has no such file names: set LC_ALL=C.UTF-8") from None
    except ValueError:
        raise UnreadableError("no file can have such a name") from None
    except OSError as error:
        raise UnreadableError(error.strerror or str(error)) from None


def _kind(mode: int) -> str:
    kinds = {stat.S_ISDIR: "a folder", stat.S_ISFIFO: "a pipe", stat.S_ISSOCK: "a socket"}
    return next((name for is_it, name in kinds.items() if is_it(mode)), "a device")
