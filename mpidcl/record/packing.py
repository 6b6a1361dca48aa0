"""States in two data sets: a table, and the bytes of all small arrays one after the other.

A data set of HDF5 costs 0.2 ms of CPU time, however small, and a small agent has a hundred arrays and dicts.
The table is JSON: the plain values as they are nested, and of each array its path, type and shape. Large
arrays stay data sets under their paths. Nothing says where a small array lies: they lie in the order of the
table without a gap, so that none can lie outside or in two places.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import h5py
import numpy as np

from mpidcl.base.state import State
from mpidcl.record.groups import PLAIN, RESERVED, Place, is_array, write_text
from mpidcl_kernels.base.types import View

SMALL = RESERVED[-1]
SMALL_BYTES = 2**14
"""An array of fewer bytes is packed: with these, that costs a seventh of a data set."""


# --- writing ----------------------------------------------------------------------------------------


def write_packed(group: h5py.Group, state: Mapping[str, Any]) -> None:
    """Make a state of an empty group. Raises CheckpointError for what a file of plain data cannot hold."""
    arrays: dict[str, View] = {}
    plain = _sorted_out(state, Place(), "", arrays)
    small = {path: array for path, array in arrays.items() if array.nbytes < SMALL_BYTES}
    table = {"plain": plain, "small": _types(small), "large": _types(arrays, but=small)}
    write_text(group, PLAIN, json.dumps(table))
    data = b"".join([array.tobytes() for array in small.values()])
    group.create_dataset(SMALL, data=np.frombuffer(data, np.uint8), track_times=False)
    for path in table["large"]:
        group.create_dataset(path, data=arrays[path], track_times=False)


def _sorted_out(state: Mapping[str, Any], place: Place, above: str, arrays: dict[str, View]) -> State:
    """The plain values of a state; its arrays go into `arrays`, by their paths."""
    place = place.of(state)
    plain: State = {}
    for key, value in state.items():
        path = above + place.checked(key)
        if is_array(value):
            arrays[path] = value
        elif isinstance(value, Mapping):
            plain[key] = _sorted_out(value, place.below(key), path + "/", arrays)
        else:
            plain[key] = place.plain(key, value)
    return plain


def _types(arrays: Mapping[str, View], but: Iterable[str] = ()) -> dict[str, tuple[str, tuple[int, ...]]]:
    left = arrays.keys() - set(but)
    return {path: (array.dtype.str, array.shape) for path, array in arrays.items() if path in left}


# --- reading ----------------------------------------------------------------------------------------

_DTYPE = re.compile(r"[<>|][biufc][0-9]{1,2}")


class _Array(NamedTuple):
    """What the table says of an array."""

    path: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...]

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize

    def lies_in(self, part: str) -> bool:
        return not part or self.path.startswith(part + "/")


def read_packed(group: h5py.Group, part: str = "") -> State:
    """What `write_packed` wrote, or the dict under one of its keys, without reading the arrays of the rest.

    Raises one of `checkpoint.DAMAGE` for something else. Nothing is made before its size was compared with
    what lies in the file.
    """
    if not isinstance(group, h5py.Group):
        raise ValueError("it should be a group")
    table = json.loads(_stored(group, PLAIN, np.dtype(np.uint8))[()].tobytes(), object_pairs_hook=_unique)
    if not isinstance(table, dict) or table.keys() != {"plain", "small", "large"}:
        raise ValueError(f"its table should have the keys plain, small and large, and is {table!r:.80}")
    small, large = _arrays(table, "small"), _arrays(table, "large")
    if (found := set(_names(group))) != (wanted := _named([array.path for array in large])):
        raise ValueError(f"{sorted(found ^ wanted)} should be in the table and in the file, or in neither")
    state = _below(table, "plain")
    if part:
        state = {part: _below(state, part)}
    packed = _stored(group, SMALL, np.dtype(np.uint8), (sum(array.nbytes for array in small),))
    for array, data in _cut(packed, small, part):
        _put(state, array.path, data)
    for array in large:
        if array.lies_in(part):
            _put(state, array.path, _stored(group, array.path, array.dtype, array.shape)[...])
    return _below(state, part) if part else state


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A dict of JSON. Raises ValueError for a key that is there twice: JSON would take the last."""
    found = dict(pairs)
    if len(found) != len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"its table has a key twice: {next(key for key in keys if keys.count(key) > 1)!r}")
    return found


def _arrays(table: dict[str, Any], name: str) -> list[_Array]:
    """What the table says of its small or large arrays."""
    if not isinstance(table[name], dict):
        raise ValueError(f"its table should have a dict under `{name}`, and has {table[name]!r:.80}")
    return [_array(path, said) for path, said in table[name].items()]


def _array(path: str, said: object) -> _Array:
    match said:
        case [str(dtype), list(shape)] if _DTYPE.fullmatch(dtype) and all(_is_length(n) for n in shape):
            return _Array(path, np.dtype(dtype), tuple(shape))
    raise ValueError(f"`{path}` should have a type of numbers and a shape in the table, and has {said!r:.80}")


def _is_length(value: object) -> bool:
    return type(value) is int and 0 <= value < 2**48


def _names(group: h5py.Group) -> list[str]:
    found: list[str] = []
    group.visit(found.append)
    return found


def _named(paths: Iterable[str]) -> set[str]:
    """The names of these data sets, of the groups that they lie in, and of those that are always there."""
    found = {PLAIN, SMALL}
    for path in paths:
        keys = path.split("/")
        found |= {"/".join(keys[:depth]) for depth in range(1, len(keys) + 1)}
    return found


def _stored(
    group: h5py.Group, name: str, dtype: np.dtype[Any], shape: tuple[int, ...] | None = None
) -> h5py.Dataset:
    """A data set of this type and shape (None: one-dimensional) that lies whole in its file."""
    item = group[name]
    if not isinstance(item, h5py.Dataset) or item.dtype != dtype:
        raise ValueError(f"`{name}` should be a data set of {dtype}, and is {item!r}")
    if item.shape != shape and (shape is not None or len(item.shape or ()) != 1):
        raise ValueError(f"`{name}` should have the shape {shape or 'of a text'}, and has {item.shape}")
    size, at = math.prod(item.shape) * dtype.itemsize, item.id.get_offset()
    if size and (at is None or at + size > group.file.id.get_filesize()):
        raise ValueError(f"`{name}` should lie in one piece of {size} bytes in its file, and does not")
    return item


def _cut(packed: h5py.Dataset, arrays: Iterable[_Array], part: str) -> Iterator[tuple[_Array, View]]:
    """The small arrays of a part, each in memory of its own."""
    data, end = None, 0
    for array in arrays:
        begin, end = end, end + array.nbytes
        if array.lies_in(part):
            data = packed[()] if data is None else data
            if array.dtype.kind == "b" and np.any(data[begin:end] > 1):
                raise ValueError(f"`{array.path}` should hold bytes 0 and 1 alone")
            yield array, data[begin:end].view(array.dtype).reshape(array.shape).copy()


def _below(state: State, key: str) -> State:
    """The dict under a key."""
    if not isinstance(found := state.get(key), dict):
        raise ValueError(f"it should have a dict under `{key}`, and has {found!r:.80}")
    return found


def _put(state: State, path: str, array: View) -> None:
    """Add an array to the dicts that it belongs to, which are there."""
    *above, last = path.split("/")
    for key in above:
        state = _below(state, key)
    if last in state or last in RESERVED:
        raise ValueError(f"`{path}` should be one value, and is named twice or has no name")
    state[last] = array
