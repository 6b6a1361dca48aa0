"""The files of another data set are refused by name; an own version is allowed, and told."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from official_files import write_mnist

from mpidcl.errors import DataError
from mpidcl.stream.datasets import mnist, origin
from mpidcl.stream.datasets.base import SourceFile
from mpidcl.stream.datasets.catalogue import make
from mpidcl.stream.datasets.verify import listing, verify


@pytest.fixture
def published(written: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Small files in mnist/ that pass for the published ones: their hashes are those of the catalogue."""
    write_mnist(written / "mnist")
    write_mnist(written / "unpacked", gz=False)

    def sha256(path: Path) -> str:
        return f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"

    files = tuple(
        SourceFile(
            name, sha256(written / "mnist" / name), sha256(written / "unpacked" / name.removesuffix(".gz"))
        )
        for name in mnist.NAMES
    )
    monkeypatch.setattr(mnist.MNIST, "info", replace(mnist.MNIST.info, files=files))
    origin._published_files.cache_clear()
    yield written / "mnist"
    origin._published_files.cache_clear()


def test_published_files_and_the_same_unpacked(published: Path) -> None:
    assert make("mnist").origin() == "published files"
    published.rename(published.with_name("away"))
    published.with_name("unpacked").rename(published)
    assert make("mnist").origin() == "published files"
    assert [check.ok for check in verify("mnist")[:4]] == [True] * 4


@pytest.mark.parametrize("where", ["itself", "folder", "unpacked"])
@pytest.mark.parametrize("name", ["fashion-mnist", "kmnist"])
def test_files_of_another_data_set_are_refused(
    published: Path, name: str, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if where == "itself":
        monkeypatch.setenv("MPIDCL_DATA", str(published))
    elif where == "folder":
        published.rename(published.with_name(name))
    else:
        published.with_name("unpacked").rename(published.with_name(name))
    says = rf"should be train-images-idx3-ubyte.gz of {name}. Found train-images-idx3-ubyte.gz of mnist"
    with pytest.raises(DataError, match=says):
        make(name).load()
    with pytest.raises(DataError, match=says):
        make("combined", {"of": [name]}).for_agent(0).fingerprint()
    assert {line.info.name: line.place for line in listing()}[name].endswith("(WRONG: files of mnist)")
    assert "is train-images-idx3-ubyte.gz of mnist" in verify(name)[0].found


def test_files_of_one_data_set_may_not_change_places(published: Path) -> None:
    for part in ("images-idx3", "labels-idx1"):
        one, other = (published / f"{which}-{part}-ubyte.gz" for which in ("train", "t10k"))
        one.rename(published / "spare")
        other.rename(one)
        (published / "spare").rename(other)
    with pytest.raises(DataError, match="should be train-images.* of mnist. Found t10k-images.* of mnist"):
        make("mnist").load()


def test_an_own_version_is_allowed_and_told(published: Path) -> None:
    write_mnist(published.with_name("fashion-mnist"), train=30, test=22)
    write_mnist(published, train=50, test=24)
    for name in ("mnist", "fashion-mnist"):
        told = make(name).origin()
        files = ", ".join(mnist.NAMES)
        assert told == f"own version of {files} in {published.with_name(name)}: not the published hashes"
    assert len(make("mnist").load().train_y) == 50
    assert {line.info.name: line.place for line in listing()}["mnist"] == f"{published} (own version)"


def test_others_say_what_they_are(written: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert make("digits").origin() == "part of scikit-learn"
    write_mnist(written / "kmnist", gz=False)
    assert make("kmnist").origin() == "files whose hashes were never published"
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "own_origin.py").write_text(
        "from mpidcl.stream.datasets.base import *\n"
        "class Own(DataSet):\n"
        "    info = Info('own', (1, 2, 2), 2, None, None, '', '')\n"
        "    def decode(self):\n        raise NotImplementedError\n"
    )
    assert make("own_origin:Own").origin() == "made by own_origin:Own"


def test_folders_whose_names_are_no_text(written: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = os.path.join(os.fsencode(written), b"d\xfc")
    os.mkdir(folder)
    monkeypatch.setenv("MPIDCL_DATA", os.fsdecode(folder))
    with pytest.raises(DataError, match="not on this machine") as raised:
        make("mnist").load()
    str(raised.value).encode()
    write_mnist(Path(os.fsdecode(folder)) / "mnist")
    assert len(make("mnist").load().train_y) == 40
    make("mnist").fingerprint().encode()
    make("mnist").origin().encode()
    str([(line.place, line.info) for line in listing()]).encode()
    str(verify("mnist")).encode()


def test_a_home_that_nobody_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MPIDCL_DATA", "~nobody-of-this-name/data")
    with pytest.raises(DataError, match="MPIDCL_DATA should be a folder. Found '~nobody"):
        make("mnist").load()


def test_a_name_that_no_file_system_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MPIDCL_DATA", "/tmp/" + 300 * "a")
    with pytest.raises(DataError, match="should be possible to look for"):
        make("mnist").load()


def test_the_modules_are_imported_only_when_a_hash_is_not_the_expected(published: Path) -> None:
    make("mnist").load()
    assert origin._published_files.cache_info().misses == 0
