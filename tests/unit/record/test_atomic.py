"""A file is the old one or the new one, and a disk that takes no more is one clear message."""

from __future__ import annotations

from pathlib import Path

import pytest

from mpidcl.errors import RunFolderError
from mpidcl.record.atomic import make_folder, replacing, write_text


def test_a_block_that_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    write_text(tmp_path / "a", "old")
    with pytest.raises(KeyError), replacing(tmp_path / "a") as temporary:
        temporary.write_text("half")
        raise KeyError
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert (tmp_path / "a").read_text() == "old"


def test_a_full_disk_is_named_with_the_file(tmp_path: Path) -> None:
    said = pytest.raises(RunFolderError, match="a` cannot be written: No space left on device")
    with said, replacing(tmp_path / "a"), Path("/dev/full").open("wb", buffering=0) as full:
        full.write(b"x")
    assert not list(tmp_path.iterdir())


def test_a_folder_below_a_file_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(RunFolderError, match="cannot be written: Not a directory"):
        make_folder(tmp_path / "file" / "run")
