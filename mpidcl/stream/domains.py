"""Domains of a domain-incremental stream: the same images with permuted pixels or turned by an angle."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mpidcl.stream.tasks import Floats


class Permute:
    """Every image with its pixels in another order, the same in all channels (Goodfellow and others 2013)."""

    def __init__(self, order: NDArray[np.int64]) -> None:
        self._order = order

    def __call__(self, x: Floats) -> Floats:
        """[n, c, h, w] -> [n, c, h, w]: pixel p of the result is pixel order[p] of the image."""
        flat = x.reshape(*x.shape[:2], -1)
        return flat[:, :, self._order].reshape(x.shape)


class Rotate:
    """Every image turned anticlockwise, bilinear, black outside (as in Lopez-Paz and Ranzato 2017)."""

    def __init__(self, degrees: float, height: int, width: int) -> None:
        row, column = np.mgrid[:height, :width].reshape(2, -1)
        row, column = row - (height - 1) / 2, column - (width - 1) / 2
        cosine, sine = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
        # Where in the image a pixel of the result comes from: the inverse rotation. Rows count downwards.
        # Rounding keeps a right angle exact, where the cosine is 6e-17 and not 0.
        from_row = np.round(cosine * row + sine * column + (height - 1) / 2, 9)
        from_column = np.round(cosine * column - sine * row + (width - 1) / 2, 9)
        self._corners = _corners(from_row, from_column, height, width)

    def __call__(self, x: Floats) -> Floats:
        """[n, c, h, w] -> [n, c, h, w]."""
        flat = x.reshape(*x.shape[:2], -1)
        turned = np.zeros_like(flat)
        for index, weight in self._corners:
            turned += flat[:, :, index] * weight
        return turned.reshape(x.shape)


def _corners(
    row: NDArray[np.float64], column: NDArray[np.float64], height: int, width: int
) -> list[tuple[NDArray[np.int64], Floats]]:
    top, left = np.floor(row).astype(np.int64), np.floor(column).astype(np.int64)
    corners = []
    for down in (0, 1):
        for right in (0, 1):
            r, c = top + down, left + right
            weight = (1 - np.abs(row - r)) * (1 - np.abs(column - c))
            inside = (r >= 0) & (r < height) & (c >= 0) & (c < width)
            index = np.where(inside, r * width + c, 0)
            corners.append((index, np.where(inside, weight, 0).astype(np.float32)))
    return corners


def draw_domain(
    kind: Literal["permute", "rotate"], generator: np.random.Generator, height: int, width: int
) -> Permute | Rotate:
    """One random domain: a uniform permutation of the pixels, or an angle uniform in [0, 180) degrees."""
    if kind == "permute":
        return Permute(generator.permutation(height * width))
    return Rotate(float(generator.uniform(0, 180)), height, width)
