"""The closed forms of the relation precision: definitions in float64, and the same through LAPACK.

The compiled path knows two cases. Where d > 2 K / 3: from W'W [K, K], by LAPACK's Cholesky factor and inverse
of a symmetric matrix, half the work of a general inverse. Fewer rows: W'W has rank d, so all is solved
with W W' [d, d] and Woodbury's identity, which costs K^2 d and stays exact for a small ridge.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from mpidcl_kernels.base.errors import bad
from mpidcl_kernels.base.types import Floats, View
from mpidcl_kernels.precision import loops

Matrix = npt.NDArray[np.float64]


# --- definitions ------------------------------------------------------------------------------------


def covariance_definition(means: Floats, ridge: float) -> Floats:
    """C = W'W/d + ridge I of means W `[d, K]`."""
    wide = means.astype(np.float64)
    found: Floats = wide.T @ wide / len(wide) + ridge * np.eye(wide.shape[1])
    return found


def logdet_definition(means: Floats, ridge: float) -> Floats:
    """C^-1, the minimum over Theta of tr(C Theta) - log det Theta.

    >>> logdet_definition(np.array([[1.0, 1.0], [1.0, 1.0]]), 1.0).round(4).tolist()
    [[0.6667, -0.3333], [-0.3333, 0.6667]]
    """
    theta: Floats = np.linalg.inv(covariance_definition(means, ridge))
    return theta


def trace_one_definition(means: Floats, eps: float) -> Floats:
    """(Omega + eps I)^-1 with Omega = (W'W)^(1/2) / tr((W'W)^(1/2)); Omega is I/K where W = 0.

    Omega minimises tr(W Omega^-1 W') over tr Omega <= 1 (Zhang and Yeung's multi-task relationship learning).
    """
    tasks = means.shape[1]
    _, scales, directions = np.linalg.svd(means.astype(np.float64), full_matrices=False)
    if not scales.sum():
        scales, directions = np.ones(tasks), np.eye(tasks)
    omega: Floats = directions.T * (scales / scales.sum()) @ directions
    theta: Floats = np.linalg.inv(omega + eps * np.eye(tasks))
    return theta


# --- compiled: LAPACK on C-contiguous arrays, whose transpose is the order that LAPACK wants ----------


def gram(means: Matrix, out: Matrix | None = None) -> Matrix:
    """W'W of means `[d, K]` in either order, both halves."""
    upper = _gram_upper(means, np.empty((means.shape[1],) * 2) if out is None else out)
    loops.mirror(upper)
    return upper


def _gram_upper(means: Matrix, out: Matrix, scale: float = 1.0) -> Matrix:
    """scale W'W in the upper half of `out [K, K]`; the other half is not written."""
    from scipy.linalg.blas import dsyrk

    columns = means.flags.f_contiguous and not means.flags.c_contiguous
    # The transpose is Fortran-contiguous, as BLAS wants it: its lower half is the upper half of `out`.
    factor, turned = (means, 1) if columns else (np.ascontiguousarray(means).T, 0)
    dsyrk(scale, factor, beta=0.0, c=out.T, trans=turned, lower=1, overwrite_c=1)
    return out


def factored(matrix: Matrix) -> Matrix | None:
    """L of L L' = a positive definite matrix given by its upper half, in its memory.

    None where a pivot is not positive, or so much smaller than its element of the matrix that it holds
    rounding alone: the matrix has no inverse in float64.
    """
    from scipy.linalg.lapack import dpotrf

    least = np.maximum(len(matrix) * loops.ROUNDING * matrix.diagonal(), loops.SMALLEST)
    factor, failed = dpotrf(matrix.T, lower=1, clean=0, overwrite_a=1)
    return None if failed or not (factor.diagonal() ** 2 > least).all() else factor


def invert_upper(matrix: Matrix) -> bool:
    """The inverse of a positive definite matrix given by its upper half, in place, both halves.

    False when it is not positive definite: then it is destroyed.
    """
    from scipy.linalg.lapack import dpotri

    if not len(matrix):
        return True
    factor = factored(matrix)
    if factor is None or dpotri(factor, lower=1, overwrite_c=1)[1]:
        return False
    loops.mirror(matrix)
    return True


def inverse(matrix: Matrix) -> Matrix | None:
    """The inverse of a symmetric positive definite matrix; None when it is not positive definite."""
    found = matrix.copy()
    return found if invert_upper(found) else None


def is_positive_definite(matrix: Matrix) -> bool:
    """Whether a symmetric matrix has a Cholesky factor. `matrix` is destroyed."""
    from scipy.linalg.lapack import dpotrf

    return not len(matrix) or not dpotrf(matrix.T, lower=1, clean=0, overwrite_a=1)[1]


FEW = 24
"""Up to here a loop of our own is faster than the calls to LAPACK, for means of at most 128 rows."""


def is_thin(means: View) -> bool:
    """Whether `[d, K]` has so few rows that W W' is the cheaper matrix: 2 d^2 K + d K^2 against K^3."""
    rows, tasks = means.shape
    return bool(3 * rows <= 2 * tasks and tasks > FEW)


def logdet(means: Matrix, ridge: float, out: Matrix) -> Matrix:
    """`logdet_definition` into `out`."""
    if is_thin(means):
        return _logdet_thin(means, ridge, out)
    if len(out) <= FEW and len(means) <= 128 and means.flags.c_contiguous:
        done = loops.logdet(means, ridge, out)
    else:
        _gram_upper(means, out, 1.0 / len(means))
        done = add_ridge(out, ridge) and invert_upper(out)
    if not done:
        raise refusal(means, ridge)
    return out


def add_ridge(c: Matrix, ridge: float) -> bool:
    """c <- c + ridge I. False where c, which holds sums of squares in its diagonal, is not finite."""
    diagonal = c.reshape(-1)[:: len(c) + 1]
    diagonal += ridge
    return math.isfinite(diagonal.sum())


def _logdet_thin(means: Matrix, ridge: float, out: Matrix) -> Matrix:
    """(ridge I + W'W/d)^-1 = (I - Y'Y) / ridge with Y = L^-1 W, L L' = ridge d I + W W' (Woodbury)."""
    from scipy.linalg.blas import dtrsm

    rows = len(means)
    inner = _gram_upper(means.T, np.empty((rows, rows)))
    factor = factored(inner) if add_ridge(inner, ridge * rows) and ridge > loops.SMALLEST else None
    if factor is None:
        raise refusal(means, ridge)
    # Y' = W' L'^-1: as columns of W' [K, d], which is `means` read in Fortran's order.
    solved = dtrsm(1.0, factor, np.asfortranarray(means.T), side=1, lower=1, trans_a=1)
    _gram_upper(solved.T, out)
    loops.shrink_from_unit(out, ridge)
    return out


def trace_one(means: Matrix, eps: float, out: Matrix) -> Matrix:
    """`trace_one_definition` into `out`, from eigenvalues of the smaller of W'W and W W'.

    Singular values below 1e-7 of the largest are not told from zero: Theta may err by 1e-7 / eps of itself.
    Nor are means below 1e-154, whose squares vanish.
    """
    if is_thin(means):
        return _trace_one_thin(means, eps, out)
    few = len(out) <= FEW  # then NumPy's product has the shorter way to BLAS
    return trace_one_from_gram(means.T @ means if few else _gram_upper(means, np.empty_like(out)), eps, out)


def trace_one_from_gram(gram_upper: Matrix, eps: float, out: Matrix) -> Matrix:
    """`trace_one_definition` from the upper half of W'W `[K, K]`, which is destroyed."""
    shares, directions = spectrum(gram_upper)
    _, least = loops.root_shares(shares, directions, eps)
    if least + eps <= loops.SMALLEST:
        raise singular(eps)
    return np.matmul(directions.T, directions, out=out)  # with the own transpose: symmetric to the bit


def _trace_one_thin(means: Matrix, eps: float, out: Matrix) -> Matrix:
    """(eps I + V S V')^-1 = (I - V S / (S + eps) V') / eps, V = W'U / scales, U and scales from W W'."""
    shares, directions = spectrum(_gram_upper(means.T, np.empty((len(means),) * 2)))
    total, _ = loops.root_shares(shares, directions, eps)
    if eps <= loops.SMALLEST:
        raise singular(eps)
    if not total:
        out[:] = np.eye(len(out)) / (1.0 / len(out) + eps)
        return out
    kept = shares > 0
    half = (directions[kept] / (np.sqrt(shares[kept]) * total)[:, None]) @ means
    _gram_upper(half, out)
    loops.shrink_from_unit(out, eps)
    return out


def spectrum(upper: Matrix) -> tuple[Matrix, Matrix]:
    """Eigenvalues, rising, and eigenvectors as rows, of a matrix given by its upper half; it is destroyed."""
    from scipy.linalg.lapack import dsyevd

    if not np.isfinite(upper.diagonal()).all():
        raise refusal(upper, 1.0)
    values, columns, failed = dsyevd(upper.T, lower=1, overwrite_a=1)
    if failed:
        raise ArithmeticError(f"LAPACK's dsyevd should find all eigenvalues. Found info {failed}.")
    return values, columns.T


def refusal(means: Matrix, ridge: float) -> ValueError:
    """The error for means that are not finite, or else for a covariance without an inverse."""
    with np.errstate(over="ignore", invalid="ignore"):
        if not math.isfinite(np.vdot(means, means)):
            return bad("means", "finite, with finite squares", "nan, inf or too large a number")
    return singular(ridge)


class NoInverse(ArithmeticError, ValueError):
    """A covariance has no inverse in float64: the ridge is too small beside the means."""


def singular(ridge: float) -> NoInverse:
    """The error for a covariance without an inverse."""
    should = "larger, because C has no inverse in float64 (the rank of W'W is at most d)"
    return NoInverse(*bad("ridge", should, ridge).args)
