"""What is more than rounding in the directions that gradients span, whatever their lengths.

How many directions there are is decided on unit gradients, from the matrix of their cosines: beside a long
gradient a short one is no rounding.
"""

from __future__ import annotations

import numpy as np
from scipy.linalg.lapack import dgejsv

from mpidcl.learning.combiners.base import Doubles
from mpidcl_kernels.gram import cosine_matrix

RANK = 1e-12
"""An eigenvalue below this, relative to the largest, is taken for 0: rounding of gradients in float32 moves
those of dependent gradients by about 1e-14."""


def spectrum(cosines: Doubles) -> tuple[Doubles, Doubles]:
    """Eigenvalues [k], growing, and eigenvectors [n, k] of `cosines` [n, n], less those that count as 0."""
    values, vectors = np.linalg.eigh((cosines + cosines.T) / 2)
    kept = values > RANK * max(values[-1], 0)
    return values[kept], vectors[:, kept]


def pseudo_inverse(cosines: Doubles, right: Doubles) -> Doubles:
    """C^+ right [n]: the shortest solution of C x = right, or of what is nearest to it."""
    values, vectors = spectrum(cosines)
    return np.asarray(vectors @ ((vectors.T @ right) / values))


def even_weights(gram: Doubles) -> Doubles:
    """Weights [n] of the direction whose products with all unit gradients are 1, or as near to 1 as may be.

    Zeros where there is none, as for two that oppose each other. Gradients of zeros have weight 0.
    """
    norms = np.sqrt(gram.diagonal())
    moving = np.asarray(norms > 0, np.float64)
    if not moving.any():
        return moving
    weights: Doubles = moving * pseudo_inverse(cosine_matrix(gram), moving) / np.where(norms > 0, norms, 1.0)
    return weights if weights @ gram @ weights > 1e-18 * len(norms) else np.zeros(len(norms))


def singular_values(rows: Doubles) -> tuple[Doubles, Doubles, Doubles]:
    """Left vectors [n, k], singular values [k], falling, and right vectors [k, k] of rows [n, k], k <= n.

    By Jacobi rotations (Drmac and Veselic 2008), which know small singular values to as many digits as large
    ones, however unequal the lengths of the rows are. Raises ArithmeticError where they do not end.
    """
    values, left, right, scale, _, failed = dgejsv(rows, joba=2, jobu=0, jobv=0, jobr=0, jobt=0, jobp=0)
    if failed:
        raise ArithmeticError(f"LAPACK's dgejsv should find all singular values. Found info {failed}.")
    return left, values * (scale[1] / scale[0]), right
