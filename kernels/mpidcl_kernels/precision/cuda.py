"""Relation precision of CUDA arrays. Products run on the device; K x K problems are solved on the host.

A decomposition of a few hundred rows does not fill a GPU, and LAPACK says when a matrix has none; the way to
the host and back is 2 MiB each at K = 512.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from mpidcl_kernels.base.device import Arguments, Device, host
from mpidcl_kernels.base.errors import bad
from mpidcl_kernels.base.types import View
from mpidcl_kernels.precision import solve
from mpidcl_kernels.precision.checks import LOPSIDED
from mpidcl_kernels.precision.forms import is_thin, refusal
from mpidcl_kernels.precision.rank import Signs, woodbury_rows
from mpidcl_kernels.precision.updates import clipped

THREADS = 128
LARGEST = 65535  # rows: the second dimension of a grid


def given(device: Device, found: View, out: View | None) -> View:
    """`found` (on the host or the device) in `out`, or as a new device array."""
    found = device.xp.asarray(found)
    if out is None:
        return found
    out[...] = found
    return out


def on_host(device: Device, work: Callable[..., View], *arguments: object, out: View | None = None) -> View:
    """`work` on the values of the arguments; its result back on the device."""
    return given(device, work(*(host(a) for a in arguments)), out)


def covariance(device: Device, means: View, ridge: float, out: View | None) -> View:
    """C = W'W/d + ridge I on the device."""
    wide = means.astype(np.float64)
    c = wide.T @ wide / len(means)
    if not np.isfinite(host(c.diagonal())).all():
        raise refusal(host(wide), ridge)
    c = 0.5 * c + 0.5 * c.T  # what multiplied may have added up ij and ji in different orders
    return given(device, c + ridge * device.xp.eye(means.shape[1]), out)


def relation_precision(
    device: Device, options: solve.Options, means: View, start: View | None, out: View | None
) -> View:
    """Theta from W'W that the device sums, or from W itself where that is the smaller matrix."""
    tasks = means.shape[1]
    theta = np.empty((tasks, tasks))
    first = None if start is None else np.ascontiguousarray(host(start), np.float64)
    if is_thin(means):
        wide = np.ascontiguousarray(host(means), np.float64)
        return given(device, solve.from_means(options, wide, first, theta), out)
    wide = means.astype(np.float64)
    gram = np.ascontiguousarray(host(wide.T @ wide))
    return given(device, solve.from_gram(options, gram, len(means), first, theta), out)


def damped_update(
    device: Device,
    theta: View,
    target: View,
    beta: float,
    limits: tuple[float, float] | None,
    out: View | None,
) -> View:
    """(1 - beta) Theta + beta target, symmetric, on the device; clipped on the host."""
    size = _size(theta)
    found = device.xp.empty((size, size), np.float64)
    _launch(
        device,
        "blend",
        size,
        (_plain(device, theta), _plain(device, target), found, size, 1.0 - beta, float(beta)),
    )
    if limits is None:
        return given(device, found, out)
    return on_host(device, clipped, found, *limits, out=out)


def covariance_update(device: Device, matrix: View, columns: View, signs: Signs, out: View | None) -> View:
    """C + V diag(signs) V' on the device."""
    return _change(
        device, "covariance", matrix, columns, signs, out, lambda rows, _matrix, _sign: (rows, 1.0)
    )


def inverse_update(device: Device, theta: View, columns: View, signs: Signs, out: View | None) -> View:
    """Woodbury on the device; the r x r factor on the host."""

    def solved(rows: View, matrix: View, sign: float) -> tuple[View, float]:
        found = woodbury_rows(host(rows @ matrix), host(rows), sign)
        return device.xp.asarray(found), -1.0

    return _change(device, "theta", theta, columns, signs, out, solved)


def _change(
    device: Device,
    name: str,
    matrix: View,
    columns: View,
    signs: Signs,
    out: View | None,
    rows_of: Callable[[View, View, float], tuple[View, float]],
) -> View:
    size = _size(matrix)
    if matrix.size and not float(abs(matrix - matrix.T).max()) <= LOPSIDED * float(abs(matrix).max()):
        raise bad(name, "finite and symmetric", "another matrix")
    if columns.size and not bool(device.xp.isfinite(columns).all()):
        raise bad("columns", "finite", "nan or inf")
    # A copy of its own: the kernel writes to it, and `out` may be of any layout.
    found = device.xp.array(matrix, np.float64, order="C")
    columns = columns.astype(np.float64)
    for sign in (1.0, -1.0):
        chosen = np.flatnonzero(np.broadcast_to(signs, columns.shape[1]) == sign)
        if len(chosen):
            rows = device.xp.ascontiguousarray(columns[:, device.xp.asarray(chosen)].T)
            rows, turn = rows_of(rows, found, sign)
            _launch(device, "add_outer", size, (found, rows, found, size, len(chosen), turn * sign))
    return given(device, found, out)


def _plain(device: Device, array: View) -> View:
    return device.xp.ascontiguousarray(array, np.float64)


def _size(matrix: View) -> int:
    if len(matrix) > LARGEST:
        raise bad("theta", f"of at most {LARGEST} rows on a GPU", len(matrix))
    return len(matrix)


def _launch(device: Device, name: str, size: int, arguments: Arguments) -> None:
    if size:
        device.kernel("precision", name)((-(-size // THREADS), size), THREADS, arguments)
