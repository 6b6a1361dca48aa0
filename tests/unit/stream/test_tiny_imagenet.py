"""Tiny-ImageNet: the official folder, written small."""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mpidcl.errors import DataError
from mpidcl.stream.datasets import cache, tiny_imagenet
from mpidcl.stream.datasets.catalogue import make

WORDS = ("n02", "n01", "n03")


def jpeg(path: Path, colour: tuple[int, ...] | int, size: int = 64) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L" if isinstance(colour, int) else "RGB", (size, size), colour).save(path, "JPEG")


@pytest.fixture
def folder(written: Path) -> Path:
    folder = written / "tiny-imagenet-200"
    for number, word in enumerate(WORDS):
        for image in (0, 2, 10):  # by name 10 would come before 2
            jpeg(folder / "train" / word / "images" / f"{word}_{image}.JPEG", (80 * number, 10 * image, 0))
        jpeg(folder / "val" / "images" / f"val_{number}.JPEG", 100 + number)
    (folder / "wnids.txt").write_text("\n".join(WORDS) + "\n")
    lines = [f"val_{number}.JPEG\t{word}\t0\t0\t63\t63" for number, word in enumerate(WORDS)]
    (folder / "val" / "val_annotations.txt").write_text("\n".join(lines) + "\n")
    return folder


def test_classes_follow_the_sorted_names_and_images_their_numbers(folder: Path) -> None:
    arrays = make("tiny-imagenet").load()
    assert arrays.train_x.shape == (9, 3, 64, 64) and arrays.train_y.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    # Red tells the word (n01 was written with 80), green the number of the image; JPEG is off by a few.
    assert np.abs(arrays.train_x[:, 0, 0, 0].astype(int) - np.repeat([80, 0, 160], 3)).max() <= 3
    assert np.abs(arrays.train_x[:, 1, 0, 0].astype(int) - np.tile([0, 20, 100], 3)).max() <= 3


def test_validation_images_are_the_test_part_and_grey_becomes_three_channels(folder: Path) -> None:
    arrays = make("tiny-imagenet").load()
    assert arrays.test_y.tolist() == [1, 0, 2]
    assert np.array_equal(arrays.test_x[:, 0], arrays.test_x[:, 2])
    assert np.abs(arrays.test_x[:, 0, 5, 5].astype(int) - [100, 101, 102]).max() <= 1


def test_broken_image_is_named(folder: Path) -> None:
    path = folder / "train" / "n03" / "images" / "n03_2.JPEG"
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(DataError, match=r"n03_2.JPEG: should be a readable image"):
        make("tiny-imagenet").load()


def test_other_size(folder: Path) -> None:
    jpeg(folder / "val" / "images" / "val_1.JPEG", 3, size=32)
    with pytest.raises(DataError, match="val_1.JPEG: should have 64 x 64 pixels. Found 32 x 32"):
        make("tiny-imagenet").load()


def test_missing_class_folder_and_image(folder: Path) -> None:
    (folder / "val" / "images" / "val_2.JPEG").unlink()
    with pytest.raises(DataError, match="val_2.JPEG"):
        make("tiny-imagenet").load()
    for path in (folder / "train" / "n02" / "images").iterdir():
        path.unlink()
    with pytest.raises(DataError, match="training images of class n02. Found none"):
        make("tiny-imagenet").load()


def test_annotation_of_an_unknown_class(folder: Path) -> None:
    (folder / "val" / "val_annotations.txt").write_text("val_0.JPEG\tn99\t0\t0\t63\t63\n")
    with pytest.raises(DataError, match="line 1: should be an image and a class of wnids.txt"):
        make("tiny-imagenet").load()


@pytest.mark.parametrize("subfolder", ["images", "."])
@pytest.mark.parametrize("keep", [True, False])
def test_validation_images_may_lie_in_a_folder_per_class(folder: Path, subfolder: str, keep: bool) -> None:
    before = make("tiny-imagenet").fingerprint()
    cache._rest.clear()
    for number, word in enumerate(WORDS):
        place = folder / "val" / word / subfolder
        place.mkdir(parents=True)
        (folder / "val" / "images" / f"val_{number}.JPEG").rename(place / f"val_{number}.JPEG")
    (folder / "val" / "images").rmdir()
    if not keep:
        (folder / "val" / "val_annotations.txt").unlink()
    assert make("tiny-imagenet").load().test_y.tolist() == [1, 0, 2]
    assert make("tiny-imagenet").fingerprint() == before, "the published order, whatever the folders"


def test_training_images_may_lie_without_a_subfolder(folder: Path) -> None:
    before = make("tiny-imagenet").fingerprint()
    cache._rest.clear()
    for path in [*folder.glob("train/*/images/*.JPEG")]:
        path.rename(path.parent.parent / path.name)
    assert make("tiny-imagenet").fingerprint() == before


def test_an_image_that_moves_to_another_class_is_noticed(folder: Path) -> None:
    (folder / "val" / "val_annotations.txt").unlink()
    shutil.rmtree(folder / "val" / "images")
    for number, word in enumerate([*WORDS, *WORDS]):
        (folder / "val" / word).mkdir(exist_ok=True)
        jpeg(folder / "val" / word / f"val_{number}.JPEG", 100 + number)
    before = make("tiny-imagenet").load().test_y.tolist()
    (folder / "val" / WORDS[0] / "val_0.JPEG").rename(folder / "val" / WORDS[1] / "val_0.JPEG")
    cache._rest.clear()  # as another process would begin
    assert make("tiny-imagenet").load().test_y.tolist() == [before[1], *before[1:]]


def test_a_single_replaced_image_is_noticed(folder: Path) -> None:
    before = make("tiny-imagenet").fingerprint()
    path = folder / "train" / "n03" / "images" / "n03_2.JPEG"
    times = path.stat().st_atime_ns, path.stat().st_mtime_ns
    jpeg(path, (255, 255, 255))
    os.utime(path, ns=times)
    cache._rest.clear()  # as another process would begin
    assert make("tiny-imagenet").fingerprint() != before


@pytest.mark.parametrize("name", ["wnids.txt", "val/val_annotations.txt"])
def test_text_that_is_not_utf8(folder: Path, name: str) -> None:
    (folder / name).write_bytes(b"n01\n\xff\xfe\n")
    with pytest.raises(DataError, match=f"{name}: should be text in UTF-8. Found"):
        make("tiny-imagenet").load()


def test_no_validation_images_at_all(folder: Path) -> None:
    for path in [*(folder / "val").glob("**/*.*")]:
        path.unlink()
    with pytest.raises(DataError, match="should hold the validation images of class n01. Found none"):
        make("tiny-imagenet").load()


def test_every_kind_of_broken_image_is_a_data_error(folder: Path) -> None:
    path = folder / "train" / "n03" / "images" / "n03_2.JPEG"
    good, random = path.read_bytes(), np.random.default_rng(0)
    Image.MAX_IMAGE_PIXELS, most = 64 * 64, Image.MAX_IMAGE_PIXELS
    try:
        for _ in range(300):
            damaged = bytearray(good[: random.integers(1, len(good) + 1)])
            for place in random.integers(0, len(damaged), 3):
                damaged[place] = random.integers(256)
            path.write_bytes(damaged)
            with contextlib.suppress(DataError):
                tiny_imagenet._image(path)
    finally:
        Image.MAX_IMAGE_PIXELS = most
