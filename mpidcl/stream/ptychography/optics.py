"""The forward model of ptychography: a beam (the probe) lights patches of an object, seen from far away.

A detector sees |F(probe x patch)| and no phase. Everything here is double precision and NumPy alone.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mpidcl.stream.tasks import Indices

Doubles = NDArray[np.float64]
Waves = NDArray[np.complex128]

LEAST_AMPLITUDE = 0.5
"""Of an object, whose amplitude lies between this and 1."""
MOST_PHASE = np.pi / 2
"""Of an object, whose phase lies between minus this and this."""


def smooth_field(side: int, correlation: float, rng: np.random.Generator) -> Doubles:
    """Filtered noise [side, side], periodic, shifted and scaled so that 0 and 1 are its extremes.

    White Gaussian noise goes through exp(-pi^2 correlation^2 f^2), f in cycles per pixel: values that are d
    pixels apart then correlate as exp(-d^2 / (2 correlation^2)).
    """
    down, right = np.fft.fftfreq(side), np.fft.rfftfreq(side)
    passed = np.exp(-((np.pi * correlation) ** 2) * (down[:, None] ** 2 + right**2))
    field: Doubles = np.fft.irfft2(np.fft.rfft2(rng.standard_normal((side, side))) * passed, s=(side, side))
    field -= field.min()
    field /= field.max()
    return field


def make_object(side: int, correlation: float, rng: np.random.Generator) -> Waves:
    """amplitude x exp(i phase) [side, side] of two smooth fields: in [0.5, 1], and within +- pi / 2."""
    amplitude = LEAST_AMPLITUDE + (1 - LEAST_AMPLITUDE) * smooth_field(side, correlation, rng)
    phase = MOST_PHASE * (2 * smooth_field(side, correlation, rng) - 1)
    made: Waves = amplitude * np.exp(1j * phase)
    return made


def make_probe(size: int, width: float, curvature: float) -> Waves:
    """exp(-(1 + i curvature) r^2 / (2 width^2)) [size, size], r in pixels from the middle.

    A beam that is out of focus by `curvature` wears its phase: without one, an object and its mirrored
    conjugate would give the same pattern.
    """
    away = np.arange(size) - (size - 1) / 2
    squares = away[:, None] ** 2 + away**2
    made: Waves = np.exp(-(1 + 1j * curvature) * squares / (2 * width**2))
    return made


def raster(positions: int, step: int) -> Indices:
    """Upper left corners [positions^2, 2] of patches that lie `step` pixels apart, row by row."""
    down, right = np.indices((positions, positions)).reshape(2, -1)
    return step * np.stack([down, right], 1).astype(np.int64)


def cut(image: Waves, corners: Indices, size: int) -> Waves:
    """Patches [n, size, size] of an image whose upper left corners [n, 2] are given."""
    patches = np.lib.stride_tricks.sliding_window_view(image, (size, size))
    return patches[corners[:, 0], corners[:, 1]]


def patterns(image: Waves, probe: Waves, corners: Indices) -> Doubles:
    """|F(probe x patch)| [n, size, size] of an object's patches, the frequency 0 in the middle; not scaled.

    By Parseval's equation the squares of a pattern add up to size^2 times those of |probe x patch|.
    """
    waves = np.fft.fft2(probe * cut(image, corners, len(probe)))
    found: Doubles = np.abs(np.fft.fftshift(waves, axes=(1, 2)))
    return found
