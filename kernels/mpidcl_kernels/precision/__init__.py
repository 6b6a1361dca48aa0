"""How tasks are related: the precision matrix Theta of task models, from their means.

Means W `[d, K]` hold one task model per column, C = W'W/d + ridge I. Four forms of the relation, each the
minimum of an objective that a test differentiates:

| form | Theta |
|---|---|
| `logdet` | C^-1: minimum of tr(C Theta) - log det Theta |
| `trace-one` | (Omega + eps I)^-1, Omega = (W'W)^(1/2) / tr((W'W)^(1/2)) |
| `sparse` | the same as logdet with + lam_1 |Theta|_{1,off}: graphical lasso |
| `laplacian` | minimum over graph Laplacians of tr(C L) - log gdet L + lam_1 times the sum of weights |

Theta_kl < 0: tasks attract; 0: no direct relation. The outer problem of DAMTL as reconstructed (after Hong
and Garcia, arXiv 2410.03403); trace-one is Zhang and Yeung's multi-task relationship learning.
"""

from __future__ import annotations

from typing import overload

import numpy as np
import numpy.typing as npt

from mpidcl_kernels.base.arrays import unwrap
from mpidcl_kernels.base.errors import bad
from mpidcl_kernels.base.types import Array, ArrayT, View
from mpidcl_kernels.precision import checks as check
from mpidcl_kernels.precision import solve
from mpidcl_kernels.precision.descent import Solution
from mpidcl_kernels.precision.forms import NoInverse, singular
from mpidcl_kernels.precision.laplacian import laplacian_objective, laplacian_precision
from mpidcl_kernels.precision.rank import covariance_update, inverse_update, mean_change
from mpidcl_kernels.precision.solve import FORMS, NotConverged
from mpidcl_kernels.precision.sparse import graphical_lasso, sparse_objective
from mpidcl_kernels.precision.updates import clip_spectrum, damped_update, gradient_update

__all__ = [
    "FORMS",
    "NoInverse",
    "NotConverged",
    "Solution",
    "clip_spectrum",
    "covariance_update",
    "damped_update",
    "gradient_update",
    "graphical_lasso",
    "inverse_update",
    "laplacian_objective",
    "laplacian_precision",
    "mean_change",
    "relation_covariance",
    "relation_precision",
    "sparse_objective",
    "warm",
]

Matrix = npt.NDArray[np.float64]


@overload
def relation_covariance(means: View, ridge: float, out: View | None = None) -> Matrix: ...
@overload
def relation_covariance(means: ArrayT, ridge: float, out: ArrayT | None = None) -> ArrayT: ...
def relation_covariance(means: Array, ridge: float, out: Array | None = None) -> Array:
    """C = W'W/d + ridge I `[K, K]` float64 of means W `[d, K]`. Raises as `relation_precision`."""
    (means_, out_), home = unwrap(means=means, out=out)
    _check(means_, ridge, out_)
    if home.device is not None:
        from mpidcl_kernels.precision import cuda

        with home.stream():
            return check.result(home, out, cuda.covariance(home.device, means_, ridge, out_))
    found = solve.covariance(_float64(means_), ridge, check.room(out_, _shape(means_)))
    return check.result(home, out, check.given(found, out_))


@overload
def relation_precision(
    means: View,
    form: str = "logdet",
    ridge: float = 0.01,
    *,
    lam_1: float = 0.0,
    eps: float | None = None,
    rescale: bool = False,
    tolerance: float = 1e-6,
    iterations: int = 1000,
    start: View | None = None,
    out: View | None = None,
) -> Matrix: ...
@overload
def relation_precision(
    means: ArrayT,
    form: str = "logdet",
    ridge: float = 0.01,
    *,
    lam_1: float = 0.0,
    eps: float | None = None,
    rescale: bool = False,
    tolerance: float = 1e-6,
    iterations: int = 1000,
    start: ArrayT | None = None,
    out: ArrayT | None = None,
) -> ArrayT: ...
def relation_precision(
    means: Array,
    form: str = "logdet",
    ridge: float = 0.01,
    *,
    lam_1: float = 0.0,
    eps: float | None = None,
    rescale: bool = False,
    tolerance: float = 1e-6,
    iterations: int = 1000,
    start: Array | None = None,
    out: Array | None = None,
) -> Array:
    """Theta `[K, K]` float64, symmetric, of task means W `[d, K]`.

    `form`: one of `FORMS`. `ridge` is that of C, positive where K > d. `lam_1` is the L1 weight of `sparse`
    and `laplacian`, `eps` that of `trace-one` (None: `ridge`). `rescale` multiplies Theta such that
    tr(Theta C) = K, which logdet has by itself: **forms can be compared, and the scale rule of lam_G holds,
    only on that scale.** `tolerance` and `iterations` end the two iterative forms, `start [K, K]` is a Theta
    near the result of `sparse` (see `graphical_lasso`, `laplacian_precision`). The Laplacian is singular by
    design: equal models cost nothing; K = 1 gives [[0]], which is not rescaled. Without tasks: `[0, 0]`.

    On CUDA W'W is summed on the device; the K x K problem is solved on the host by LAPACK (2 MiB at
    K = 512). LAPACK's threads are those of the process, not of `set_threads`.
    Raises ValueError, also for means that are not finite and for a C without an inverse; TypeError;
    NotConverged.

    >>> relation_precision(np.array([[1.0, 1.0], [1.0, 1.0]]), "logdet", 1.0).round(4).tolist()
    [[0.6667, -0.3333], [-0.3333, 0.6667]]
    """
    (means_, start_, out_), home = unwrap(means=means, start=start, out=out)
    _check(means_, ridge, out_)
    options = _options(form, ridge, lam_1, eps, rescale, tolerance, iterations)
    if options.form == "logdet" and not ridge and means_.shape[1] > len(means_):
        raise singular(ridge)
    if start_ is not None:
        check.square(start_, "start")
        check.shaped(start_, "start", _shape(means_))
    if home.device is not None:
        from mpidcl_kernels.precision import cuda

        with home.stream():
            return check.result(
                home, out, cuda.relation_precision(home.device, options, means_, start_, out_)
            )
    start_ = None if start_ is None else check.plain(start_)
    found = solve.from_means(options, _float64(means_), start_, check.room(out_, _shape(means_)))
    return check.result(home, out, check.given(found, out_))


def warm() -> None:
    """Compile the loops that outer steps of runs call, or load them from the cache."""
    means = np.eye(3)
    theta = relation_precision(means[:1])
    relation_precision(means, "laplacian")
    damped_update(theta, relation_precision(means), 0.5, (0.05, 20.0), out=theta)
    inverse_update(theta, means[:, :1], out=theta)


def _options(
    form: str,
    ridge: float,
    lam_1: float,
    eps: float | None,
    rescale: bool,
    tolerance: float,
    iterations: int,
) -> solve.Options:
    name = form.replace("_", "-") if isinstance(form, str) else form
    if name not in solve.FORMS:
        raise bad("form", "one of " + ", ".join(solve.FORMS), form)
    if not tolerance > 0:
        raise bad("tolerance", "positive", tolerance)
    if iterations < 1:
        raise bad("iterations", "at least 1", iterations)
    lam_1 = check.number(lam_1, "lam_1", 0.0)
    eps = ridge if eps is None else check.number(eps, "eps", 0.0)
    return solve.Options(name, ridge, lam_1, eps, rescale, tolerance, iterations)


def _shape(means: View) -> tuple[int, int]:
    return means.shape[1], means.shape[1]


def _float64(means: View) -> Matrix:
    """Means in either order of memory, which BLAS reads without a copy."""
    flags = means.flags
    if means.dtype.char == "d" and flags.aligned and (flags.c_contiguous or flags.f_contiguous):
        ready: Matrix = means
        return ready
    return np.array(means, np.float64, order="C")


def _check(means: View, ridge: float, out: View | None) -> None:
    check.floats(means, "means", 2)
    if not len(means):
        raise bad("means", "[d, K] with at least one row", list(means.shape))
    check.number(ridge, "ridge", 0.0)
    check.output(out, _shape(means))
    check.apart(out, "means", means)
