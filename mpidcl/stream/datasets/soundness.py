"""Are decoded arrays what their data set says? Asked of ours and of users' own, before they are used."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING

import numpy as np

from mpidcl.errors import DataError
from mpidcl.stream.datasets.base import Arrays

if TYPE_CHECKING:
    from mpidcl.stream.datasets.base import Info, Labels, Pixels


def sound(info: Info, decoded: object) -> Arrays:
    """What `decode` returned, with labels as int64. Raises DataError: what should be, was found, is to do."""
    if not isinstance(decoded, Arrays):
        raise DataError(
            f"`decode` of the data set {info.name} should return "
            f"Arrays(train_x, train_y, test_x, test_y). Found {type(decoded).__name__}."
        )
    for name in (field.name for field in fields(Arrays)):
        if not isinstance(getattr(decoded, name), np.ndarray):
            found = type(getattr(decoded, name)).__name__
            raise _wrong(info, name, "be a NumPy array", found, "Convert it with np.asarray")
    if not info.maximum <= 255:
        raise _wrong(info, "info.maximum", "be at most 255: pixels are bytes", info.maximum, "Change it")
    train_y = _part(info, "train", decoded.train_x, decoded.train_y)
    test_y = _part(info, "test", decoded.test_x, decoded.test_y)
    return Arrays(decoded.train_x, train_y, decoded.test_x, test_y)


def _part(info: Info, part: str, pixels: Pixels, labels: Labels) -> Labels:
    _check_pixels(info, f"{part}_x", pixels)
    _check_labels(info, f"{part}_y", labels)
    if len(pixels) != len(labels):
        raise _wrong(
            info, f"{part}_y", f"hold one label for each of the {len(pixels)} images of {part}_x",
            len(labels), "Return as many labels as images, in the same order",
        )  # fmt: skip
    return labels.astype(np.int64, copy=False)


def _check_pixels(info: Info, name: str, pixels: Pixels) -> None:
    if pixels.dtype != np.uint8:
        should = f"hold bytes (uint8) from 0 to {info.maximum}"
        raise _wrong(info, name, should, _range(pixels), _to_bytes(info, pixels))
    if pixels.ndim != 4 or pixels.shape[1:] != info.shape:
        should = f"have the shape [n, {', '.join(map(str, info.shape))}] that `info.shape` says"
        raise _wrong(
            info, name, should, list(pixels.shape), "Reshape or transpose it, or change `info.shape`"
        )
    if not len(pixels):
        raise _wrong(info, name, "hold at least one image", 0, "Look at what `decode` reads")
    largest = int(pixels.max())
    if largest > info.maximum:
        should = f"hold pixels up to `info.maximum` = {info.maximum}"
        raise _wrong(info, name, should, largest, "Change `info.maximum`, or the pixels")
    if largest == 1 < info.maximum:
        should = f"hold pixels up to `info.maximum` = {info.maximum}"
        raise _wrong(
            info, name, should, "nothing but 0 and 1",
            f"Multiply fractions by {info.maximum} before they become bytes, or say maximum=1 in `info`",
        )  # fmt: skip


def _check_labels(info: Info, name: str, labels: Labels) -> None:
    if labels.ndim != 1:
        should = "have the shape [n], one class id per image"
        raise _wrong(info, name, should, list(labels.shape), "Of one-hot rows take argmax(axis=1)")
    if labels.dtype.kind not in "iu":
        should = "hold class ids as integers"
        raise _wrong(info, name, should, labels.dtype, "Convert them: .astype(np.int64)")
    wrong = np.flatnonzero((labels < 0) | (labels >= info.classes))
    if len(wrong):
        raise _wrong(
            info, name, f"hold class ids from 0 to {info.classes - 1} (`info.classes` = {info.classes})",
            f"{labels[wrong[0]]} at row {wrong[0]}", "Count classes from 0, or change `info.classes`",
        )  # fmt: skip


def _range(pixels: Pixels) -> str:
    if pixels.size == 0 or pixels.dtype.kind not in "biuf":
        return str(pixels.dtype)
    return f"{pixels.dtype} from {pixels.min():g} to {pixels.max():g}"


def _to_bytes(info: Info, pixels: Pixels) -> str:
    if pixels.dtype.kind == "f" and pixels.size and pixels.max() <= 1:
        return f"Convert them: (x * {info.maximum}).round().astype(np.uint8)"
    return "Scale them to that range and convert them: x.round().astype(np.uint8)"


def _wrong(info: Info, name: str, should: str, found: object, change: str) -> DataError:
    return DataError(f"The data set {info.name}: {name} should {should}. Found {found}. {change}.")
