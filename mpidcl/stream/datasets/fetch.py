"""`mpidcl data fetch`: the official files, with their hashes checked. Never called inside a run."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from mpidcl.errors import DataError
from mpidcl.stream.datasets import places
from mpidcl.stream.datasets.catalogue import make

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from mpidcl.stream.datasets.base import Download, Info


def fetch(
    name: str, downloader: Callable[..., object] | None = None, progressbar: bool = False
) -> list[Path]:
    """Download the official files of a data set, check their hashes, unpack archives.

    What is already there and right is not downloaded again. Returns the folders that hold the files now;
    none for a data set that needs no download. `downloader` is a pooch downloader, for a protocol that pooch
    does not know. Raises DataError when no place answers or a hash differs, ExperimentError for an unknown
    name.
    """
    folders = []
    for part in make(name, called="the data set").parts():
        for download in part.info.downloads:
            _retrieve(part.info, download, downloader, progressbar)
        folders += [places.fetched_folder(part.info)] if part.info.downloads else []
    return folders


def _retrieve(
    info: Info, download: Download, downloader: Callable[..., object] | None, progressbar: bool
) -> None:
    import pooch

    pooch.get_logger().setLevel("WARNING")
    folder, failures = places.fetched_folder(info), []
    for url in download.urls:
        try:
            pooch.retrieve(
                url, download.hash, fname=download.name, path=os.fspath(folder),
                processor=_unpacker(download), downloader=downloader, progressbar=progressbar,
            )  # fmt: skip
            return
        # A place can fail in many ways (requests, ftplib, zipfile): each is told, and the next place tried.
        except Exception as reason:
            failures.append(f"{url}: {reason}")
    tried = "\n  ".join(failures)
    raise DataError(
        f"{info.key}: {download.name} should come with {download.hash}. Found:\n  {tried}\n"
        f"Try again, put the file into {folder} by hand and fetch again, or set MPIDCL_DATA to a folder that "
        "holds the data set."
    )


def _unpacker(download: Download) -> Callable[..., object] | None:
    import pooch

    unpacker: Callable[..., object] | None = None
    if download.name.endswith(".tar.gz"):
        unpacker = pooch.Untar(extract_dir=".")
    elif download.name.endswith(".zip"):
        unpacker = pooch.Unzip(extract_dir=".")
    return unpacker
