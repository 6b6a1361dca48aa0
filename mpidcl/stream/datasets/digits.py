"""Digits: 1797 images of 8 x 8 pixels that come with scikit-learn. Needs no download."""

from __future__ import annotations

import numpy as np

from mpidcl.stream.datasets.base import Arrays, DataSet, Info, split_every_nth

TEST_EVERY = 5
"""Every fifth row of each class is a test row: 1442 + 355."""


class Digits(DataSet):
    """Optical digits of the UCI repository (its test part), as scikit-learn carries them; pixels 0..16."""

    info = Info(
        name="digits", shape=(1, 8, 8), classes=10, train=1442, test=355, maximum=16,
        home="https://archive.ics.uci.edu/dataset/80/optical+recognition+of+handwritten+digits",
        licence="CC BY 4.0 (Alpaydin and Kaynak 1998)", package="scikit-learn",
    )  # fmt: skip

    def decode(self) -> Arrays:
        """Pixels and labels from scikit-learn, split without chance."""
        from sklearn.datasets import load_digits

        images, labels = load_digits(return_X_y=True)
        pixels = images.astype(np.uint8).reshape(-1, *self.info.shape)
        return split_every_nth(pixels, labels.astype(np.int64), TEST_EVERY)
