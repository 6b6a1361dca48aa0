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

    def __init__(self, degrees: float) -> None:
        self._degrees = degrees

    def __call__(self, x: Floats) -> Floats:
        """[n, c, h, w] -> [n, c, h, w]."""
        from scipy import ndimage

        turned: Floats = ndimage.rotate(
            x, self._degrees, axes=(3, 2), reshape=False, order=1, mode="grid-constant"
        )
        return turned


def draw_domain(
    kind: Literal["permute", "rotate"], generator: np.random.Generator, height: int, width: int
) -> Permute | Rotate:
    """One random domain: a uniform permutation of the pixels, or an angle uniform in [0, 180) degrees."""
    if kind == "permute":
        return Permute(generator.permutation(height * width))
    return Rotate(float(generator.uniform(0, 180)))
