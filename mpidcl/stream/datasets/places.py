"""Where data sets are looked for and kept: `MPIDCL_DATA`, then the folder of `mpidcl data fetch`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from mpidcl.errors import DataError

if TYPE_CHECKING:
    from mpidcl.stream.datasets.base import Info


def cache_folder() -> Path:
    """The user's folder for fetched files and decoded arrays: `MPIDCL_CACHE`, else the system's own."""
    chosen = os.environ.get("MPIDCL_CACHE")
    if chosen:
        return Path(chosen).expanduser()
    import pooch

    return Path(pooch.os_cache("mpidcl"))


def fetched_folder(info: Info) -> Path:
    """Where `mpidcl data fetch` keeps the files of a data set."""
    return cache_folder() / "data" / info.key


def search_folders(info: Info) -> list[Path]:
    """Every folder in which the files of a data set are looked for, in order."""
    given = os.environ.get("MPIDCL_DATA")
    root = Path(given).expanduser() if given else None
    own = [root / folder for folder in info.folders] + [root] if root else []
    return own + [cache_folder() / "data" / folder for folder in info.folders]


def locate(info: Info) -> Path | None:
    """The first folder that holds at least one file of the data set; None when there is none."""
    for folder in search_folders(info):
        if any(_with_or_without_gz(folder, file.name) for file in info.files):
            return folder
    return None


def find(info: Info) -> list[Path]:
    """The files of a data set, in the order of `info.files`; a `.gz` may lie there unpacked. None for one
    without files.

    Raises DataError that says what is missing, where it was looked for and how to get it.
    """
    if not info.files:
        return []
    folder = locate(info)
    if folder is None:
        raise _not_here(info)
    found = [_with_or_without_gz(folder, file.name) for file in info.files]
    missing = [file.name for file, path in zip(info.files, found, strict=True) if path is None]
    if missing:
        raise DataError(
            f"The data set {info.name} is incomplete: {folder} should also hold {', '.join(missing)}. "
            + mend(info)
        )
    return [path for path in found if path is not None]


def complete(info: Info) -> bool:
    """Are all files of the data set in one folder?"""
    folder = locate(info)
    return folder is not None and all(_with_or_without_gz(folder, file.name) for file in info.files)


def mend(info: Info) -> str:
    """The sentence that says how to get a data set. A run itself never downloads."""
    return (
        f"Get it with `mpidcl data fetch {info.key}` on a machine with network, "
        "or set MPIDCL_DATA to a folder that holds the files."
    )


def _with_or_without_gz(folder: Path, name: str) -> Path | None:
    candidates = (folder / name, folder / name.removesuffix(".gz"))
    return next((path for path in candidates if path.is_file()), None)


def _not_here(info: Info) -> DataError:
    looked = "\n  ".join(str(folder) for folder in search_folders(info))
    hint = "" if os.environ.get("MPIDCL_DATA") else " (MPIDCL_DATA is not set)"
    names = ", ".join(file.name for file in info.files)
    return DataError(
        f"The data set {info.name} is not on this machine. Its files should be: {names}. "
        f"They were looked for in{hint}:\n  {looked}\n{mend(info)}"
    )
