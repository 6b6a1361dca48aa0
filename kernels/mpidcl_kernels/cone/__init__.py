"""Weights of the nearest step that no gradient disagrees with.

For the Gram matrix G of n gradients g_i, `cone_weights` solves for each row u of preferences

    min v'G v   subject to   v >= u

d = sum_i v_i g_i is then the projection of sum_i u_i g_i on the cone of vectors with <g_i, d> >= 0 for all i
(Lopez-Paz and Ranzato 2017, arXiv 1706.08840, section 3; Quinton and Rey 2024, arXiv 2406.16232,
proposition 1).
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import overload

import numpy as np

from mpidcl_kernels.base.arrays import unwrap
from mpidcl_kernels.base.cache import compiled
from mpidcl_kernels.base.errors import bad
from mpidcl_kernels.base.types import Array, ArrayT, Doubles, Floats, View
from mpidcl_kernels.simplex import ASYMMETRY, non_negative_least_squares, on_host, refuse


def cone_weights_definition(gram: Floats, lower: Floats) -> Doubles:
    """Weights [k, n] by non-negative least squares on a square root of `gram`, for `lower` [k, n].

    With gram = A'A, v = u + w, where w >= 0 minimises ||A w + A u||. Singular matrices are as good as any.

    >>> rows = np.array([[-4.0, 1.0, 1.0], [6.0, 1.0, 1.0]])
    >>> cone_weights_definition(rows @ rows.T, np.eye(2) / 2).sum(0).round(6)  # UPGrad
    array([1.111111, 0.789474])
    """
    values, vectors = np.linalg.eigh((gram + gram.T) / 2)
    root = np.sqrt(values.clip(0))[:, None] * vectors.T
    return np.array([u + non_negative_least_squares(root, -root @ u) for u in lower]).reshape(lower.shape)


@overload
def cone_weights(gram: View, lower: View) -> Doubles: ...
@overload
def cone_weights(gram: ArrayT, lower: ArrayT) -> ArrayT: ...
def cone_weights(gram: Array, lower: Array) -> Array:
    """Weights [k, n] float64 of n gradients from their Gram matrix [n, n], for `lower` [k, n], not negative.

    gram: as for `elastic_weights`; exact, for any rank of it. Row k of the result is the v of the least
    v'G v with v >= lower[k]. Where it is not unique (the step always is), the same arguments give the same.
    No BLAS is called. There is no CUDA form: arrays on a GPU are copied to the host and back.
    Raises ValueError for wrong shapes and values, TypeError for other dtypes, RuntimeError if the result is
    not optimal to 1e-12 (none is known).

    >>> cone_weights(np.array([[18.0, -22.0], [-22.0, 38.0]]), np.array([[0.5, 0.5]])).round(6)
    array([[0.611111, 0.5     ]])
    """
    arrays, home = unwrap(gram=gram, lower=lower)
    if arrays[0].ndim != 2 or arrays[0].shape[0] != arrays[0].shape[1]:
        raise bad("gram", "[n, n]", list(arrays[0].shape))
    n = len(arrays[0])
    if arrays[1].ndim != 2 or arrays[1].shape[1] != n:
        raise bad("lower", f"[k, {n}], of rows like those of `gram`", list(arrays[1].shape))
    with home.stream():
        matrix, bounds = on_host(arrays[0], "gram"), on_host(arrays[1], "lower")
        if not ((bounds >= 0) & (bounds < np.inf)).all():
            raise bad("lower", "finite and not negative", bounds[~((bounds >= 0) & (bounds < np.inf))][0])
        weights = np.empty(bounds.shape)
        status = _compiled()(matrix, bounds, ASYMMETRY[arrays[0].dtype], weights) if bounds.size else 0
        if status:
            refuse(status, matrix, np.ones(n), np.zeros(n))
        return home.wrap(weights if home.device is None else home.device.xp.asarray(weights))


def warm() -> None:
    """Compile, or load from the cache, what is called above: one form, for all arguments."""
    cone_weights(np.eye(2), np.eye(2))


@functools.cache
def _compiled() -> Callable[..., int]:
    from mpidcl_kernels.cone import loops

    return compiled(loops.cone)
