"""Fetching with checked hashes, listing and verifying; the network is a folder on this machine."""

from __future__ import annotations

import hashlib
import io
import shutil
import tarfile
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
from official_files import write_mnist
from test_cifar import write_cifar100

from mpidcl.errors import DataError, ExperimentError
from mpidcl.stream.datasets import places
from mpidcl.stream.datasets.base import Download, Info
from mpidcl.stream.datasets.catalogue import make, names
from mpidcl.stream.datasets.cifar import CIFAR100
from mpidcl.stream.datasets.fetch import fetch
from mpidcl.stream.datasets.mnist import MNIST
from mpidcl.stream.datasets.verify import listing, verify


class Folder:
    """A pooch downloader that copies from a folder and remembers what it was asked for."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.asked = folder, list[str]()

    def __call__(self, url: str, output_file: str, pooch: object) -> None:
        self.asked.append(url)
        source = self.folder / url.rsplit("/", 1)[-1]
        if not source.exists() or "gone" in url:
            raise OSError("404")
        shutil.copy(source, output_file)


def of_files(info: Info, folder: Path, place: str = "https://example.org/") -> Info:
    """The info with downloads that are the files of `folder`, hashes included."""
    downloads = []
    for path in sorted(folder.iterdir()):
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        downloads.append(Download((place + path.name,), f"sha256:{digest}"))
    return replace(info, downloads=tuple(downloads))


@pytest.fixture
def there(written: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Folder:
    """The other side of the network, which has small files of MNIST."""
    folder = tmp_path / "there"
    write_mnist(folder)
    monkeypatch.setattr(MNIST, "info", of_files(MNIST.info, folder))
    return Folder(folder)


def test_fetched_files_are_found_and_not_fetched_twice(there: Folder) -> None:
    assert fetch("mnist", there) == [places.cache_folder() / "data" / "mnist"]
    assert len(there.asked) == 4 and len(make("mnist").load().train_y) == 40
    fetch("mnist", there)
    assert len(there.asked) == 4


def test_a_wrong_hash_is_refused_and_leaves_no_file(there: Folder) -> None:
    path = there.folder / "train-labels-idx1-ubyte.gz"
    path.write_bytes(path.read_bytes() + b"x")
    with pytest.raises(
        DataError, match=r"train-labels-idx1-ubyte.gz should come with sha256:[0-9a-f]{64}. Found"
    ):
        fetch("mnist", there)
    assert not (places.fetched_folder(MNIST.info) / path.name).exists()


def test_the_next_place_is_tried(there: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    downloads = tuple(
        replace(download, urls=(f"https://gone.example.org/{download.name}", *download.urls))
        for download in MNIST.info.downloads
    )
    monkeypatch.setattr(MNIST, "info", replace(MNIST.info, downloads=downloads))
    fetch("mnist", there)
    assert len(there.asked) == 8 and make("mnist").present()


def test_nobody_answers(there: Folder) -> None:
    shutil.rmtree(there.folder)
    with pytest.raises(DataError, match=r"https://example.org/\S+: 404\n.*set MPIDCL_DATA"):
        fetch("mnist", there)


@pytest.mark.parametrize("kind", ["tar.gz", "zip"])
def test_archives_are_unpacked(
    written: Path, tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, there = tmp_path / "cifar-100-binary", tmp_path / "there"
    write_cifar100(source)
    there.mkdir()
    buffer = io.BytesIO()
    if kind == "zip":
        with zipfile.ZipFile(buffer, "w") as packed:
            for path in source.iterdir():
                packed.write(path, f"{source.name}/{path.name}")
    else:
        with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
            tar.add(source, source.name)
    (there / f"cifar-100-binary.{kind}").write_bytes(buffer.getvalue())
    monkeypatch.setattr(CIFAR100, "info", of_files(CIFAR100.info, there))
    fetch("cifar100", Folder(there))
    assert len(make("cifar100").load().train_y) == 10


def test_combined_fetches_its_parts_and_digits_need_nothing(there: Folder) -> None:
    assert fetch("digits", there) == []
    with pytest.raises(DataError, match="kmnist"):
        fetch("combined", there)
    assert make("mnist").present()


def test_a_run_never_downloads(there: Folder) -> None:
    with pytest.raises(DataError, match="mpidcl data fetch mnist"):
        make("mnist").load()
    assert there.asked == []


def test_unknown_name() -> None:
    with pytest.raises(ExperimentError, match='Did you mean "mnist"'):
        fetch("mnst")


def test_listing_knows_every_data_set_and_where_it_is(written: Path) -> None:
    write_mnist(written / "mnist")
    place = {line.info.name: line.place for line in listing()}
    assert list(place) == names()
    assert place["digits"] == "embedded" and place["mnist"] == f"{written / 'mnist'} (own version)"
    assert place["kmnist"] == "not here" and place["combined"] == "not here"


def test_every_official_file_has_a_hash_and_a_home() -> None:
    for line in listing():
        for part in make(line.info.name).parts():
            assert part.info.home and part.info.licence
            assert all(d.hash.startswith(("sha256:", "md5:")) for d in part.info.downloads)
            assert bool(part.info.files) == bool(part.info.downloads)


def test_verify_finds_what_is_not_official(written: Path) -> None:
    write_mnist(written / "mnist")
    findings = verify("mnist")
    assert [finding.ok for finding in findings] == [False] * 6
    assert "should have sha256 440fcabf" in findings[0].found
    assert findings[4].found == "should have 60000 images of 10 classes, has 40 images of 10 classes"


def test_verify_names_a_file_that_cannot_be_read(written: Path) -> None:
    write_mnist(written / "kmnist", gz=False)
    (written / "kmnist" / "t10k-images-idx3-ubyte").write_bytes(b"no idx file at all")
    findings = verify("kmnist")
    assert findings[2].ok and "structure" in findings[2].found
    assert not findings[-1].ok and "t10k-images-idx3-ubyte" in findings[-1].found


def test_verify_of_what_is_not_here(written: Path) -> None:
    with pytest.raises(DataError, match="mpidcl data fetch kmnist"):
        verify("kmnist")
    assert all(finding.ok for finding in verify("digits"))
