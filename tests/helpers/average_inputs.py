"""Inputs for the tests of averages: vectors, some with values for some places only."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from hypothesis import strategies as st

from mpidcl_kernels.average.parts import BLOCK

DTYPES = (np.float32, np.float64)
SPECIAL = (np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-40, 1e38)


class Average(NamedTuple):
    arrays: list[np.ndarray]
    fishers: list[np.ndarray | None]
    weights: list[float]
    places: list[Any]
    own: int


class Inputs:
    """Draws the numbers of one test."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)

    def vectors(self, count: int, size: int, dtype: type) -> list[np.ndarray]:
        return [self.rng.normal(size=size).astype(dtype) for _ in range(count)]

    def weights(self, count: int) -> list[float]:
        return list(self.rng.dirichlet(np.ones(count)))

    def place(self, kind: str, size: int) -> Any:
        """None, a first place and a length, or a list of places."""
        if kind == "whole":
            return None
        if kind == "row":
            ends = np.sort(self.rng.integers(0, size + 1, 2))
            return int(ends[0]), int(ends[1] - ends[0])
        chosen = np.sort(self.rng.permutation(size)[: self.rng.integers(0, size + 1)])
        return chosen.astype(self.rng.choice([np.int64, np.uint32, np.uint16]))


@st.composite
def inputs(draw: Any, largest: int = 2 * BLOCK + 70) -> Average:
    """Up to ten arrays of up to `largest` values; `own` is whole, others may be parts or lack Fisher."""
    maker = Inputs(draw(st.integers(0, 2**16)))
    size = draw(st.sampled_from([0, 1, 7, 31, 32, 33, 100, largest]) | st.integers(0, largest))
    dtype = draw(st.sampled_from(DTYPES))
    kinds = draw(st.lists(st.sampled_from(["whole", "row", "list"]), min_size=1, max_size=10))
    own = draw(st.integers(0, len(kinds) - 1))
    kinds[own] = "whole"
    arrays, fishers, places = [], [], []
    for number, kind in enumerate(kinds):
        place = maker.place(kind, size)
        whole, fisher = maker.vectors(2, size, dtype)
        chosen = slice(None) if place is None else place
        if isinstance(place, tuple):
            chosen, place = slice(place[0], place[0] + place[1]), place[0]
        arrays.append(whole[chosen].copy())
        lacks = number != own and draw(st.booleans())
        fishers.append(None if lacks else np.abs(fisher[chosen]))
        places.append(place)
    if draw(st.booleans()) and size:
        arrays[own][maker.rng.integers(0, size)] = draw(st.sampled_from(SPECIAL))
    return Average(arrays, fishers, maker.weights(len(kinds)), places, own)
