"""Rows by number: written to places of a store, and read from it. What a replay buffer does at every step.

A store is `[n, ...]` of any dtype, fields included: one column of a structured array is as good as a matrix.
Its rows may lie apart, and are never copied as a whole. On a GPU numbers are checked on the host.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Protocol, overload

import numpy as np
import numpy.typing as npt

from mpidcl_kernels.base.arrays import Home, unwrap, view
from mpidcl_kernels.base.device import host
from mpidcl_kernels.base.errors import bad, bad_type
from mpidcl_kernels.base.threads import for_pieces
from mpidcl_kernels.base.types import Array, ArrayT, Bytes, Index, ScalarT, View
from mpidcl_kernels.slots import REFUSED, last_of_each

Rows = View

THREADS_PAY = 1 << 22
"""Bytes of an insert from which more than one thread is used."""
THREADS_PAY_READING = 1 << 24
"""The same of a gather, which is at the memory's speed with one thread; measured."""
PIECE = 1 << 16
"""Bytes of a long row that one thread writes at a time."""


class Loops(Protocol):
    """The module `loops`, which imports numba: so it is imported by the first call."""

    DONE: int
    OVERLAP: int
    insert: Callable[[Bytes, Bytes, Index], int]
    gather: Callable[[Bytes, Index, Bytes], int]


_INT64, _BYTE = np.dtype(np.int64), np.dtype(np.uint8)


# --- definitions ------------------------------------------------------------------------------------


def insert_definition(store: Rows, rows: Rows, slots: Index) -> Rows:
    """A new store [n, ...] with `rows [m, ...]` at `slots [m]`, in order: the last row of a slot stays.

    >>> insert_definition(np.zeros(4), np.array([1.0, 2.0, 3.0]), np.array([3, REFUSED, 3])).tolist()
    [0.0, 0.0, 0.0, 3.0]
    """
    store = store.copy()
    for row, slot in zip(rows, slots, strict=True):
        if slot != REFUSED:
            store[slot] = row
    return store


def gather_definition(store: Rows, index: Index) -> Rows:
    """Rows `index [m]` of `store [n, ...]`, as a new array [m, ...]."""
    chosen = np.empty((len(index), *store.shape[1:]), store.dtype)
    for place, number in enumerate(index):
        chosen[place] = store[number]
    return chosen


# --- public functions -------------------------------------------------------------------------------


def insert_rows(store: Array, rows: Array, slots: Array) -> None:
    """Write `rows [m, ...]` to rows `slots [m]` of `store [n, ...]`, in place and in order.

    A slot of -1 refuses its row; of several rows for one slot the last stays. `store` and `rows` have one
    dtype, any without Python objects. Rows of a store may lie apart; what one row holds may not. `rows` that
    are not contiguous, or overlap the store, are copied first. `slots` are integers, for a store on a GPU
    in either memory. A store larger than any cache is written around the caches.

    Raises ValueError for slots outside -1..n-1 (nothing is written then), for shapes that do not fit, and
    for a store that cannot be written; TypeError for dtypes and devices that differ.

    >>> ring = np.zeros((3, 2))
    >>> insert_rows(ring, np.arange(8.0).reshape(4, 2), np.array([0, 1, 2, 0]))
    >>> ring.tolist()
    [[6.0, 7.0], [2.0, 3.0], [4.0, 5.0]]
    """
    if (
        type(store) is type(rows) is type(slots) is np.ndarray
    ):  # a call takes microseconds, and so would `unwrap`
        _insert(store, rows, slots)
        return
    (store, rows), home = unwrap(store=store, rows=rows)
    with home.stream():
        slots = _on_host(slots, "slots", home)
        if home.device is None:
            _insert(np.asarray(store), np.asarray(rows), slots)
            return
        from mpidcl_kernels.gather import cuda

        slots = _check(store, rows, "rows", slots, "slots")
        _check_range(slots, "slots", REFUSED, len(store))
        cuda.insert(home.device, store, rows, slots)


@overload
def gather_rows(
    store: npt.NDArray[ScalarT], index: View, out: npt.NDArray[ScalarT] | None = None
) -> npt.NDArray[ScalarT]: ...
@overload
def gather_rows(store: ArrayT, index: Array, out: ArrayT | None = None) -> ArrayT: ...
def gather_rows(store: Array, index: Array, out: Array | None = None) -> Array:
    """Rows `index [m]` of `store [n, ...]`, in that order: `[m, ...]`, in `out` where it is given.

    As for `insert_rows`, rows of `store` and `out` may lie apart, and `index` holds integers. A row may be
    asked for more than once. Raises ValueError for numbers outside 0..n-1 (nothing is written then) and for
    an `out` that does not fit; TypeError for dtypes and devices that differ.

    >>> gather_rows(np.array(["a", "b", "c"]), np.array([2, 0, 0])).tolist()
    ['c', 'a', 'a']
    """
    if type(store) is type(index) is np.ndarray and (out is None or type(out) is np.ndarray):
        return _gather(store, index, out)
    (rows, into), home = unwrap(store=store, out=out)
    with home.stream():
        index = _on_host(index, "index", home)
        if home.device is None:
            made = _gather(np.asarray(rows), index, None if into is None else np.asarray(into))
        else:
            from mpidcl_kernels.gather import cuda

            index = _check(rows, into, "out", index, "index")
            _check_range(index, "index", 0, len(rows))
            made = cuda.gather(home.device, rows, index, into)
        return home.wrap(made) if out is None else out


# --- on the CPU -------------------------------------------------------------------------------------


def _insert(store: Rows, rows: Rows, slots: Index) -> None:
    slots = _check(store, rows, "rows", slots, "slots")
    _check_writable(store, "store")
    into = _bytes(store)
    if into is None or store.size == 0 or rows.size == 0:
        _check_range(slots, "slots", REFUSED, len(store))
        kept = last_of_each(slots)
        store[slots[kept]] = rows[kept]
        return
    given = _bytes(rows)
    if given is None:
        given = np.ascontiguousarray(rows).view(np.uint8).reshape(len(rows), -1)
    if given.size >= THREADS_PAY and given.shape[1] >= 2 * PIECE:
        _check_range(slots, "slots", REFUSED, len(store))
        _insert_long(into, given, slots)
        return
    loops = _loops()
    found = loops.insert(into, given, slots)
    if found == loops.OVERLAP:
        loops.insert(into, given.copy(), slots.copy())
    elif found != loops.DONE:
        _check_range(slots, "slots", REFUSED, len(store))


def _insert_long(into: Bytes, given: Bytes, slots: Index) -> None:
    """Each thread writes its part of every row, so that each slot gets its rows in order."""
    if np.may_share_memory(into, given) or np.may_share_memory(into, slots):
        given, slots = given.copy(), slots.copy()
    loop, width = _loops().insert, given.shape[1]

    def work(first: int, last: int) -> None:
        part = slice(first * PIECE, min(last * PIECE, width))
        loop(into[:, part], given[:, part], slots)

    for_pieces(work, -(-width // PIECE))


def _gather(store: Rows, index: Index, out: Rows | None) -> Rows:
    index = _check(store, out, "out", index, "index")
    if out is None:
        out = np.empty((index.size, *store.shape[1:]), store.dtype)
    else:
        _check_writable(out, "out")
    source, into = _bytes(store), _bytes(out)
    if source is None or into is None or store.size == 0 or out.size == 0:
        _check_range(index, "index", 0, len(store))
        out[...] = store[index]
        return out
    if into.size >= THREADS_PAY_READING:
        _check_range(index, "index", 0, len(store))
        if np.may_share_memory(into, source) or np.may_share_memory(into, index):
            out[...] = _gather(store, index, None)
            return out
        loop = _loops().gather
        for_pieces(lambda first, last: loop(source, index[first:last], into[first:last]), index.size)
        return out
    loops = _loops()
    found = loops.gather(source, index, into)
    if found == loops.OVERLAP:
        out[...] = _gather(store, index, None)
    elif found != loops.DONE:
        _check_range(index, "index", 0, len(store))
    return out


@functools.cache
def _loops() -> Loops:
    from mpidcl_kernels.gather import loops

    return loops


def _bytes(array: Rows) -> Bytes | None:
    """View [n, row bytes] of an array [n, ...]; None where what a row holds is not contiguous."""
    if array.ndim == 2 and array.dtype == _BYTE and array.strides[1] == 1:
        return array
    row, distance = 1, array.itemsize
    for size, stride in zip(array.shape[:0:-1], array.strides[:0:-1], strict=True):
        if size != 1 and stride != distance:
            return None
        row, distance = row * size, distance * size
    return (array if array.ndim == 2 else array.reshape(len(array), row)).view(np.uint8)


# --- checks -----------------------------------------------------------------------------------------


def _check(store: View, rows: View | None, name: str, numbers: View, of: str) -> Index:
    """Refuse rows (or an `out`) that do not fit the store; return the numbers as the loops take them."""
    if store.ndim == 0 or store.dtype.hasobject:
        raise bad_type(
            "store", "rows of numbers, without Python objects", f"{store.dtype} {list(store.shape)}"
        )
    if numbers.dtype != _INT64 or numbers.ndim != 1 or not numbers.flags.aligned:
        numbers = _as_numbers(numbers, of)
    if rows is None:
        return numbers
    if rows.dtype != store.dtype:
        raise bad_type(name, f"{store.dtype}, like `store`", rows.dtype)
    if rows.shape != (numbers.size, *store.shape[1:]):
        raise bad(name, f"{[numbers.size, *store.shape[1:]]}, a row for each of `{of}`", list(rows.shape))
    return numbers


def _as_numbers(numbers: View, name: str) -> Index:
    if numbers.dtype.kind not in "iu" or numbers.ndim != 1:
        raise bad_type(name, "a vector of integers", f"{numbers.dtype} {list(numbers.shape)}")
    if numbers.dtype.kind == "u":
        numbers = np.minimum(numbers, np.iinfo(np.int64).max)  # such a number is refused, not taken for -1
    return np.require(numbers, _INT64, ["ALIGNED"])


def _check_range(numbers: Index, name: str, low: int, count: int) -> None:
    wrong = numbers[(numbers < low) | (numbers >= count)]
    if wrong.size:
        allowed = f"between {low} and {count - 1}" if count > low else "empty: the store has no rows"
        raise bad(name, allowed, wrong[0])


def _check_writable(array: Rows, name: str) -> None:
    if not array.flags.writeable:
        raise bad(name, "an array that can be written", "a read-only one")


def _on_host(numbers: Array, name: str, home: Home) -> View:
    """Numbers as a NumPy array; fetched from a GPU where the rows are there, too."""
    found = view(numbers, name)
    if isinstance(found, np.ndarray):
        return np.asarray(found)
    if home.device is None:
        raise bad_type(name, "on the CPU, like `store`", "it on a GPU")
    return host(found)


def warm() -> None:
    """Compile both loops, or load them from the cache."""
    _loops()
