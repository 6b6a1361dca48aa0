"""A data set of your own: noisy bars, one direction and place per class; made on the spot."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from mpidcl.experiment.options import Options as Table
from mpidcl.stream.datasets.base import Arrays, DataSet, Info, split_every_nth

SIDE, CLASSES, PER_CLASS = 6, 12, 60


class BarsOptions(Table):
    """How hard the images are."""

    noise: int = Field(60, ge=0, le=255, description="largest grey value of the noise")


class Bars(DataSet):
    """Images of 6 x 6 pixels: classes 0 to 5 have a bright row, classes 6 to 11 a bright column."""

    Options = BarsOptions
    options: BarsOptions
    info = Info(
        name="bars", shape=(1, SIDE, SIDE), classes=CLASSES, train=None, test=None,
        home="made on the spot", licence="CC0",
    )  # fmt: skip

    def decode(self) -> Arrays:
        """The same images whenever they are asked for; every fourth row of a class is a test row."""
        random = np.random.Generator(np.random.PCG64(0))
        labels = np.repeat(np.arange(CLASSES), PER_CLASS)
        pixels = random.integers(0, self.options.noise + 1, (len(labels), 1, SIDE, SIDE))
        for image, label in zip(pixels[:, 0], labels, strict=True):
            bar = image if label < SIDE else image.T
            bar[label % SIDE] += random.integers(0, 256 - self.options.noise, SIDE)
        return split_every_nth(pixels.astype(np.uint8), labels.astype(np.int64), 4)
