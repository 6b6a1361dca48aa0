"""Domains that a stream draws: the same images with permuted pixels, or turned by an angle."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mpidcl.stream.tasks import Floats, Indices

    Doubles = NDArray[np.float64]

AT_ONCE = 64
"""Images that are turned together: they should stay in cache."""


class Permute:
    """Every image with its pixels in another order, the same in all channels (Goodfellow and others 2013)."""

    def __init__(self, order: NDArray[np.int64]) -> None:
        self._order = order

    def __call__(self, x: Floats) -> Floats:
        """[n, c, h, w] -> [n, c, h, w]: pixel p of the result is pixel order[p] of the image."""
        flat = x.reshape(*x.shape[:2], -1)
        return flat[:, :, self._order].reshape(x.shape)


class Rotate:
    """Every image turned anticlockwise, bilinear, black outside (as in Lopez-Paz and Ranzato 2017).

    What `scipy.ndimage.rotate` gives with order 1 and mode "grid-constant", in a seventh of the time: it
    loops over images, this over the four pixels that meet in one. The bits were the same where it was tried.
    """

    def __init__(self, degrees: float) -> None:
        self._degrees = degrees

    def __call__(self, x: Floats) -> Floats:
        """[n, c, h, w] -> [n, c, h, w]."""
        height, width = x.shape[2:]
        corners = self._corners(height, width)
        images = x.reshape(-1, height, width)
        turned = np.empty((len(images), height * width), dtype=np.float32)
        framed = np.zeros((min(AT_ONCE, len(images)), height + 2, width + 2))
        for first in range(0, len(images), AT_ONCE):
            part = images[first : first + AT_ONCE]
            framed[: len(part), 1:-1, 1:-1] = part
            flat = framed[: len(part)].reshape(len(part), -1)
            total = np.zeros((len(part), height * width))
            for place, down, right in corners:
                total += flat.take(place, axis=1) * down * right
            turned[first : first + AT_ONCE] = total
        return turned.reshape(x.shape)

    def _corners(self, height: int, width: int) -> list[tuple[Indices, Doubles, Doubles]]:
        """Of the four pixels from which each pixel [h * w] comes: place in the framed image, both weights."""
        from scipy import special

        cosine, sine = float(special.cosdg(self._degrees)), float(special.sindg(self._degrees))
        turn, middle = np.array([[cosine, sine], [-sine, cosine]]), (np.array([height, width]) - 1) / 2
        start = middle - turn @ middle
        down, right = np.indices((height, width), dtype=np.float64).reshape(2, -1)
        y = start[0] + down * turn[0, 0] + right * turn[0, 1]
        x = start[1] + down * turn[1, 0] + right * turn[1, 1]
        top, left = np.floor(y), np.floor(x)
        found = []
        for below, weight_y in ((0, 1 - (y - top)), (1, y - top)):
            row = np.clip(top + below, -1, height).astype(np.int64) + 1
            for beside, weight_x in ((0, 1 - (x - left)), (1, x - left)):
                column = np.clip(left + beside, -1, width).astype(np.int64) + 1
                found.append((row * (width + 2) + column, weight_y, weight_x))
        return found


def draw_domain(
    kind: Literal["permute", "rotate"], generator: np.random.Generator, height: int, width: int
) -> Permute | Rotate:
    """One random domain: a uniform permutation of the pixels, or an angle uniform in [0, 180) degrees."""
    if kind == "permute":
        return Permute(generator.permutation(height * width))
    return Rotate(float(generator.uniform(0, 180)))
