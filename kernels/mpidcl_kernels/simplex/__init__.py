"""How much each gradient counts: the weights of the shortest vector that their rows can form.

`elastic_weights` solves, for the Gram matrix G of n gradients g_i and elastic factors sigma > 0,

    min 1/2 l'G l   subject to   sigma'l = 1,  l >= floor

Without a floor this is the dual of min over (dir, a) of a + 1/2 ||dir||^2 with <g_i, dir> <= sigma_i a: the
step dir = -sum_i l_i g_i decreases every loss, that of i in proportion to sigma_i (elastic multi-gradient
descent, arXiv 2401.01054). sigma = 1 is MGDA (Desideri 2012): `min_norm_weights`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import overload

import numpy as np

from mpidcl_kernels.base.arrays import unwrap
from mpidcl_kernels.base.cache import compiled
from mpidcl_kernels.base.errors import bad, bad_type
from mpidcl_kernels.base.types import Array, ArrayT, CudaArray, Doubles, Floats, View

ASYMMETRY = {np.dtype(np.float32): 1e-5, np.dtype(np.float64): 1e-9}
"""How far G_ij and G_ji may differ, relative to the largest element: what rounding may do to a long sum."""


def elastic_weights_definition(gram: Floats, sigma: Floats, floor: Floats, safe: bool = True) -> Doubles:
    """Weights [n] by non-negative least squares on a square root of `gram`, all in float64.

    With gram = A'A and c = 1 - sigma'floor, the weights are floor + c nu, where nu minimises ||B nu|| subject
    to sigma'nu = 1, nu >= 0 and B = A + (A floor) sigma'/c. Its direction is that of the minimiser of
    ||B nu||^2 + (sigma'nu - 1)^2 over nu >= 0. Singular matrices are as good as any.

    Two gradients that partly disagree, (-4, 1, 1) and (6, 1, 1): the step is (0, 2, 2).

    >>> rows = np.array([[-4.0, 1.0, 1.0], [6.0, 1.0, 1.0]])
    >>> weights = elastic_weights_definition(rows @ rows.T, np.array([0.5, 0.5]), np.zeros(2))
    >>> weights.round(6), (weights @ rows).round(6)
    (array([1.2, 0.8]), array([0., 2., 2.]))
    """
    values, vectors = np.linalg.eigh((gram + gram.T) / 2)
    root = np.sqrt(values.clip(0))[:, None] * vectors.T
    slack = 1 - sigma @ floor
    if slack <= 4 * len(gram) * np.finfo(float).eps:
        weights = floor
    else:
        shifted = root + np.outer(root @ floor, sigma) / slack
        size = np.sqrt((shifted**2).mean()) or 1.0
        right = np.append(np.zeros(len(gram)), 1.0)
        nu = non_negative_least_squares(np.vstack([shifted / size, sigma]), right)
        weights = floor + slack * nu / (sigma @ nu) if shifted.any() else floor + slack / sigma.sum()
    sizes = np.sqrt(gram.diagonal().clip(0))
    # Weights are known to the rounding of the largest, slopes of a row to that times the row's length.
    if safe and floor.any() and (gram @ weights < -1e-13 * sizes * sizes.sum() * weights.max()).any():
        return elastic_weights_definition(gram, sigma, np.zeros(len(gram)))
    return np.asarray(weights, np.float64)


def non_negative_least_squares(matrix: Doubles, right: Doubles) -> Doubles:
    """argmin over x >= 0 of ||matrix x - right|| (Lawson and Hanson 1974, algorithm 23.10): x [columns]."""
    x, free = np.zeros(matrix.shape[1]), np.zeros(matrix.shape[1], dtype=bool)
    tolerance = 1e-13 * np.abs(matrix).sum(0).max() * np.abs(right).max()
    for _ in range(10 * len(x)):  # ends after about as many rounds as x has positive values
        pull = np.where(free, -np.inf, matrix.T @ (right - matrix @ x))
        if free.all() or pull.max() <= tolerance:
            break
        free[pull.argmax()] = True
        while True:
            best = np.zeros(len(x))
            best[free] = np.linalg.lstsq(matrix[:, free], right)[0]
            low = free & (best < 0)
            if not low.any():
                break
            x += (x[low] / (x[low] - best[low])).min() * (best - x)
            free &= x > 1e-15 * x.max()
            x[~free] = 0
        x = best
    return x


@overload
def elastic_weights(
    gram: View, sigma: View | None = None, floor: float | View = 0.0, safe: bool = True
) -> Doubles: ...
@overload
def elastic_weights(
    gram: ArrayT, sigma: ArrayT | None = None, floor: float | ArrayT = 0.0, safe: bool = True
) -> ArrayT: ...
def elastic_weights(
    gram: Array, sigma: Array | None = None, floor: float | Array = 0.0, safe: bool = True
) -> Array:
    """Weights [n] float64 of n gradients from their Gram matrix `gram` [n, n]; exact, for any rank of it.

    gram: float32 or float64, symmetric and positive semi-definite to rounding (which may be that of sums in
    float32: 1e-5 of the largest element). Its scale does not matter, nor do unequal lengths of gradients.
    sigma [n], positive: the decrease that each loss is promised, relative to the others; None: all 1.
    floor, a number or [n]: least weights, with sigma'floor at most 1. A floor can destroy common descent;
    `safe` drops it where some (G weights)_i would be negative by more than rounding.

    The step is d = sum_i weights_i g_i. Where the weights are not unique (d always is), the same arguments
    give the same ones. No BLAS is called: results depend neither on threads nor on the kind of CPU.

    There is no CUDA form: arrays on a GPU are copied to the host, which waits for them, solved there, and the
    weights are copied back. Raises ValueError for wrong shapes and for what breaks the conditions above,
    TypeError for other dtypes, RuntimeError if the result is not optimal to 1e-12 (none is known).

    >>> elastic_weights(np.array([[1.0, 0.0], [0.0, 4.0]]))
    array([0.8, 0.2])
    >>> elastic_weights(np.array([[1.0, -0.5], [-0.5, 0.25]]), np.array([0.5, 0.5])).round(12)  # opposed
    array([0.66666667, 1.33333333])
    """
    level = isinstance(floor, (int, float, np.number))
    arrays, home = unwrap(gram=gram, sigma=sigma, floor=None if level else floor)
    if arrays[0].ndim != 2 or arrays[0].shape[0] != arrays[0].shape[1]:
        raise bad("gram", "[n, n]", list(arrays[0].shape))
    n = len(arrays[0])
    with home.stream():
        matrix = on_host(arrays[0], "gram")
        factors = np.ones(n) if sigma is None else on_host(arrays[1], "sigma")
        floors = np.array([floor], np.float64) if level else on_host(arrays[2], "floor")
        if factors.shape != (n,):
            raise bad("sigma", f"[{n}], like `gram`", list(factors.shape))
        if not level and floors.shape != (n,):
            raise bad("floor", f"a number or [{n}], like `gram`", list(floors.shape))
        weights = np.empty(n)
        call = (matrix, factors, floors, bool(safe), ASYMMETRY[arrays[0].dtype], weights)
        status = _compiled()(*call) if n else 0
        if status:
            refuse(status, matrix, factors, np.broadcast_to(floors, n))
        return home.wrap(weights if home.device is None else home.device.xp.asarray(weights))


@overload
def min_norm_weights(gram: View) -> Doubles: ...
@overload
def min_norm_weights(gram: ArrayT) -> ArrayT: ...
def min_norm_weights(gram: Array) -> Array:
    """Weights [n] of the shortest vector in the convex hull of the gradients with Gram matrix `gram` [n, n].

    The MGDA point: `elastic_weights` with sigma = 1; weights are not negative and add up to 1.

    >>> min_norm_weights(np.array([[18.0, -22.0], [-22.0, 38.0]]))
    array([0.6, 0.4])
    """
    return elastic_weights(gram)


def warm() -> None:
    """Compile, or load from the cache, what is called above: one form, for all arguments."""
    elastic_weights(np.eye(2))


@functools.cache
def _compiled() -> Callable[..., int]:
    from mpidcl_kernels.simplex import loops

    return compiled(loops.elastic)


def on_host(array: View | CudaArray, name: str) -> Doubles:
    """A contiguous float64 array of the host: `array` itself where it is one."""
    if array.dtype not in ASYMMETRY:
        raise bad_type(name, "float32 or float64", array.dtype)
    host = array if isinstance(array, np.ndarray) else array.get()
    if host.dtype == np.float64 and host.flags.carray and type(host) is np.ndarray:
        return host
    return np.array(host, np.float64, order="C")  # of one type for the compiled form, that numba sees once


def refuse(status: int, gram: Doubles, sigma: Doubles, floor: Doubles) -> None:
    """Raise ValueError or RuntimeError that says what the status of a compiled solver means."""
    from mpidcl_kernels.simplex import loops

    if status == loops.NOT_FINITE:
        raise bad("gram", "finite", gram[~np.isfinite(gram)][0])
    if status == loops.NOT_SYMMETRIC:
        raise bad("gram", "symmetric", f"differences up to {np.abs(gram - gram.T).max():g}")
    if status == loops.BAD_SIGMA:
        raise bad("sigma", "positive and finite", sigma[~((sigma > 0) & (sigma < np.inf))][0])
    if status == loops.BAD_FLOOR:
        raise bad("floor", "finite and not negative", floor[~((floor >= 0) & (floor < np.inf))][0])
    if status == loops.NO_ROOM:
        raise bad("floor", "feasible: sigma'floor at most 1", f"a floor with sigma'floor = {sigma @ floor:g}")
    if status == loops.INDEFINITE:
        raise bad("gram", "positive semi-definite to 1e-5", f"eigenvalue {np.linalg.eigvalsh(gram)[0]:g}")
    raise RuntimeError(
        "Weights should be optimal to 1e-12. Found none that are: please report this with the Gram matrix."
    )
