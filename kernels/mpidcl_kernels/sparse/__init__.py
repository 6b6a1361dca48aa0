"""Few values of a long vector: the positions of the k largest scores, and moving the values there.

`top_k_change` with `scatter_set` is the sender's side of sparsification with memory (CHOCO, Koloskova et
al., ICML 2019, algorithm 1): what changed most since it was last sent, without a temporary vector.
"""

from __future__ import annotations

from typing import overload

import numpy as np
import numpy.typing as npt

from mpidcl_kernels.base import checks
from mpidcl_kernels.base.arrays import Home, unwrap
from mpidcl_kernels.base.errors import bad, bad_type
from mpidcl_kernels.base.threads import for_pieces
from mpidcl_kernels.base.types import Array, ArrayT, Floats, FloatT, Index, Integers, IntT, View
from mpidcl_kernels.sparse import loops

# --- definitions --------------------------------------------------------------------------------------


def top_k_definition(scores: Floats, k: int) -> Integers:
    """Positions [k] of the k largest of scores [m], ascending; among equal ones the first win.

    NaN counts as infinity, so that nobody misses it.

    >>> top_k_definition(np.array([1.0, 3.0, 2.0, 3.0, 3.0]), 2).tolist()
    [1, 3]
    """
    ranked = np.where(np.isnan(scores), np.inf, scores)
    return np.sort(np.argsort(-ranked, kind="stable")[:k])


def top_k_change_definition(model: Floats, sent: Floats, k: int) -> Integers:
    """Positions [k] of the k largest |model - sent|, both [m]; the difference in their own dtype."""
    return top_k_definition(np.abs(model - sent), k)


def scatter_add_definition(target: Floats, positions: Integers, values: Floats, scale: float) -> Floats:
    """target [p] + scale * values [k] at positions [k]; a position that comes twice is added to twice."""
    result = target.astype(np.float64)
    np.add.at(result, positions, scale * values.astype(np.float64))
    return result


# --- public functions ---------------------------------------------------------------------------------


@overload
def top_k(scores: View, k: int, out: npt.NDArray[IntT]) -> npt.NDArray[IntT]: ...
@overload
def top_k(scores: View, k: int, out: None = None) -> Index: ...
@overload
def top_k(scores: ArrayT, k: int, out: ArrayT | None = None) -> ArrayT: ...
def top_k(scores: Array, k: int, out: Array | None = None) -> Array:
    """Positions [k] of the k largest of scores [m] (float32 or float64), ascending, as the definition.

    Positions are int64, or the integer dtype of `out`. The result does not depend on threads. Scores that
    are not contiguous are copied first.

    Raises TypeError for other dtypes, ValueError for what is no vector and for a k outside 1..m (an empty
    vector has k = 0).

    >>> top_k(np.array([0.5, np.nan, -7.0, 2.0]), 2).tolist()
    [1, 3]
    """
    (flat, filled), home = unwrap(scores=scores, out=out)
    checks.vector("scores", flat, np.float32, np.float64)
    return _top_k(flat, None, k, filled, home)


@overload
def top_k_change(model: View, sent: View, k: int, out: npt.NDArray[IntT]) -> npt.NDArray[IntT]: ...
@overload
def top_k_change(model: View, sent: View, k: int, out: None = None) -> Index: ...
@overload
def top_k_change(model: ArrayT, sent: ArrayT, k: int, out: ArrayT | None = None) -> ArrayT: ...
def top_k_change(model: Array, sent: Array, k: int, out: Array | None = None) -> Array:
    """Positions [k] of the k largest |model - sent|, both [m] of one dtype. Otherwise as `top_k`."""
    (flat, other, filled), home = unwrap(model=model, sent=sent, out=out)
    checks.vector("model", flat, np.float32, np.float64)
    _check_like("sent", other, flat, flat.size)
    return _top_k(flat, other, k, filled, home)


@overload
def gather_values(
    vector: npt.NDArray[FloatT], positions: View, out: npt.NDArray[FloatT] | None = None
) -> npt.NDArray[FloatT]: ...
@overload
def gather_values(vector: ArrayT, positions: ArrayT, out: ArrayT | None = None) -> ArrayT: ...
def gather_values(vector: Array, positions: Array, out: Array | None = None) -> Array:
    """`vector[positions]` [k] for positions [k] of any integer dtype.

    Raises ValueError for a position outside the vector (negative ones do not count from the end), and for an
    `out` in the memory of an argument.
    """
    (flat, chosen, filled), home = unwrap(vector=vector, positions=positions, out=out)
    checks.vector("vector", flat, np.float32, np.float64)
    with home.stream():
        _check_positions(chosen, flat.size)
        if filled is None:
            filled = home.xp.empty(chosen.size, flat.dtype)
        _check_like("out", filled, flat, chosen.size)
        checks.apart(home.xp, "out", filled, vector=flat, positions=chosen)
        if home.device is not None:
            filled[...] = flat[chosen.astype(np.int64)]
            return home.wrap(filled)
    checks.writable("out", filled)

    def work(first: int, last: int) -> None:
        part = slice(first * loops.PIECE, last * loops.PIECE)
        loops.gather(flat, chosen[part], filled[part])

    for_pieces(work, -(-chosen.size // loops.PIECE))
    return home.wrap(filled)


def scatter_add(target: Array, positions: Array, values: Array, scale: float = 1.0) -> None:
    """target[positions] += scale * values, in place; target [p] and values [k] of one float dtype.

    A position that comes twice is added to twice, in the order of `positions`. On a GPU positions that do
    not ascend are sorted first (stable), so the result is the same on every run.

    Raises ValueError for a position outside the target and for a target in the memory of another argument,
    TypeError for values of another dtype.
    """
    _scatter(target, positions, values, float(scale), False)


def scatter_set(target: Array, positions: Array, values: Array) -> None:
    """target[positions] = values, in place; of a position that comes twice the last value stays.

    Otherwise as `scatter_add`.
    """
    _scatter(target, positions, values, 1.0, True)


def _top_k(a: View, b: View | None, k: int, out: View | None, home: Home) -> Array:
    k = checks.whole("k", k)
    if not min(1, a.size) <= k <= a.size:
        raise bad("k", f"between {min(1, a.size)} and {a.size}", k)
    with home.stream():
        out = home.xp.empty(k, np.int64) if out is None else out
        _check_integers("out", out)
        if out.shape != (k,) or a.size > np.iinfo(out.dtype).max + 1:
            raise bad("out", f"[{k}], able to number {a.size} positions", f"{out.dtype} {list(out.shape)}")
        checks.apart(home.xp, "out", out, **({"scores": a} if b is None else {"model": a, "sent": b}))
        if home.device is not None:
            from mpidcl_kernels.sparse import cuda

            out[...] = cuda.top_k(home.device, a, b, k)
            return home.wrap(out)
    checks.writable("out", out)
    if k == a.size:
        out[:] = np.arange(k)
    elif k:
        from mpidcl_kernels.sparse.cpu import select

        a = np.require(a, requirements=["C", "A"])
        select(a, a if b is None else np.require(b, requirements=["C", "A"]), b is not None, out)
    return home.wrap(out)


def _scatter(target: Array, positions: Array, values: Array, scale: float, replace: bool) -> None:
    (flat, chosen, given), home = unwrap(target=target, positions=positions, values=values)
    checks.vector("target", flat, np.float32, np.float64)
    _check_like("values", given, flat, chosen.size)
    with home.stream():
        checks.apart(home.xp, "target", flat, positions=chosen, values=given)
        _check_positions(chosen, flat.size)
        if home.device is not None:
            from mpidcl_kernels.sparse import cuda

            return cuda.scatter(home.device, flat, chosen, given, scale, replace)
    checks.writable("target", flat)
    if replace:
        return loops.put(flat, chosen, given)
    return loops.add(flat, chosen, given, flat.dtype.type(scale))


# --- checks: the compiled loops do not check bounds ---------------------------------------------------


def _check_like(name: str, array: View, model: View, size: int) -> None:
    if array.dtype != model.dtype:
        raise bad_type(name, str(model.dtype), array.dtype)
    if array.shape != (size,):
        raise bad(name, f"[{size}]", list(array.shape))


def _check_integers(name: str, array: View) -> None:
    if array.dtype.kind not in "iu" or not array.dtype.isnative:
        raise bad_type(name, "of an integer dtype", array.dtype)


def _check_positions(positions: View, size: int) -> None:
    _check_integers("positions", positions)
    if positions.ndim != 1:
        raise bad("positions", "a vector", f"shape {list(positions.shape)}")
    if not positions.size:
        return
    # Read without a sign negative numbers are the largest: one pass sees both ends.
    if int(positions.view(f"u{positions.itemsize}").max()) >= size:
        lowest, highest = int(positions.min()), int(positions.max())
        should = f"in 0..{size - 1}" if size else "empty for an empty vector"
        raise bad("positions", should, lowest if lowest < 0 else highest)


def warm() -> None:
    """Compile what a run calls, or load it from the cache."""
    from mpidcl_kernels.sparse import cpu

    vector = np.arange(4, dtype=np.float32)
    for dtype in (np.uint16, np.uint32):
        cpu.warm(dtype)
        positions = top_k_change(vector, np.zeros_like(vector), 2, out=np.empty(2, dtype))
        scatter_set(vector, positions, gather_values(vector, positions))
