"""EMNIST: six splits, upright images, and a way to use the test files alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from official_files import random_images, write_idx

from mpidcl.errors import DataError, ExperimentError
from mpidcl.stream.datasets.catalogue import make
from mpidcl.stream.datasets.emnist import FACTS


def write_half(folder: Path, split: str, half: str, n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    folder.mkdir(parents=True, exist_ok=True)
    facts = FACTS[split]  # type: ignore[index]
    upright, labels = random_images(n, (28, 28), seed), facts.first + np.arange(n) % facts.classes
    write_idx(folder / f"emnist-{split}-{half}-images-idx3-ubyte.gz", upright.swapaxes(1, 2))
    write_idx(folder / f"emnist-{split}-{half}-labels-idx1-ubyte.gz", labels)
    return upright, labels - facts.first


@pytest.mark.parametrize("split", FACTS)
@pytest.mark.parametrize("place", ["emnist", "emnist/gzip", "."])
def test_images_are_upright_and_labels_begin_at_zero(written: Path, split: str, place: str) -> None:
    train = write_half(written / place, split, "train", 130)
    test = write_half(written / place, split, "test", 70, seed=1)
    arrays = make("emnist", {"split": split}).load()
    assert np.array_equal(arrays.train_x[:, 0], train[0]) and np.array_equal(arrays.train_y, train[1])
    assert np.array_equal(arrays.test_x[:, 0], test[0]) and np.array_equal(arrays.test_y, test[1])


def test_number_of_classes_is_known_without_files() -> None:
    classes = {split: make("emnist", {"split": split}).info.classes for split in FACTS}
    assert classes == {"byclass": 62, "bymerge": 47, "balanced": 47, "letters": 26, "digits": 10, "mnist": 10}


def test_test_files_alone_say_how_they_can_be_used(written: Path) -> None:
    write_half(written / "emnist", "bymerge", "test", 470)
    with pytest.raises(DataError, match='set `stream.data.part = "test"`'):
        make("emnist", {"split": "bymerge"}).load()


def test_test_files_alone_are_split_without_chance(written: Path) -> None:
    images, labels = write_half(written / "emnist", "bymerge", "test", 47 * 14)
    arrays = make("emnist", {"split": "bymerge", "part": "test"}).load()
    # The rows of a class are 47 apart, so every seventh of a class is a run of 47 rows.
    test = np.arange(len(labels)) // 47 % 7 == 6
    assert np.array_equal(arrays.test_x[:, 0], images[test]) and np.array_equal(arrays.test_y, labels[test])
    assert np.array_equal(arrays.train_x[:, 0], images[~test]) and np.array_equal(
        arrays.train_y, labels[~test]
    )


def test_label_of_another_split_is_refused(written: Path) -> None:
    write_half(written / "emnist", "digits", "train", 20)
    write_half(written / "emnist", "digits", "test", 20)
    write_idx(written / "emnist" / "emnist-digits-test-labels-idx1-ubyte.gz", np.full(20, 30))
    with pytest.raises(DataError, match="between 0 and 9. Found 30"):
        make("emnist", {"split": "digits"}).load()


def test_unknown_option_and_value() -> None:
    with pytest.raises(ExperimentError, match=r'`stream.data.split` should be one of .* Found "upper"'):
        make("emnist", {"split": "upper"})
    with pytest.raises(ExperimentError, match=r"`stream.data.color` .*Options of emnist: split, part"):
        make("emnist", {"color": 1})
