"""Images of noise for measurements: a data set without files."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from mpidcl.experiment.options import Options as Table
from mpidcl.stream.datasets.base import Arrays, DataSet, Info, split_every_nth

CLASSES = 20


class NoiseOptions(Table):
    """How many images there are."""

    per_class: int = Field(80, ge=2, description="images of each class, one of which is a test image")


class Noise(DataSet):
    """32 x 32 pixels in three colours, of as many classes as 10 tasks of two have."""

    Options = NoiseOptions
    options: NoiseOptions
    info = Info(
        name="noise", shape=(3, 32, 32), classes=CLASSES, train=None, test=None,
        home="made on the spot", licence="CC0",
    )  # fmt: skip

    def decode(self) -> Arrays:
        """The same images whenever they are asked for."""
        count = CLASSES * self.options.per_class
        labels = np.repeat(np.arange(CLASSES), self.options.per_class)
        pixels = np.random.default_rng(0).integers(0, 256, (count, 3, 32, 32), np.uint8)
        return split_every_nth(pixels, labels, self.options.per_class)
