"""What an average is made of: checked arrays, and the places that each of them has values for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from mpidcl_kernels.base.arrays import address, view, where
from mpidcl_kernels.base.checks import writable
from mpidcl_kernels.base.errors import bad, bad_type
from mpidcl_kernels.base.types import Array, ArrayModule, Doubles, Integers, View

Place = int | Integers | None
"""The first place of values in a row, or the ascending places of all values; None: the array is whole."""

KINDS = (np.dtype(np.float32), np.dtype(np.float64))
MEAN, FISHER_MEAN, FISHER_SUMS = range(3)
BLOCK = 8192
"""Values per block of the compiled loops: rows of a few arrays stay in the second-level cache."""


@dataclass(frozen=True, slots=True)
class Parts:
    """Contiguous arrays on one device for a result of `size` values.

    `arrays[j]` belongs to the places `starts[j]` and following, or to `indices[j]` when that is not None.
    Where it has no value that of `arrays[own]` stands in, which is whole; zero when `own` is -1.
    """

    arrays: list[View]
    starts: list[int]
    indices: list[View | None]
    own: int
    size: int
    fishers: list[View | None] = field(default_factory=list)

    def covers(self, j: int) -> bool:
        """Whether array j has a value for every place."""
        return self.indices[j] is None and self.arrays[j].size == self.size

    @property
    def whole(self) -> bool:
        """Whether all arrays cover all places, and all have Fisher information if any has."""
        return all(map(self.covers, range(len(self.arrays)))) and all(f is not None for f in self.fishers)


def parts_of(
    arrays: list[View], places: Sequence[Place] | None, own: int, size: int | None, xp: ArrayModule
) -> Parts:
    """Check and prepare `arrays` (NumPy or CuPy views; `xp` is their module). `size` None: that of `own`.

    Arrays that are not contiguous or not aligned are copied. Raises TypeError and ValueError.
    """
    if not arrays:
        raise bad("arrays", "at least one array", "none")
    if not -1 <= own < len(arrays) or (own == -1 and size is None):
        raise bad("own", f"the number of one of {len(arrays)} arrays", own)
    for j, array in enumerate(arrays):
        _check_array(f"arrays[{j}]", array, arrays[0])
    size = int(arrays[own].size) if size is None else size
    given = [None] * len(arrays) if places is None else list(places)
    if len(given) != len(arrays):
        raise bad("places", f"one for each of {len(arrays)} arrays", len(given))
    starts, indices = [], []
    for j, (array, place) in enumerate(zip(arrays, given, strict=True)):
        indices.append(_index(f"places[{j}]", place, array.size, size, xp))
        starts.append(
            _start(j, 0 if place is None else place, array.size, size) if indices[-1] is None else 0
        )
        if place is None and array.size != size:
            raise bad(f"arrays[{j}]", f"{size} values, or have places", f"{array.size} values")
    parts = Parts([_plain(array, xp) for array in arrays], starts, indices, own, size)
    if own >= 0 and not parts.covers(own):
        raise bad(f"arrays[{own}]", f"all {size} values: it stands in for the others", arrays[own].size)
    return parts


def with_fishers(parts: Parts, fishers: Sequence[View | None], xp: ArrayModule) -> Parts:
    """`parts` with Fisher information per array: as many values, or None. Raises as `parts_of`."""
    if len(fishers) != len(parts.arrays):
        raise bad("fishers", f"one for each of {len(parts.arrays)} arrays, or None", len(fishers))
    for j, (fisher, array) in enumerate(zip(fishers, parts.arrays, strict=True)):
        if fisher is not None:
            _check_array(f"fishers[{j}]", fisher, array)
            if fisher.size != array.size:
                raise bad(f"fishers[{j}]", f"as long as arrays[{j}], {array.size}", fisher.size)
    plain = [None if fisher is None else _plain(fisher, xp) for fisher in fishers]
    return Parts(parts.arrays, parts.starts, parts.indices, parts.own, parts.size, plain)


def weights_of(weights: Sequence[float] | Array, count: int, xp: ArrayModule) -> Doubles:
    """`weights` as float64 [count] on the device of `xp`. Raises ValueError for another shape."""
    given: object = weights
    if isinstance(weights, list | tuple):
        try:
            given = np.array(weights, np.float64)
        except (TypeError, ValueError) as error:
            raise bad("weights", f"a vector of {count} numbers", error) from None
    found = view(given, "weights")
    if found.dtype.kind not in "fiu":
        raise bad_type("weights", "real numbers", found.dtype)
    if found.shape != (count,):
        raise bad("weights", f"a vector of {count} numbers", f"shape {list(found.shape)}")
    # A copy: the output may lie where the caller has them.
    return xp.array(found, dtype=np.float64, order="C")


def fitting_out(out: View, size: int, dtype: np.dtype[np.generic], name: str = "out") -> None:
    """Raise unless `out` is a writable vector of `size` values of this type."""
    if out.dtype != dtype:
        raise bad_type(name, f"{dtype}, like the arrays", out.dtype)
    if out.shape != (size,):
        raise bad(name, f"a vector of {size} values", f"shape {list(out.shape)}")
    writable(name, out)


def check_apart(out: View, parts: Parts, name: str = "out") -> None:
    """Raise if writing to `out` would change values that are read later: it may be one of the arrays."""
    begin = address(out)
    for j, array in enumerate(parts.arrays):
        for other in (array, parts.indices[j], parts.fishers[j] if parts.fishers else None):
            if other is None or not other.size:
                continue
            place = address(other)
            if place >= begin + out.nbytes or begin >= place + other.nbytes:
                continue
            in_step = place == begin + parts.starts[j] * out.itemsize
            if other is parts.indices[j] or parts.indices[j] is not None or not in_step:
                raise bad(name, "one of the arrays or apart from them", f"it overlaps places of array {j}")


def _check_array(name: str, array: View, like: View) -> None:
    if array.dtype not in KINDS and array.dtype.newbyteorder("=") not in KINDS:
        raise bad_type(name, "float32 or float64", array.dtype)
    if array.dtype != like.dtype:
        raise bad_type(name, f"{like.dtype}, like the first", array.dtype)
    if array.ndim != 1:
        raise bad(name, "a flat array", f"shape {list(array.shape)}")


def _plain(array: View, xp: ArrayModule) -> View:
    """`array`, or a copy that is contiguous, aligned and in the machine's byte order."""
    if isinstance(array, np.ndarray):
        if array.flags.c_contiguous and array.flags.aligned and array.dtype.isnative:
            return array
        return np.require(array, array.dtype.newbyteorder("="), ["C", "A"])
    return xp.ascontiguousarray(array)


def _start(j: int, start: object, count: int, size: int) -> int:
    if not isinstance(start, int | np.integer) or isinstance(start, bool):
        raise bad_type(f"places[{j}]", "None, the first place, or an array of places", type(start).__name__)
    if not 0 <= start <= size - count:
        raise bad(f"places[{j}]", f"between 0 and {size - count}", start)
    return int(start)


def _index(name: str, place: Place, count: int, size: int, xp: ArrayModule) -> Integers | None:
    """`place` as int64 [count] if it is an array of places, checked; else None."""
    if place is None or isinstance(place, int | np.integer):
        return None
    index = view(place, name)
    if index.dtype.kind not in "iu":
        raise bad_type(name, "integers", index.dtype)
    if index.shape != (count,):
        raise bad(name, f"{count} places, one per value", f"shape {list(index.shape)}")
    if xp is np and not isinstance(index, np.ndarray):
        raise bad_type(name, "on the CPU, like the arrays", f"it on {where(index)}")
    index = _plain(xp.asarray(index).astype(np.int64, copy=False), xp)
    # The loops neither check nor sort. One answer for all questions: a GPU is waited for once.
    if count and bool((index[1:] <= index[:-1]).any() | (index[0] < 0) | (index[-1] >= size)):
        raise bad(name, f"ascending, between 0 and {size - 1}", f"{count} places that are not")
    return index
