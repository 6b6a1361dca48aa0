"""The forms of the relation precision on the host, from means or from their products."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mpidcl_kernels.base.errors import bad
from mpidcl_kernels.precision import forms
from mpidcl_kernels.precision.descent import Solution
from mpidcl_kernels.precision.laplacian import laplacian_precision
from mpidcl_kernels.precision.sparse import graphical_lasso

Matrix = npt.NDArray[np.float64]

FORMS = ("logdet", "trace-one", "sparse", "laplacian")


class NotConverged(ArithmeticError):
    """An iterative form did not reach its tolerance within its iterations."""


@dataclass(frozen=True, slots=True)
class Options:
    """What `relation_precision` was asked for."""

    form: str
    ridge: float
    lam_1: float
    eps: float
    rescale: bool
    tolerance: float
    iterations: int


def from_means(o: Options, means: Matrix, start: Matrix | None, out: Matrix) -> Matrix:
    """Theta `[K, K]` into `out` from W `[d, K]`, float64, in either order of memory."""
    if not out.size:
        return out
    if o.form == "logdet":
        return forms.logdet(means, o.ridge, out)
    if o.form == "trace-one" and not o.rescale:
        return forms.trace_one(means, o.eps, out)
    return from_gram(o, forms.gram(means), len(means), start, out)


def from_gram(o: Options, gram: Matrix, rows: int, start: Matrix | None, out: Matrix) -> Matrix:
    """The same from W'W `[K, K]`, which may be destroyed, and d."""
    if not out.size:
        return out
    c = np.divide(gram, rows)
    if not forms.add_ridge(c, o.ridge):
        raise forms.refusal(gram, o.ridge)
    if o.form == "logdet" or (o.form == "sparse" and not o.lam_1):
        out[...] = c
        if not forms.invert_upper(out):
            raise forms.refusal(gram, o.ridge)
        return out
    if o.form == "trace-one":
        forms.trace_one_from_gram(gram, o.eps, out)
    else:
        out[...] = _iterate(o, c, start)
    scale = float(np.vdot(out, c))  # tr(Theta C): zero for the Laplacian of one task alone
    if o.rescale and scale > 0:
        out *= len(c) / scale
    return out


def covariance(means: Matrix, ridge: float, out: Matrix) -> Matrix:
    """C = W'W/d + ridge I into `out`."""
    if not out.size:
        return out
    forms.gram(means, out)
    out /= len(means)
    if not forms.add_ridge(out, ridge):
        raise forms.refusal(means, ridge)
    return out


def _iterate(o: Options, c: Matrix, start: Matrix | None) -> Matrix:
    if not c.diagonal().all():
        raise bad("ridge", "positive where the mean of a task is zero", o.ridge)
    if o.form == "sparse":
        return _converged(graphical_lasso(c, o.lam_1, o.tolerance, o.iterations, start), o)
    return _converged(laplacian_precision(c, o.lam_1, o.tolerance, o.iterations), o)


def _converged(found: Solution, o: Options) -> Matrix:
    if not found.converged:
        raise NotConverged(
            f"`iterations` should be enough for {o.form} to reach the tolerance {o.tolerance:g}. Found"
            f" {found.residual:.3g} after {found.iterations}; a larger ridge or lam_1 converges faster."
        )
    return found.theta
