"""A run says in one line which data are a version of one's own, and keeps where all came from."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from official_files import write_mnist

from mpidcl.errors import DataError
from mpidcl.experiment.file import Experiment
from mpidcl.experiment.reading import from_toml
from mpidcl.run.inputs import fingerprints
from mpidcl.run.origins import origin_notes, origins
from mpidcl.run.simulation import run
from mpidcl.stream.datasets import origin
from mpidcl.stream.datasets.base import DataSet
from mpidcl.stream.datasets.catalogue import make
from mpidcl.stream.serial.stream import SerialStream

TEXT = """
name = "own"
agents = 2
[stream]
dataset = "combined"
tasks = 1
train_per_class = 2
data = { of = ["mnist", "digits"] }
[model]
hidden = [4]
[learning]
epochs = 1
"""


def test_a_run_with_files_of_ones_own(written: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    write_mnist(written / "mnist", train=200, test=50)
    folder = tmp_path / "run"
    assert run(from_toml(TEXT), folder, driver="inprocess", quiet=True) == 0
    kept = json.loads((folder / "environment.json").read_text())["data"]
    assert kept["digits"] == "part of scikit-learn"
    assert kept["mnist"].startswith("own version of train-images") and str(written) in kept["mnist"]
    assert capsys.readouterr().err.count("mpidcl: mnist: own version of ") == 1


def test_files_of_another_data_set_end_a_run_before_it_begins(
    written: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    write_mnist(written)
    known = {f"sha256:{each.hashes.sha256}": ("mnist", each.file.name) for each in _files("mnist")}
    monkeypatch.setattr(origin, "_published_files", lambda: known)
    experiment = from_toml(TEXT.replace('"mnist", "digits"', '"digits", "kmnist"'))
    says = "of kmnist. Found train-images-idx3-ubyte.gz of mnist"
    assert says in origins(experiment)["kmnist"][0]
    with pytest.raises(DataError, match=says):
        run(experiment, tmp_path / "run", driver="inprocess", quiet=True)
    assert not list((tmp_path / "run").rglob("*.jsonl"))


def test_nothing_is_said_of_data_that_are_missing_or_embedded(written: Path):
    experiment = from_toml(TEXT.replace('"mnist", "digits"', '"digits", "kmnist"'))
    assert origin_notes(experiment) == []
    assert "not on this machine" in origins(experiment)["kmnist"][0]


def _files(name: str) -> list[origin.Examined]:
    from mpidcl.stream.datasets.catalogue import make

    return origin.examine(make(name))


class Other(SerialStream):
    """A user's own stream: what it reads is not what `dataset` says."""

    @staticmethod
    def data_set(experiment: Experiment, agent: int) -> DataSet:
        return make("mnist")


def test_a_stream_of_ones_own_says_what_it_reads(written: Path):
    write_mnist(written / "mnist")
    text = TEXT.replace('dataset = "combined"', f'kind = "{__name__}:Other"\ndataset = "digits"')
    experiment = from_toml(text.replace('data = { of = ["mnist", "digits"] }', ""))
    assert list(origins(experiment)) == ["mnist"]
    assert [line.partition(" version")[0] for line in origin_notes(experiment)] == ["mnist: own"]
    assert list(fingerprints(experiment, [0, 1])) == ["mnist"], "one list for the note and for the identity"
