"""How much each parameter of a model matters, and which ones matter most.

    magnitude   |w|
    fisher      F, the mean over rows of (d log p(y | x) / dw)^2 (`gradient/squares.py`)
    mixed       (|w| / max |w|)^a (F / max F)^(1 - a), maxima of each layer

Values and F are float32 vectors of one layout, whole spans of the flat parameters or any pieces of them;
`layers` are the ranges of the vector that are ranked, and scaled, by themselves.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt

from mpidcl_kernels.sparse import top_k

Floats = npt.NDArray[np.float32]
Positions = npt.NDArray[np.int64]
Score = Literal["magnitude", "fisher", "mixed"]


def importance(
    score: Score,
    values: Floats,
    fisher: Floats | None = None,
    mix: float = 0.5,
    layers: Sequence[slice] = (),
) -> Floats:
    """Scores [n] of values [n], at least 0; `fisher [n]` unless they are magnitudes, `mix`: a of mixed.

    Raises ValueError for scores by a Fisher information that is not there, or not of n floats.

    >>> importance("mixed", np.array([1, -2], np.float32), np.array([4, 1], np.float32)).round(3).tolist()
    [0.7070000171661377, 0.5]
    """
    magnitude: Floats = np.abs(values)
    if score == "magnitude":
        return magnitude
    if fisher is None or fisher.shape != values.shape:
        found = "none" if fisher is None else f"{fisher.size}"
        raise ValueError(f"`fisher` should have {values.size} floats for a score by {score}. Found {found}.")
    if score == "fisher":
        return fisher
    found_scores = np.empty_like(magnitude)
    for layer in layers or (slice(0, values.size),):
        shares = (_scaled(magnitude[layer]) ** mix, _scaled(fisher[layer]) ** (1 - mix))
        found_scores[layer] = shares[0] * shares[1]
    return found_scores


def _scaled(values: Floats) -> npt.NDArray[np.float64]:
    """Divided by the maximum; zeros stay zeros."""
    largest = float(values.max(initial=0))
    return values.astype(np.float64) / (largest if largest > 0 else 1.0)


def counts_of(share: float, layers: Sequence[slice]) -> list[int]:
    """How many positions of each layer are a share of it: rounded up, so that no layer is left out."""
    # A hair less, so that 0.1 of 30, which is 3.0000000000000004, counts as 3.
    return [math.ceil(share * (layer.stop - layer.start) * (1 - 1e-12)) for layer in layers]


def top(scores: Floats, share: float, layers: Sequence[slice] = ()) -> Positions:
    """Positions of the top `share` of every layer, or of all; ascending, among equal scores the first win.

    >>> top(np.array([1, 3, 3, 3, 2, 9], np.float32), 0.5, [slice(0, 4), slice(4, 6)]).tolist()
    [1, 2, 5]
    """
    ranges = layers or (slice(0, scores.size),)
    return top_counts(scores, counts_of(share, ranges), ranges)


def top_counts(scores: Floats, counts: Sequence[int], layers: Sequence[slice]) -> Positions:
    """Positions of the `counts[l]` highest scores of each layer l; NaN counts as the highest."""
    parts = [
        # uint32, as a run has compiled it for exchanges
        layer.start + top_k(scores[layer], count, np.empty(count, np.uint32)).astype(np.int64)
        for layer, count in zip(layers, counts, strict=True)
        if count
    ]
    return np.concatenate(parts) if parts else np.empty(0, np.int64)
