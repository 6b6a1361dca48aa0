"""Averages of many long vectors in one pass over memory: what neighbours do with each other's models.

The arrays need not be rows of one matrix: each lies wherever it was received. An array may have values for
some places only (`places`): from a first place on, or at a list of places; elsewhere the array with the
number `own` stands in for it. Sums run over the arrays in their order, in float64, each product and sum
rounded by itself, and are rounded once at the end: the same bits on every machine, on a CPU or a GPU, for
any number of threads; and the average of equal vectors is that vector.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import overload

import numpy as np
import numpy.typing as npt

from mpidcl_kernels.average.parts import (
    BLOCK,
    FISHER_MEAN,
    FISHER_SUMS,
    MEAN,
    Parts,
    Place,
    check_apart,
    fitting_out,
    parts_of,
    weights_of,
    with_fishers,
)
from mpidcl_kernels.base.arrays import Home, address, unwrap
from mpidcl_kernels.base.checks import whole
from mpidcl_kernels.base.device import host
from mpidcl_kernels.base.errors import bad
from mpidcl_kernels.base.threads import for_pieces
from mpidcl_kernels.base.types import Array, ArrayModule, ArrayT, Doubles, Floats, FloatT, Integers, View

PIECE = 1 << 18
"""Values that one thread takes at a time."""
STREAM_BYTES = 1 << 22
"""Results from this size on are written past the caches: they would not stay there anyway, and a write
through a cache reads the old contents first."""


# --- definitions: float64, new arrays --------------------------------------------------------------


def _where(place: Place, count: int) -> Integers | slice:
    return place if isinstance(place, np.ndarray) else slice(place or 0, (place or 0) + count)


def _spread(values: Floats, place: Place, stands_in: Doubles) -> Doubles:
    """`values` at their places, `stands_in [p]` elsewhere."""
    whole = stands_in.copy()
    whole[_where(place, len(values))] = values
    return whole


def weighted_average_definition(
    arrays: Sequence[Floats], weights: Sequence[float], places: Sequence[Place] | None = None, own: int = 0
) -> Doubles:
    """sum_j w_j a_j [p]; see `weighted_average`.

    >>> weighted_average_definition([np.zeros(4), np.full(2, 8.0)], [0.5, 0.5], [None, 1]).tolist()
    [0.0, 4.0, 4.0, 0.0]
    """
    mine: Doubles = arrays[own].astype(np.float64)
    total = np.zeros_like(mine)
    for a, w, place in zip(arrays, weights, places or [None] * len(arrays), strict=True):
        total += w * _spread(a, place, mine)
    return total


def fisher_sums_definition(
    arrays: Sequence[Floats],
    fishers: Sequence[Floats | None],
    size: int,
    places: Sequence[Place] | None = None,
    own: Doubles | None = None,
) -> tuple[Doubles, Doubles]:
    """sum_j F_j [size] and sum_j F_j a_j [size]; see `fisher_sums`. F_j is 0 where it is not given."""
    information, weighted, nothing = np.zeros(size), np.zeros(size), np.zeros(size)
    for a, f, place in zip(arrays, fishers, places or [None] * len(arrays), strict=True):
        fisher = nothing if f is None else _spread(f, place, nothing)
        information += fisher
        weighted += fisher * _spread(a, place, nothing if own is None else own)
    return information, weighted


def fisher_average_definition(
    arrays: Sequence[Floats],
    fishers: Sequence[Floats | None],
    weights: Sequence[float],
    eps: float,
    places: Sequence[Place] | None = None,
    own: int = 0,
) -> Doubles:
    """(sum_j F_j a_j + eps m) / (sum_j F_j + eps), m = the weighted average [p]; see `fisher_average`."""
    mine: Doubles = arrays[own].astype(np.float64)
    information, weighted = fisher_sums_definition(arrays, fishers, mine.size, places, mine)
    mean = weighted_average_definition(arrays, weights, places, own)
    average: Doubles = (weighted + eps * mean) / (information + eps)
    return average


def distances_definition(
    x: Floats, arrays: Sequence[Floats], places: Sequence[Place] | None = None
) -> Doubles:
    """Mean over the values of a_j of |x - a_j| [n]; see `distances`."""
    found = []
    for a, place in zip(arrays, places or [None] * len(arrays), strict=True):
        mine = x[_where(place, len(a))]
        found.append(np.abs(mine.astype(np.float64) - a).sum() / max(1, len(a)))
    return np.array(found, np.float64)


# --- public functions --------------------------------------------------------------------------------


@overload
def weighted_average(
    arrays: Sequence[npt.NDArray[FloatT]] | npt.NDArray[FloatT],
    weights: Sequence[float] | View,
    out: npt.NDArray[FloatT] | None = None,
    places: Sequence[Place] | None = None,
    own: int = 0,
) -> npt.NDArray[FloatT]: ...
@overload
def weighted_average(
    arrays: Sequence[ArrayT] | ArrayT,
    weights: Sequence[float] | Array,
    out: ArrayT | None = None,
    places: Sequence[Place] | None = None,
    own: int = 0,
) -> ArrayT: ...
def weighted_average(
    arrays: Sequence[Array] | Array,
    weights: Sequence[float] | Array,
    out: Array | None = None,
    places: Sequence[Place] | None = None,
    own: int = 0,
) -> Array:
    """sum_j w_j a_j [p] of n flat arrays [p], in their order, in one pass; `arrays` may be a matrix [n, p].

    All arrays are float32, or all float64, and on one device. `out` may be one of the arrays (then nothing
    else is written) but must not overlap them otherwise. `places[j]` says which places array j has values
    for; elsewhere `arrays[own]` stands in, so its weight grows. Arrays that are not contiguous or not
    aligned are copied first. NaN and infinity propagate. Raises TypeError and ValueError.

    >>> weighted_average([np.zeros(3), np.ones(3)], [0.25, 0.75]).tolist()
    [0.75, 0.75, 0.75]
    """
    views, outs, home = _views(arrays, {"out": out})
    with home.stream():
        parts = parts_of(views, places, own, None, home.xp)
        factors = weights_of(weights, len(views), home.xp)
        (result,) = _results(outs, parts, home.xp, ["out"])
        if home.device is None:
            _run(MEAN, parts, [result], factors)
        else:
            from mpidcl_kernels.average import cuda

            cuda.weighted_average(home.device, parts, factors, result)
        return _given(home, [out], outs, [result])[0]


@overload
def fisher_average(
    arrays: Sequence[npt.NDArray[FloatT]] | npt.NDArray[FloatT],
    fishers: Sequence[npt.NDArray[FloatT] | None] | npt.NDArray[FloatT],
    weights: Sequence[float] | View,
    eps: float,
    out: npt.NDArray[FloatT] | None = None,
    places: Sequence[Place] | None = None,
    own: int = 0,
) -> npt.NDArray[FloatT]: ...
@overload
def fisher_average(
    arrays: Sequence[ArrayT] | ArrayT,
    fishers: Sequence[ArrayT | None] | ArrayT,
    weights: Sequence[float] | Array,
    eps: float,
    out: ArrayT | None = None,
    places: Sequence[Place] | None = None,
    own: int = 0,
) -> ArrayT: ...
def fisher_average(
    arrays: Sequence[Array] | Array,
    fishers: Sequence[Array | None] | Array,
    weights: Sequence[float] | Array,
    eps: float,
    out: Array | None = None,
    places: Sequence[Place] | None = None,
    own: int = 0,
) -> Array:
    """(sum_j F_j a_j + eps m) / (sum_j F_j + eps) [p], m = `weighted_average`: each value counts by how much
    its owner's loss depends on it.

    `fishers[j]` has the places of `arrays[j]`, or is None: no information, as at places without values. Where
    nobody has information the result is the plain mean m, for any `eps` > 0. Zero times infinity is NaN.
    Arguments and errors otherwise as in `weighted_average`; `out` may also be one of the Fisher arrays.
    """
    if not eps > 0:
        raise bad("eps", "above 0", eps)
    views, outs, home = _views(arrays, {"out": out})
    with home.stream():
        parts = with_fishers(
            parts_of(views, places, own, None, home.xp), _fisher_views(fishers, views[0]), home.xp
        )
        factors = weights_of(weights, len(views), home.xp)
        (result,) = _results(outs, parts, home.xp, ["out"])
        if home.device is None:
            _run(FISHER_MEAN, parts, [result], factors, float(eps))
        else:
            from mpidcl_kernels.average import cuda

            cuda.fisher_average(home.device, parts, factors, float(eps), result)
        return _given(home, [out], outs, [result])[0]


@overload
def fisher_sums(
    arrays: Sequence[npt.NDArray[FloatT]] | npt.NDArray[FloatT],
    fishers: Sequence[npt.NDArray[FloatT] | None] | npt.NDArray[FloatT],
    size: int,
    places: Sequence[Place] | None = None,
) -> tuple[npt.NDArray[FloatT], npt.NDArray[FloatT]]: ...
@overload
def fisher_sums(
    arrays: Sequence[ArrayT] | ArrayT,
    fishers: Sequence[ArrayT | None] | ArrayT,
    size: int,
    places: Sequence[Place] | None = None,
) -> tuple[ArrayT, ArrayT]: ...
def fisher_sums(
    arrays: Sequence[Array] | Array,
    fishers: Sequence[Array | None] | Array,
    size: int,
    places: Sequence[Place] | None = None,
) -> tuple[Array, Array]:
    """sum_j F_j [size] and sum_j F_j a_j [size]: all that a quadratic penalty around the a_j needs of them.

    Places without values add nothing. Arguments and errors otherwise as in `fisher_average`.
    """
    views, _, home = _views(arrays, {})
    with home.stream():
        if whole("size", size) < 0:
            raise bad("size", "at least 0", size)
        parts = parts_of(views, places, -1, whole("size", size), home.xp)
        parts = with_fishers(parts, _fisher_views(fishers, views[0]), home.xp)
        results = _results([None, None], parts, home.xp, ["information", "weighted"])
        if home.device is None:
            _run(FISHER_SUMS, parts, results, np.zeros(len(views)))
        else:
            from mpidcl_kernels.average import cuda

            cuda.fisher_sums(home.device, parts, *results)
        information, weighted = _given(home, [None, None], [None, None], results)
        return information, weighted


def distances(x: Array, arrays: Sequence[Array] | Array, places: Sequence[Place] | None = None) -> Doubles:
    """Mean absolute difference [n] of x [p] and each array at the places it has; 0 for an empty array.

    A NumPy array of float64 in the host's memory, whatever the device. Raises as `weighted_average`.
    """
    views, _, home = _views([x, *arrays], {})
    with home.stream():
        parts = parts_of(views, None if places is None else [None, *places], 0, None, home.xp)
        if home.device is None:
            totals = _numba_distances(parts)
        else:
            from mpidcl_kernels.average import cuda

            totals = host(cuda.absolute_differences(home.device, parts))
    return totals / np.array([max(1, array.size) for array in parts.arrays[1:]], np.float64)


def warm() -> None:
    """Compile, or load from the cache, what averaging float32 models needs."""
    one = np.zeros(1, np.float32)
    weighted_average([one], [1.0])
    fisher_average([one], [one], [1.0], 1.0)
    fisher_sums([one], [one], 1)
    distances(one, [one])


# --- the CPU -----------------------------------------------------------------------------------------


def _views(
    arrays: Sequence[Array | None] | Array, outs: dict[str, Array | None], name: str = "arrays"
) -> tuple[list[View], list[View | None], Home]:
    """NumPy or CuPy views of the arrays, which the caller calls `name`, and of the outputs; their home."""
    matrix = not isinstance(arrays, list | tuple)
    named = {name: arrays} if matrix else {f"{name}[{j}]": array for j, array in enumerate(arrays)}
    if not named:
        raise bad(name, "at least one array", "none")
    for each, array in named.items():
        if array is None:
            raise bad(each, "an array", None)
    views, home = unwrap(**named, **outs)
    rows = views[: len(named)]
    if matrix and rows[0].ndim != 2:
        raise bad(name, "a list of flat arrays, or a matrix", f"shape {list(rows[0].shape)}")
    return list(rows[0]) if matrix else rows, views[len(named) :], home


def _fisher_views(fishers: Sequence[Array | None] | Array, like: View) -> Sequence[View | None]:
    if not isinstance(fishers, list | tuple):
        return _views(fishers, {"arrays": like}, "fishers")[0]
    named = {f"fishers[{j}]": fisher for j, fisher in enumerate(fishers)}
    return unwrap(**{"arrays[0]": like}, **named)[0][1:]


def _results(outs: Sequence[View | None], parts: Parts, xp: ArrayModule, names: Sequence[str]) -> list[View]:
    """What the kernel writes to: the outputs themselves, or new arrays where it cannot."""
    results = []
    for out, name in zip(outs, names, strict=True):
        if out is not None:
            fitting_out(out, parts.size, parts.arrays[0].dtype, name)
            check_apart(out, parts, name)
        if out is not None and out.flags.c_contiguous and address(out) % out.itemsize == 0:
            results.append(out)
        else:
            results.append(xp.empty(parts.size, parts.arrays[0].dtype))
    return results


def _given(
    home: Home, asked: Sequence[Array | None], outs: Sequence[View | None], results: list[View]
) -> list[Array]:
    """The caller's own outputs, filled; the new arrays in the caller's type where none was given."""
    for out, result in zip(outs, results, strict=True):
        if out is not None and out is not result:
            out[...] = result
    return [home.wrap(r) if a is None else a for a, r in zip(asked, results, strict=True)]


def _table(parts: Parts) -> npt.NDArray[np.int64]:
    fishers = parts.fishers or [None] * len(parts.arrays)
    rows = [
        (address(a), start, a.size, 0 if i is None else address(i), 0 if f is None else address(f))
        for a, start, i, f in zip(parts.arrays, parts.starts, parts.indices, fishers, strict=True)
    ]
    return np.array(rows, np.int64)


def _like(parts: Parts) -> View:
    # Not one of the arrays: a read-only one is another type to numba.
    return np.empty(0, parts.arrays[0].dtype)


def _run(method: int, parts: Parts, results: list[View], weights: Doubles, eps: float = 0.0) -> None:
    from mpidcl_kernels.average import loops

    table, like = _table(parts), _like(parts)
    inside = any(address(result) == address(a) for result in results for a in parts.arrays)
    stream = results[0].nbytes >= STREAM_BYTES and not inside
    scratch_shape = (1 if method == MEAN else 2, len(table), 0 if parts.whole else BLOCK)

    def work(first: int, last: int) -> None:
        scratch = np.empty(scratch_shape, like.dtype)
        # Made here, so that `work` itself keeps the arrays behind all addresses.
        outs = np.array([address(result) for result in results])
        ends = first * PIECE, min(last * PIECE, parts.size)
        loops.average(method, like, table, weights, eps, parts.own, scratch, outs, stream, *ends)

    for_pieces(work, -(-parts.size // PIECE))


def _numba_distances(parts: Parts) -> Doubles:
    others = Parts(parts.arrays[1:], parts.starts[1:], parts.indices[1:], -1, parts.size)
    if not others.arrays:
        return np.zeros(0)
    from mpidcl_kernels.average import loops

    table, like, pieces = _table(others), _like(parts), -(-parts.size // PIECE)
    sums = np.zeros((pieces, len(table)))

    def work(first: int, last: int) -> None:
        for piece in range(first, last):
            ends = piece * PIECE, min((piece + 1) * PIECE, parts.size)
            loops.distance(like, address(parts.arrays[0]), table, sums[piece], *ends)

    for_pieces(work, pieces)
    total: Doubles = sums.sum(axis=0)
    return total
