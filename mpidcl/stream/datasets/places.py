"""Where data sets are looked for and kept: `MPIDCL_DATA`, then the folder of `mpidcl data fetch`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from mpidcl.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mpidcl.stream.datasets.base import Info, SourceFile


def cache_folder() -> Path:
    """The user's folder for fetched files and decoded arrays: `MPIDCL_CACHE`, else the system's own."""
    chosen = _from_environment("MPIDCL_CACHE")
    if chosen:
        return chosen
    import pooch

    return Path(pooch.os_cache("mpidcl"))


def fetched_folder(info: Info) -> Path:
    """Where `mpidcl data fetch` keeps the files of a data set."""
    return cache_folder() / "data" / info.key


def search_folders(info: Info) -> list[Path]:
    """Every folder in which the files of a data set are looked for, in order."""
    root = _from_environment("MPIDCL_DATA")
    own = [root / folder for folder in info.folders] + [root] if root else []
    return own + [cache_folder() / "data" / folder for folder in info.folders]


def locate(info: Info) -> Path | None:
    """The first folder that holds all files of the data set, else the first with any; None without one."""
    folders = search_folders(info)
    for wanted in (all, any):
        for folder in folders:
            if any(wanted(_paths(folder, layout)) for layout in _layouts(info)):
                return folder
    return None


def find(info: Info) -> list[tuple[SourceFile, Path]]:
    """The files of a data set, in the order of `info.files`, or of one of `info.others`.

    A `.gz` may lie there unpacked. A data set without files has none.

    Raises DataError that says what is missing, where it was looked for and how to get it.
    """
    if not info.files:
        return []
    folder = locate(info)
    if folder is None:
        raise _not_here(info)
    layout = max(_layouts(info), key=lambda files: _share(_paths(folder, files)))
    found = list(zip(layout, _paths(folder, layout), strict=True))
    missing = [file.name for file, path in found if path is None]
    if missing:
        raise DataError(
            f"The data set {info.name} is incomplete: {folder} should also hold {', '.join(missing)}. "
            + mend(info)
        )
    return [(file, path) for file, path in found if path is not None]


def complete(info: Info) -> bool:
    """Are all files of the data set in one folder?"""
    folder = locate(info)
    return folder is not None and any(all(_paths(folder, layout)) for layout in _layouts(info))


def mend(info: Info) -> str:
    """The sentence that says how to get a data set. A run itself never downloads."""
    return (
        f"Get it with `mpidcl data fetch {info.key}` on a machine with network, "
        "or set MPIDCL_DATA to a folder that holds the files."
    )


def _from_environment(name: str) -> Path | None:
    given = os.environ.get(name)
    return expanded(given, name) if given else None


def expanded(given: str, called: str) -> Path:
    """A path that may begin with ~. Raises DataError."""
    try:
        return Path(given).expanduser()
    except RuntimeError as reason:
        raise DataError(f"{called} should be a folder. Found {given!r}: {reason}") from reason


def unreadable(info: Info, reason: OSError) -> DataError:
    """The error for files that are there and cannot be read."""
    return DataError(f"The files of {info.name} should be readable. Found: {reason}")


def _layouts(info: Info) -> tuple[tuple[SourceFile, ...], ...]:
    return (info.files, *info.others)


def _share(paths: list[Path | None]) -> float:
    return sum(path is not None for path in paths) / len(paths)


def _paths(folder: Path, files: Sequence[SourceFile]) -> list[Path | None]:
    return [_with_or_without_gz(folder, file.name) for file in files]


def _with_or_without_gz(folder: Path, name: str) -> Path | None:
    candidates = (folder / name, folder / name.removesuffix(".gz"))
    try:
        return next((path for path in candidates if path.is_file()), None)
    except OSError as reason:  # a folder that may not be entered, a name that is too long
        raise DataError(
            f"{folder}: it should be possible to look for {name} there. Found: {reason}."
        ) from reason


def _not_here(info: Info) -> DataError:
    looked = "\n  ".join(str(folder) for folder in search_folders(info))
    root = _from_environment("MPIDCL_DATA")
    hint = " (MPIDCL_DATA is not set)" if root is None else "" if root.is_dir() else f" ({root} is no folder)"
    names = ", ".join(file.name for file in info.files)
    return DataError(
        f"The data set {info.name} is not on this machine. Its files should be: {names}. "
        f"They were looked for in{hint}:\n  {looked}\n{mend(info)}"
    )
