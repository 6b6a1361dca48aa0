"""Rows of one object: which positions they are is held, patterns and patches are made when asked for."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from mpidcl.randomness import numpy_generator
from mpidcl.stream.ptychography import optics
from mpidcl.stream.tasks import Floats, Indices

AT_ONCE = 256
"""Patterns made together: 16 MiB of waves with 64 x 64 pixels."""


class Recipe(NamedTuple):
    """All that an object and its patterns depend on. `agent`: who draws it; lengths in pixels."""

    seed: int
    agent: int
    task: int
    size: int
    positions: int
    step: int
    correlation: float
    probe_width: float
    curvature: float

    @property
    def side(self) -> int:
        """Pixels along a side of the object."""
        return self.size + (self.positions - 1) * self.step


class Scene:
    """An object, the probe, and the largest value of all patterns of its raster."""

    def __init__(self, recipe: Recipe) -> None:
        rng = numpy_generator(recipe.seed, recipe.agent, f"object {recipe.task}")
        self.object = optics.make_object(recipe.side, recipe.correlation, rng)
        self.probe = optics.make_probe(recipe.size, recipe.probe_width, recipe.curvature)
        self.corners = optics.raster(recipe.positions, recipe.step)
        self.largest = max(float(part.max()) for part in self._parts(self.corners))

    def _parts(self, corners: Indices) -> list[optics.Doubles]:
        starts = range(0, len(corners), AT_ONCE)
        return [optics.patterns(self.object, self.probe, corners[at : at + AT_ONCE]) for at in starts]

    def x(self, index: Indices) -> Floats:
        """Scaled patterns [n, 1, size, size] at these positions, float32 in 0..1."""
        size = len(self.probe)
        found = np.empty((len(index), 1, size, size), dtype=np.float32)
        for start, part in enumerate(self._parts(self.corners[index])):
            found[start * AT_ONCE : start * AT_ONCE + len(part), 0] = part / self.largest
        return found

    def y(self, index: Indices) -> Floats:
        """Amplitude and phase [n, 2, size, size] of the object at these positions, float32."""
        patches = optics.cut(self.object, self.corners[index], len(self.probe))
        return np.stack([np.abs(patches), np.angle(patches)], 1).astype(np.float32)


@lru_cache(maxsize=4)
def scene(recipe: Recipe) -> Scene:
    """The scene of a recipe; the last few are kept, since rows are asked for one task after the other."""
    return Scene(recipe)


class Patterns:
    """Positions `index [n]` of the raster of one object, as rows of a task."""

    __slots__ = ("index", "recipe")

    def __init__(self, recipe: Recipe, index: Indices) -> None:
        self.recipe, self.index = recipe, index

    def __len__(self) -> int:
        return len(self.index)

    def part(self, chosen: slice | Indices) -> Patterns:
        """Some of the rows; nothing is made yet."""
        return Patterns(self.recipe, self.index[chosen])

    def x(self) -> Floats:
        """Patterns [n, 1, size, size]: float32, 1 is the largest value of all patterns of the object."""
        return scene(self.recipe).x(self.index)

    @property
    def y(self) -> Floats:
        """Amplitude and phase inside the patches [n, 2, size, size]: float32, the phase in radians."""
        return scene(self.recipe).y(self.index)
