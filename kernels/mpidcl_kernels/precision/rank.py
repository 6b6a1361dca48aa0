"""The covariance of means and its inverse after a change of small rank."""

from __future__ import annotations

from collections.abc import Sequence
from typing import overload

import numpy as np
import numpy.typing as npt

from mpidcl_kernels.base.arrays import unwrap
from mpidcl_kernels.base.errors import bad, bad_type
from mpidcl_kernels.base.types import Array, ArrayT, Floats, View
from mpidcl_kernels.precision import checks as check
from mpidcl_kernels.precision import loops

Matrix = npt.NDArray[np.float64]
Sign = float | Sequence[float] | Floats
"""1 or -1 for all columns, or one of them for each."""
Signs = float | Matrix


def covariance_update_definition(covariance: Floats, columns: Floats, sign: Sign = 1) -> Floats:
    """C + V diag(sign) V', V `[K, r]`."""
    changed: Floats = covariance + columns * sign @ columns.T
    return changed


def inverse_update_definition(theta: Floats, columns: Floats, sign: Sign = 1) -> Floats:
    """(Theta^-1 + V diag(sign) V')^-1, by factoring anew."""
    return np.linalg.inv(np.linalg.inv(theta) + columns * sign @ columns.T)


@overload
def covariance_update(covariance: View, columns: View, sign: Sign = 1, out: View | None = None) -> Matrix: ...
@overload
def covariance_update(
    covariance: ArrayT, columns: ArrayT, sign: Sign = 1, out: ArrayT | None = None
) -> ArrayT: ...
def covariance_update(covariance: Array, columns: Array, sign: Sign = 1, out: Array | None = None) -> Array:
    """C + V diag(sign) V', C `[K, K]`, V `[K, r]`; `sign` is 1, -1, or one of them for each column.

    A symmetric C stays symmetric to the bit. `out` may be `covariance`. Raises ValueError, TypeError.
    """
    (covariance_, columns_, out_), home = unwrap(covariance=covariance, columns=columns, out=out)
    signs = _ranked(covariance_, "covariance", columns_, sign, out_)
    if home.device is not None:
        from mpidcl_kernels.precision import cuda

        with home.stream():
            return check.result(
                home, out, cuda.covariance_update(home.device, covariance_, columns_, signs, out_)
            )
    return check.result(home, out, _covariance_update(covariance_, columns_, signs, out_))


@overload
def inverse_update(theta: View, columns: View, sign: Sign = 1, out: View | None = None) -> Matrix: ...
@overload
def inverse_update(theta: ArrayT, columns: ArrayT, sign: Sign = 1, out: ArrayT | None = None) -> ArrayT: ...
def inverse_update(theta: Array, columns: Array, sign: Sign = 1, out: Array | None = None) -> Array:
    """Theta after `covariance_update` of its inverse C: (C + V diag(sign) V')^-1, by Woodbury's identity.

    It costs K^2 r in place of K^3. `theta [K, K]` should be symmetric and positive definite and stays so,
    symmetric to the bit; `columns` V `[K, r]`.
    `out` may be `theta`.
    Rounding adds up: invert C anew now and then. Raises ValueError, also where columns that are taken
    away would leave a matrix that is not positive definite, or too little of one to tell from rounding
    (nothing is written then); TypeError.

    >>> inverse_update(np.eye(2), np.array([[1.0], [1.0]])).round(4).tolist()
    [[0.6667, -0.3333], [-0.3333, 0.6667]]
    """
    (theta_, columns_, out_), home = unwrap(theta=theta, columns=columns, out=out)
    signs = _ranked(theta_, "theta", columns_, sign, out_)
    if home.device is not None:
        from mpidcl_kernels.precision import cuda

        with home.stream():
            return check.result(home, out, cuda.inverse_update(home.device, theta_, columns_, signs, out_))
    return check.result(home, out, _inverse_update(theta_, columns_, signs, out_))


def mean_change(means: Array, task: int, mean: Array) -> tuple[Matrix, Matrix]:
    """Columns V `[K, 2]` and signs `[2]` of the change of C = W'W/d when one task's mean is replaced.

    With delta = mean - W_k, a = W'delta/d and b = a + |delta|^2/(2d) e_k the change is e_k b' + b e_k' =
    (p p' - q q')/2 with p, q = s e_k +- b/s, any s. `means [d, K]` and `mean [d]` are on the CPU.
    """
    (means_, mean_), home = unwrap(means=means, mean=mean)
    if home.device is not None:
        raise bad_type("means", "on the CPU", "it on a GPU")
    check.floats(means_, "means", 2)
    rows, tasks = means_.shape
    check.shaped(mean_, "mean", (rows,))
    if not 0 <= task < tasks:
        raise bad("task", f"between 0 and {tasks - 1}", task)
    wide = means_.astype(np.float64)
    delta = mean_.astype(np.float64) - wide[:, task]
    b = wide.T @ delta / rows
    b[task] += delta @ delta / (2 * rows)
    scale = np.sqrt(np.linalg.norm(b)) or 1.0
    unit = np.zeros(tasks)
    unit[task] = scale
    return np.stack([unit + b / scale, unit - b / scale], 1) / np.sqrt(2), np.array([1.0, -1.0])


def _covariance_update(covariance: View, columns: View, signs: Signs, out: View | None) -> View:
    wide, into = check.plain(covariance), check.room(out, covariance.shape, covariance)
    check.symmetric(wide, "covariance")
    for sign, rows in _groups(check.plain(columns.T), signs):
        loops.add_outer(wide, rows, sign, into)
        wide = into
    return check.given(into if wide is into else wide.copy(), out)


def _inverse_update(theta: View, columns: View, signs: Signs, out: View | None) -> View:
    wide, into = check.plain(theta), check.room(out, theta.shape, theta)
    check.symmetric(wide, "theta")
    groups = _groups(check.plain(columns.T), signs)
    for number, (sign, rows) in enumerate(groups, 1):
        solved = woodbury_rows(rows @ wide, rows, sign)
        target = (
            into if number == len(groups) else np.empty_like(wide)
        )  # `out` is whole if the next is refused
        loops.add_outer(wide, solved, -sign, target)
        wide = target
    return check.given(into if groups else wide.copy(), out)


def _groups(rows: Matrix, signs: Signs) -> list[tuple[float, Matrix]]:
    """Rows to add, then rows to take away: what lies between the two is positive definite if the end is."""
    check.finite(rows, "columns")
    if not rows.size:
        return []
    if isinstance(signs, float):
        return [(signs, rows)]
    return [(sign, rows[signs == sign]) for sign in (1.0, -1.0) if (signs == sign).any()]


def woodbury_rows(solved: Matrix, rows: Matrix, sign: float) -> Matrix:
    """Y `[r, K]` with (C + sign V V')^-1 = Theta - sign Y'Y, from V'Theta (where Y is written) and V'.

    Y = L^-1 V'Theta, L L' = I + sign V'Theta V. Raises ValueError where that is not positive definite: by
    Sylvester's law the changed covariance is positive definite exactly if it is.
    """
    if not loops.woodbury(solved, rows, sign, np.empty((len(rows), len(rows)))):
        which = "of a smaller change" if sign < 0 else "beside a positive definite `theta`"
        raise bad("columns", which, "one after which nothing is positive definite")
    return solved


def _ranked(matrix: View, name: str, columns: View, sign: Sign, out: View | None) -> Signs:
    """Checks of a change of small rank. Returns the sign, or the sign of each column."""
    check.square(matrix, name)
    check.floats(columns, "columns", 2)
    check.shaped(columns, "columns", (len(matrix), columns.shape[1]))
    check.output(out, matrix.shape)
    check.apart(out, "columns", columns)
    if isinstance(sign, int | float) and abs(sign) == 1:
        return float(sign)
    signs = np.asarray(sign, np.float64)
    if signs.shape != (columns.shape[1],) or not (np.abs(signs) == 1).all():
        raise bad("sign", "1, -1, or one of them for each column", sign)
    return signs
