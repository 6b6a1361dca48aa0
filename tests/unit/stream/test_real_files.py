"""The real files, where MPIDCL_DATA has them: known counts and pinned images."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mpidcl.stream.datasets import places
from mpidcl.stream.datasets.catalogue import make
from mpidcl.stream.datasets.verify import verify

# Rows, sha256 (first 16 digits) of the first image, sum of all pixels and first labels, of each part.
PINNED = {
    ("digits", ""): (
        (1442, "9bc74a9fdeea9a14", 450_566, [0, 1, 2, 3, 4]),
        (355, "6202f805d707d17f", 111_152, [5, 0, 9, 8, 7]),
    ),
    ("mnist", ""): (
        (60_000, "23ceaef5eb61f0e7", 1_567_298_545, [5, 0, 4, 1, 9]),
        (10_000, "8f6a418c9a639f9e", 264_923_200, [7, 2, 1, 0, 4]),
    ),
    ("fashion-mnist", ""): (
        (60_000, "5bd44e331a6d6998", 3_431_114_169, [9, 0, 0, 3, 0]),
        (10_000, "ffc7351ed0f8bae5", 573_469_082, [9, 2, 1, 1, 6]),
    ),
    ("cifar100", ""): (
        (50_000, "d48e87e6d75805dc", 18_729_378_732, [19, 29, 0, 11, 1]),
        (10_000, "7dbe551ec3e5850b", 3_755_249_331, [49, 33, 72, 51, 71]),
    ),
    ("emnist", "bymerge"): (
        (99_725, "fea180f8017f6756", 3_459_617_481, [24, 22, 28, 0, 5]),
        (16_598, "41003d6cafc2a242", 577_210_794, [4, 5, 1, 7, 28]),
    ),
}


@pytest.mark.parametrize(("name", "split"), PINNED)
def test_counts_and_pinned_image(name: str, split: str, data_folder: Callable[[str], Path]) -> None:
    dataset = make(name, {"split": split, "part": "test"} if split else {})
    if dataset.info.files:
        data_folder(name)
        if places.locate(dataset.info) is None:
            pytest.skip(f"the folder {name} of MPIDCL_DATA has not the official files")
    arrays = dataset.load()
    parts = ((arrays.train_x, arrays.train_y), (arrays.test_x, arrays.test_y))
    for (pixels, labels), (rows, image, total, first) in zip(parts, PINNED[name, split], strict=True):
        assert len(pixels) == len(labels) == rows
        assert hashlib.sha256(pixels[0].tobytes()).hexdigest().startswith(image)
        assert int(pixels.sum(dtype=np.int64)) == total
        assert labels[:5].tolist() == first
        assert np.unique(labels).tolist() == list(range(dataset.info.classes))


def test_mnist_is_the_published_one(data_folder: Callable[[str], Path]) -> None:
    data_folder("mnist")
    findings = verify("mnist")
    assert [finding.ok for finding in findings] == [True] * 6
    assert [finding.found for finding in findings[:4]] == ["published sha256"] * 4


def test_emnist_letters_stand_upright(data_folder: Callable[[str], Path]) -> None:
    data_folder("emnist")
    arrays = make("emnist", {"split": "bymerge", "part": "test"}).load()
    mean = arrays.train_x[arrays.train_y == 29, 0].mean(axis=0)  # T: a bar above, a stroke down the middle
    above_right, below_left = mean[5:9, 20:24].mean(), mean[19:23, 4:8].mean()
    assert above_right > 1.5 * below_left, "the bar of the mean T should be above, and was at the left"
