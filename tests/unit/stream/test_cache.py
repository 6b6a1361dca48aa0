"""One decoded copy per node: made once also by many processes, read-only, made again when it should be."""

from __future__ import annotations

import fcntl
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from official_files import write_idx, write_mnist

from mpidcl.errors import DataError
from mpidcl.stream.datasets import cache, contents, copies
from mpidcl.stream.datasets.catalogue import make

RANKS = 8
# Each process waits for the same file, so that all begin at once; "decoded" is written by those that decode.
RANK = """
import sys, time
from pathlib import Path
from mpidcl.stream.datasets.catalogue import make
from mpidcl.stream.datasets.mnist import MNIST
gate, me = Path(sys.argv[1]), sys.argv[2]
decode = MNIST.decode
def counted(self):
    (gate.parent / f"decoded-{me}").touch()
    time.sleep(0.3)
    return decode(self)
MNIST.decode = counted
(gate.parent / f"ready-{me}").touch()
while not gate.exists():
    time.sleep(0.005)
arrays = make("mnist").load()
print(type(arrays.train_x).__name__, int(arrays.train_x.sum(dtype="int64")), int(arrays.test_y.sum()))
"""


def test_many_ranks_at_once_decode_once_and_agree(written: Path, tmp_path: Path) -> None:
    train_x, _, _, test_y = write_mnist(written / "mnist", train=2000, test=100)
    gate = tmp_path / "gate"
    ranks = [
        subprocess.Popen([sys.executable, "-c", RANK, str(gate), str(i)], stdout=subprocess.PIPE, text=True)
        for i in range(RANKS)
    ]
    try:
        while len(list(tmp_path.glob("ready-*"))) < RANKS:
            assert all(rank.poll() is None for rank in ranks), "a rank ended before the start"
        gate.touch()
        said = {rank.communicate(timeout=60)[0] for rank in ranks}
    finally:
        for rank in ranks:
            rank.kill()
    assert said == {f"memmap {train_x.sum(dtype=np.int64)} {test_y.sum()}\n"}
    assert len(list(tmp_path.glob("decoded-*"))) == 1
    folders = [path for path in cache.arrays_folder().iterdir() if path.is_dir()]
    assert len(folders) == 1, "no scratch folder should be left"


def test_without_locks_the_first_rename_wins(written: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_mnist(written / "mnist")
    first = make("mnist").load()
    folder = next(path for path in cache.arrays_folder().iterdir() if path.is_dir())
    arrays = cache.decode(make("mnist"))
    copies.store(folder, arrays, copies.fingerprint_of(arrays))
    assert np.array_equal(first.train_x, make("mnist").load().train_x)
    assert [path for path in cache.arrays_folder().iterdir() if path.is_dir()] == [folder]


def test_arrays_are_mapped_and_read_only(written: Path) -> None:
    write_mnist(written / "mnist")
    arrays = make("mnist").load()
    assert isinstance(arrays.train_x, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        arrays.train_x[0] = 0
    assert make("mnist").load().train_x is arrays.train_x, "a process should map the file once"


def test_a_replaced_source_file_is_decoded_again(written: Path) -> None:
    write_mnist(written / "mnist", train=40)
    assert len(make("mnist").load().train_y) == 40
    write_mnist(written / "mnist", train=60)
    assert len(make("mnist").load().train_y) == 60


def damages(path: Path) -> Iterator[tuple[str, bytes]]:
    """Cuts, zeros and flipped bits, in header and values; each stands for one file on a disk that failed."""
    good, random = path.read_bytes(), np.random.default_rng(len(path.name))
    yield "empty", b""
    yield "cut in the header", good[:60]
    yield "cut in the values", good[:-1]
    yield "longer", good + b"0"
    yield "zeros", bytes(len(good))
    for place in (*range(0, 128, 9), *random.integers(0, len(good), 8)):
        flipped = bytearray(good)
        flipped[place % len(good)] ^= 1 << place % 8
        yield f"a flipped bit of byte {place}", bytes(flipped)


@pytest.mark.parametrize("name", [*copies.NAMES, "note", "stamp"])
def test_a_damaged_copy_is_made_again(written: Path, caplog: pytest.LogCaptureFixture, name: str) -> None:
    write_mnist(written / "mnist")
    good = make("mnist").fingerprint()
    pattern = {"note": "arrays.json", "stamp": "checked-on-*.json"}.get(name, f"{name}.npy")
    for what, content in damages(next(cache.arrays_folder().glob(f"*/{pattern}"))):
        (path,) = cache.arrays_folder().glob(f"*/{pattern}")
        path.write_bytes(content)
        copies._open_here.clear()  # as another process would begin
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            assert make("mnist").fingerprint() == good, what
            assert copies.fingerprint_of(make("mnist").load()) == good, what
        if name != "stamp":
            assert "is damaged" in caplog.text and "is made again" in caplog.text, what


def test_a_missing_array_is_made_again(written: Path) -> None:
    write_mnist(written / "mnist")
    make("mnist").load()
    next(cache.arrays_folder().glob("*/test_y.npy")).unlink()
    copies._open_here.clear()
    assert len(make("mnist").load().test_y) == 20


def test_the_processes_of_a_node_check_a_copy_once(written: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_mnist(written / "mnist")
    make("mnist").load()
    checked: list[Path] = []
    checksum = copies._checksum
    monkeypatch.setattr(copies, "_checksum", lambda path: checked.append(path) or checksum(path))
    copies._open_here.clear()
    make("mnist").load()
    assert checked == []
    copies._open_here.clear()
    monkeypatch.setattr(copies, "BELIEVED_FOR", 0.0)
    make("mnist").load()
    assert len(checked) == 4
    copies._open_here.clear()
    monkeypatch.setattr(copies, "BELIEVED_FOR", 600.0)
    monkeypatch.setattr(copies.socket, "gethostname", lambda: "another-node")
    make("mnist").load()
    assert len(checked) == 8


def test_a_holder_that_does_not_come_back_is_not_waited_for(
    written: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    write_mnist(written / "mnist")
    source = cache.source_key(make("mnist"))
    assert source is not None
    lock = cache.arrays_folder() / f"mnist-{source[:32]}.lock"
    lock.parent.mkdir(parents=True)
    monkeypatch.setattr(cache, "WAIT_AT_MOST", 0.2)
    with open(lock, "w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        arrays = make("mnist").load()
        assert len(arrays.train_y) == 40 and not isinstance(arrays.train_x, np.memmap)
        assert make("mnist").load() is arrays, "the second agent of a process should not wait again"
    assert f"{lock} has been held" in caplog.text and "decodes mnist for itself" in caplog.text


def test_a_cache_that_cannot_be_written_is_not_fatal(
    written: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    train_x = write_mnist(written / "mnist")[0]
    blocked = tmp_path / "file"
    blocked.touch()
    monkeypatch.setenv("MPIDCL_CACHE", str(blocked))
    with caplog.at_level(logging.WARNING):
        arrays = make("mnist").load()
        make("mnist").fingerprint()
    assert np.array_equal(arrays.train_x[:, 0], train_x) and "MPIDCL_CACHE" in caplog.text
    assert caplog.text.count("cannot keep") == 1, "the agents of a process share what it holds"
    assert make("mnist").load() is arrays
    with pytest.raises(ValueError, match="read-only"):
        arrays.train_y[0] = 0


def test_other_numbers_than_the_official_ones_are_said(
    written: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_mnist(written / "mnist")
    with caplog.at_level(logging.WARNING):
        make("mnist").load()
    assert "mnist should have 60000 training images. Found 40." in caplog.text


def test_an_unreadable_source_is_a_data_error(written: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_mnist(written / "mnist")

    def refuse(path: Path) -> bytes:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(DataError, match="should be readable. Found: .*Permission denied"):
        make("mnist").load()


def test_the_fingerprint_is_of_the_content(
    written: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train_y = write_mnist(written / "mnist")[1]
    before = make("mnist").fingerprint()
    (written / "mnist").rename(written / "elsewhere")
    write_mnist(written / "mnist", gz=False)
    assert make("mnist").fingerprint() == before, "the same images, unpacked"
    path = written / "mnist" / "train-labels-idx1-ubyte"
    times = path.stat().st_atime_ns, path.stat().st_mtime_ns
    write_idx(path, (train_y + 1) % 10)
    os.utime(path, ns=times)
    assert make("mnist").fingerprint() != before, "other labels, the same size and time of change"
    assert make("mnist").load().train_y[0] == 1
    monkeypatch.setenv("MPIDCL_CACHE", str(tmp_path / "another"))
    write_idx(path, train_y)
    assert make("mnist").fingerprint() == before


def test_hashes_are_remembered_once_the_files_have_settled(
    written: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_mnist(written / "mnist")
    monkeypatch.setattr(contents, "SETTLED_NS", 0)
    read: list[Path] = []
    compute = contents._hashes
    monkeypatch.setattr(contents, "_hashes", lambda path: read.append(path) or compute(path))
    first = contents.hashes_of(make("mnist").sources())
    contents._known.clear()
    assert contents.hashes_of(make("mnist").sources()) == first and len(read) == 4
    note = next((cache.places.cache_folder() / "hashes").glob("*.json"))
    note.write_bytes(note.read_bytes()[:-3])
    contents._known.clear()
    assert contents.hashes_of(make("mnist").sources()) == first and len(read) == 8


OWN = """
from mpidcl.stream.datasets.base import *
import numpy as np
class Own(DataSet):
    info = Info("own", (1, 2, 2), 2, None, None, "", "")
    def decode(self):
        x = np.full((4, 1, 2, 2), VALUE, np.uint8)
        return Arrays(x, np.array([0, 1, 0, 1]), x, np.array([0, 1, 0, 1]))
"""


def test_a_data_set_that_names_no_files_is_never_old(
    written: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own_for_cache.py").write_text("VALUE = 7" + OWN)
    monkeypatch.syspath_prepend(tmp_path)
    first = make("own_for_cache:Own").fingerprint()
    assert isinstance(make("own_for_cache:Own").load().train_x, np.memmap)
    sys.modules["own_for_cache"].VALUE = 8  # type: ignore[attr-defined]  # as another file that it reads would
    cache._made.clear()
    assert make("own_for_cache:Own").fingerprint() != first
    assert make("own_for_cache:Own").load().train_x[0, 0, 0, 0] == 8


WITH_HELPER = """
import numpy as np
from mpidcl.stream.datasets.base import Arrays, DataSet, Info, SourceFile
from own_labels import first
class Own(DataSet):
    info = Info(
        name="own", shape=(1, 2, 2), classes=2, train=4, test=4, home="", licence="",
        files=(SourceFile("own.bin"),), folders=("own",),
    )
    def decode(self):
        x, y = np.zeros((4, 1, 2, 2), np.uint8), np.array([first(), 1, 0, 1])
        return Arrays(x, y, x, y)
"""


def test_what_an_own_data_set_imports_is_part_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "own.bin").write_bytes(b"rows")
    (tmp_path / "own_data.py").write_text(WITH_HELPER)
    monkeypatch.setenv("MPIDCL_DATA", str(tmp_path))
    monkeypatch.setenv("MPIDCL_CACHE", str(tmp_path / "cache"))
    program = "from mpidcl.stream.datasets.catalogue import make\nprint(make('own_data:Own').load().test_y)"
    for first in (0, 1):
        (tmp_path / "own_labels.py").write_text(f"def first():\n    return {first}\n")
        done = subprocess.run(
            [sys.executable, "-B", "-c", program],
            env=os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.stdout == f"[{first} 1 0 1]\n", done.stderr
