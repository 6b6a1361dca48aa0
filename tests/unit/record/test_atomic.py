"""A file is the old one or the new one, and a disk that takes no more is one clear message."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest

from mpidcl.errors import RunFolderError
from mpidcl.record.atomic import make_folder, remove_parts, write_bytes, write_text, writing


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    write_text(tmp_path / "a", "old")
    with pytest.raises(TypeError):
        write_bytes(tmp_path / "a", 3)  # type: ignore[arg-type]
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert (tmp_path / "a").read_text() == "old"


def test_a_full_disk_is_named_with_the_file(tmp_path: Path) -> None:
    said = pytest.raises(RunFolderError, match="a` cannot be written: No space left on device")
    with said, writing(tmp_path / "a"), Path("/dev/full").open("wb", buffering=0) as full:
        full.write(b"x")


def test_a_folder_below_a_file_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(RunFolderError, match="cannot be written: Not a directory"):
        make_folder(tmp_path / "file" / "run")


def test_half_written_files_of_killed_processes_are_removed(tmp_path: Path) -> None:
    whole = tmp_path / "checkpoints" / "001000" / "rank-0000.h5"
    whole.parent.mkdir(parents=True)
    other = tmp_path / "report" / ".page.html.7.part"  # `mpidcl report` takes no lock
    other.parent.mkdir()
    for path in (
        whole, whole.with_name(".rank-0000.h5.123.part"), tmp_path / ".summary.json.9.part", other,
    ):  # fmt: skip
        path.touch()
    remove_parts(tmp_path, whole.parent)
    assert {path for path in tmp_path.rglob("*") if path.is_file()} == {whole, other}


def test_what_a_block_raises_is_no_matter_of_names(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="out of range"), writing(tmp_path / "a"):
        raise ValueError("out of range")
    with pytest.raises(RunFolderError, match="no file can have such a name"):
        write_text(tmp_path / "a\0b", "")


def test_a_file_system_that_cannot_sync_a_folder_is_no_full_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.fsync

    def fsync(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "Invalid argument")
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    write_text(tmp_path / "a", "new")
    assert (tmp_path / "a").read_text() == "new"
