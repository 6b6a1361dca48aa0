"""Augmentation: training images that are changed at random each time that they are used."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from mpidcl.base.shape import Shape
from mpidcl.errors import ExperimentError
from mpidcl.learning.batches import Drawn
from mpidcl.model.base import Model

PADDING = 4
"""Zeros around an image before a part of its size is cut out, as is common for CIFAR and Tiny-ImageNet."""


class Augment:
    """Changes rows of a batch: "crop" shifts an image by up to 4 pixels, "flip" mirrors it half of the time.

    Without names it changes nothing and draws nothing. Raises ExperimentError for rows that are no images,
    and for a model that keeps what its frozen input stage has made of them.
    """

    def __init__(self, names: Sequence[str], shape: Shape, model: Model, rng: np.random.Generator) -> None:
        self._crop, self._flip, self.rng = "crop" in names, "flip" in names, rng
        size = tuple(shape.input_shape)
        self._image = size if len(size) == 3 else (1, *size)
        if not names:
            return
        if model.prepares:
            raise ExperimentError(
                "stream.augment should be [] with this model, whose frozen input stage is passed once per row"
                f" and not in each epoch. Found {list(names)}. Take a model without one, such as model.kind ="
                ' "cnn", or "mlp" with projection = false.'
            )
        if len(self._image) != 3:
            raise ExperimentError(
                f"stream.augment should be [] for rows that are no images [c, h, w] or [h, w]. Found"
                f" {list(names)}, and rows {list(size)}."
            )

    def __call__(self, z: Tensor) -> Tensor:
        """Rows z [n, ...], images or flattened ones, each with a change of its own; new memory."""
        if not self._crop and not self._flip:
            return z
        n, (c, h, w) = len(z), self._image
        images, down, right = z.view(n, c, h, w), self._steps(n, h), self._steps(n, w)
        if self._crop:
            images = functional.pad(images, (PADDING,) * 4)
            down, right = down + self._offsets(n), right + self._offsets(n)
        if self._flip:
            mirrored = self.rng.integers(0, 2, n, dtype=np.bool_)
            right = np.where(mirrored[:, None], right[:, ::-1], right)
        # Where each pixel of the result lies in its padded image: one gather, no loop over rows.
        source = down[:, :, None] * images.shape[3] + right[:, None, :]
        index = torch.from_numpy(source.reshape(n, 1, h * w)).to(z.device).expand(n, c, h * w)
        return images.flatten(2).gather(2, index).view(z.shape)

    def _steps(self, rows: int, size: int) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
        return np.broadcast_to(np.arange(size), (rows, size))

    def _offsets(self, rows: int) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
        return self.rng.integers(0, 2 * PADDING + 1, (rows, 1))

    def drawn(self, rows: Drawn) -> Drawn:
        """Rows from a memory, changed anew; what terms have stored beside them stays."""
        if not self._crop and not self._flip:
            return rows
        return Drawn(self(rows.z), rows.y, rows.heads, rows.columns)
