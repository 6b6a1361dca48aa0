"""Eigenvalues of a Gram matrix that are more than rounding."""

from __future__ import annotations

import numpy as np

from mpidcl.learning.combiners.base import Doubles

RANK = 1e-12
"""An eigenvalue below this, relative to the largest, is taken for 0: rounding of gradients in float32 moves
those of dependent gradients by about 1e-14."""


def spectrum(gram: Doubles) -> tuple[Doubles, Doubles]:
    """Eigenvalues [k], growing, and eigenvectors [n, k] of `gram` [n, n], without those that count as 0."""
    values, vectors = np.linalg.eigh((gram + gram.T) / 2)
    kept = values > RANK * max(values[-1], 0)
    return values[kept], vectors[:, kept]


def pseudo_inverse(gram: Doubles, right: Doubles) -> Doubles:
    """G^+ right [n]: the shortest solution of G x = right, or of what is nearest to it."""
    values, vectors = spectrum(gram)
    return np.asarray(vectors @ ((vectors.T @ right) / values))
