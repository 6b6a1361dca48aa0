"""Compiled kernels on disk: a file that is not as it was written is never used, and is made again."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mpidcl_kernels.base.entries import DamagedError, Entries

KEY = ("float32", ("triple", "cpu"), ("a", "b"))


@pytest.fixture
def entries(tmp_path: Path) -> Entries:
    made = Entries(tmp_path, "kernel", b"stamp")
    made.save(KEY, {"code": bytes(20)})
    return made


def test_what_was_saved_comes_back(entries: Entries):
    assert entries.load(KEY) == {"code": bytes(20)}
    assert entries.load(("float64", *KEY[1:])) is None
    assert Entries(entries.folder, "kernel", b"other source").load(KEY) is None
    assert not [path for path in entries.folder.iterdir() if path.suffix == ".part"]


def test_every_flipped_bit_and_every_cut_is_found(entries: Entries):
    path = entries.path(KEY)
    good = path.read_bytes()
    for bit in range(8 * len(good)):
        damaged = bytearray(good)
        damaged[bit // 8] ^= 1 << bit % 8
        path.write_bytes(damaged)
        with pytest.raises(DamagedError):
            entries.load(KEY)
    for length in range(len(good)):
        path.write_bytes(good[:length])
        with pytest.raises(DamagedError):
            entries.load(KEY)


def test_a_form_of_other_types_under_this_name_is_not_taken(entries: Entries):
    other = ("int8", *KEY[1:])
    os.rename(entries.path(KEY), entries.path(other))
    assert entries.load(other) is None


def test_dropped_and_flushed_forms_are_gone(entries: Entries):
    entries.save("second", 1)
    entries.drop(KEY)
    assert entries.load(KEY) is None and entries.load("second") == 1
    entries.flush()
    entries.drop("second")
    assert not list(entries.folder.iterdir())


PROGRAM = """
import numpy as np
from mpidcl_kernels import step; from mpidcl_kernels.base import cache
a = [np.ones(3, np.float32) for _ in range(3)]
step.sgd(*a, np.array([0]), np.array([3]), 0.5)
print(*cache.counts(), a[0].tolist())
"""


def start(folder: Path) -> tuple[str, list[str]]:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=os.environ | {"NUMBA_CACHE_DIR": str(folder)},
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    return done.stdout, done.stderr.splitlines()


def test_a_start_on_damaged_files_says_so_once_and_mends_them(tmp_path: Path):
    compiled, said = start(tmp_path)
    assert compiled == "1 0 [0.5, 0.5, 0.5]\n" and said == []
    (path,) = tmp_path.rglob("*.kernel")
    good = path.read_bytes()
    flipped = bytearray(good)
    flipped[len(good) // 2] ^= 1
    for content in (b"", good[:1000], bytes(flipped)):
        path.write_bytes(content)
        again, said = start(tmp_path)
        assert again == compiled and len(said) == 1
        assert f"{path} cannot be used" in said[0] and "compiled again" in said[0]
    assert start(tmp_path) == ("0 1 [0.5, 0.5, 0.5]\n", [])


def test_a_cache_that_cannot_be_written_is_said_and_not_fatal(tmp_path: Path):
    start(tmp_path)
    (path,) = tmp_path.rglob("*.kernel")
    path.unlink()
    path.mkdir()  # whoever runs the tests, a file cannot be put in its place
    again, said = start(tmp_path)
    assert again == "1 0 [0.5, 0.5, 0.5]\n"
    assert "cannot be used" in said[0] and "cannot keep a compiled kernel" in said[-1]
