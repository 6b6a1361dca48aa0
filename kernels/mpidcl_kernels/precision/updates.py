"""Outer steps of the relation precision: damped or down the slope, and clipped."""

from __future__ import annotations

from typing import overload

import numpy as np
import numpy.typing as npt

from mpidcl_kernels.base.arrays import unwrap
from mpidcl_kernels.base.errors import bad
from mpidcl_kernels.base.types import Array, ArrayT, View
from mpidcl_kernels.precision import checks as check
from mpidcl_kernels.precision import loops
from mpidcl_kernels.precision.forms import inverse, is_positive_definite, spectrum

Matrix = npt.NDArray[np.float64]
Limits = tuple[float, float]


# --- definitions ------------------------------------------------------------------------------------


def clip_spectrum_definition(matrix: Matrix, least: float, most: float) -> Matrix:
    """Symmetric part of `matrix [K, K]` with its eigenvalues clipped into [least, most].

    >>> clip_spectrum_definition(np.diag([0.01, 1.0, 50.0]), 0.05, 20.0).round(9).tolist()
    [[0.05, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 20.0]]
    """
    values, directions = np.linalg.eigh((matrix + matrix.T) / 2)
    clipped: Matrix = directions * values.clip(least, most) @ directions.T
    return clipped


def damped_update_definition(theta: Matrix, target: Matrix, beta: float) -> Matrix:
    """(1 - beta) Theta + beta target, made symmetric."""
    mixed = (1 - beta) * theta + beta * target
    return (mixed + mixed.T) / 2


def gradient_update_definition(theta: Matrix, covariance: Matrix, beta: float) -> Matrix:
    """Theta - beta (C - Theta^-1): a step down the slope of tr(C Theta) - log det Theta."""
    mixed = theta - beta * (covariance - np.linalg.inv(theta))
    made_symmetric: Matrix = (mixed + mixed.T) / 2
    return made_symmetric


# --- public -----------------------------------------------------------------------------------------


@overload
def clip_spectrum(matrix: View, least: float, most: float, out: View | None = None) -> Matrix: ...
@overload
def clip_spectrum(matrix: ArrayT, least: float, most: float, out: ArrayT | None = None) -> ArrayT: ...
def clip_spectrum(matrix: Array, least: float, most: float, out: Array | None = None) -> Array:
    """Symmetric part of `matrix [K, K]` with its eigenvalues clipped into [least, most].

    An outer step needs it: all bounds ask that Theta^-1 stays bounded. `out` may be
    `matrix`. Nothing is decomposed where two Cholesky factors show that nothing has to be clipped.
    Eigenvalues are solved on the host also for CUDA arrays. Raises ValueError, TypeError.
    """
    (matrix_, out_), home = unwrap(matrix=matrix, out=out)
    _limits((least, most))
    check.square(matrix_, "matrix")
    check.output(out_, matrix_.shape)
    if home.device is not None:
        from mpidcl_kernels.precision import cuda

        with home.stream():
            return check.result(home, out, cuda.on_host(home.device, clipped, matrix_, least, most, out=out_))
    return check.result(home, out, clipped(matrix_, least, most, out=out_))


@overload
def damped_update(
    theta: View, target: View, beta: float, limits: Limits | None = None, out: View | None = None
) -> Matrix: ...
@overload
def damped_update(
    theta: ArrayT, target: ArrayT, beta: float, limits: Limits | None = None, out: ArrayT | None = None
) -> ArrayT: ...
def damped_update(
    theta: Array, target: Array, beta: float, limits: Limits | None = None, out: Array | None = None
) -> Array:
    """(1 - beta) Theta + beta target `[K, K]`, symmetric, eigenvalues clipped into `limits` where given.

    The default outer step, with target = `relation_precision(...)`; beta in [0, 1]. `out`
    may be `theta`. Raises ValueError, TypeError.
    """
    (theta_, target_, out_), home = unwrap(theta=theta, target=target, out=out)
    _two(theta_, target_, "target", out_, limits)
    check.number(beta, "beta", 0.0, 1.0)
    if home.device is not None:
        from mpidcl_kernels.precision import cuda

        with home.stream():
            return check.result(
                home, out, cuda.damped_update(home.device, theta_, target_, beta, limits, out_)
            )
    return check.result(home, out, _damped_update(theta_, target_, beta, limits, out=out_))


@overload
def gradient_update(
    theta: View, covariance: View, beta: float, limits: Limits | None = None, out: View | None = None
) -> Matrix: ...
@overload
def gradient_update(
    theta: ArrayT, covariance: ArrayT, beta: float, limits: Limits | None = None, out: ArrayT | None = None
) -> ArrayT: ...
def gradient_update(
    theta: Array, covariance: Array, beta: float, limits: Limits | None = None, out: Array | None = None
) -> Array:
    """Theta - beta (C - Theta^-1) `[K, K]`, symmetric, eigenvalues clipped into `limits` where given.

    It has the fixed point of the damped step. `theta` should be positive definite; `out` may be `theta`.
    Solved on the host also for CUDA arrays. Raises ValueError, TypeError.
    """
    (theta_, covariance_, out_), home = unwrap(theta=theta, covariance=covariance, out=out)
    _two(theta_, covariance_, "covariance", out_, limits)
    check.number(beta, "beta", 0.0)
    if home.device is not None:
        from mpidcl_kernels.precision import cuda

        with home.stream():
            arguments = (theta_, covariance_, beta, limits)
            return check.result(home, out, cuda.on_host(home.device, _gradient_update, *arguments, out=out_))
    return check.result(home, out, _gradient_update(theta_, covariance_, beta, limits, out=out_))


# --- on the host ------------------------------------------------------------------------------------


def clipped(matrix: View, least: float, most: float, out: View | None = None, name: str = "matrix") -> View:
    """`clip_spectrum` of a NumPy matrix; `name` is what its user gave."""
    wide, into = check.plain(matrix), check.room(out, matrix.shape, matrix)
    check.finite(wide, name)
    loops.blend(wide, wide, 1.0, 0.0, into)
    if not _inside(into, least, most):
        values, rows = spectrum(into)
        into[...] = (rows.T * values.clip(least, most)) @ rows
        loops.blend(into, into, 1.0, 0.0, into)
    return check.given(into, out)


def _inside(matrix: Matrix, least: float, most: float) -> bool:
    """Whether matrix - least I and most I - matrix have Cholesky factors."""
    eye = np.arange(len(matrix))
    for low, trial in ((True, matrix.copy()), (False, -matrix)):
        trial[eye, eye] += -least if low else most
        if not is_positive_definite(trial):
            return False
    return True


def _damped_update(
    theta: View, target: View, beta: float, limits: Limits | None, out: View | None = None
) -> View:
    wide, goal, into = check.plain(theta), check.plain(target), check.room(out, theta.shape, theta, target)
    loops.blend(wide, goal, 1.0 - beta, float(beta), into)
    return check.given(into if limits is None else clipped(into, *limits, out=into, name="theta"), out)


def _gradient_update(
    theta: View, covariance: View, beta: float, limits: Limits | None, out: View | None = None
) -> View:
    wide, goal, into = check.plain(theta), check.plain(covariance), check.room(out, theta.shape, theta)
    check.symmetric(wide, "theta")
    turned = inverse(wide)
    if turned is None:
        raise bad("theta", "positive definite", "a matrix without a Cholesky factor")
    turned -= goal
    loops.blend(wide, turned, 1.0, float(beta), into)
    return check.given(into if limits is None else clipped(into, *limits, out=into, name="theta"), out)


# --- checks -----------------------------------------------------------------------------------------


def _limits(limits: Limits) -> None:
    least, most = limits
    if not (np.isfinite(least) and np.isfinite(most) and least <= most):
        raise bad("limits", "two finite numbers, the smaller one first", f"{least} and {most}")


def _two(theta: View, other: View, name: str, out: View | None, limits: Limits | None) -> None:
    check.square(theta, "theta")
    check.square(other, name)
    check.shaped(other, name, theta.shape)
    check.output(out, theta.shape)
    if limits is not None:
        _limits(limits)
