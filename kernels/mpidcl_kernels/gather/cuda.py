"""Host code of `gather.cu`. Numbers are checked by the caller; they are given as NumPy arrays."""

from __future__ import annotations

import numpy as np

from mpidcl_kernels.base.arrays import address
from mpidcl_kernels.base.device import Device
from mpidcl_kernels.base.types import Index, View
from mpidcl_kernels.slots import last_of_each

THREADS = 256
WORDS_PER_THREAD = 8
"""Of a long row: more blocks share it when it is longer."""
MOST_BLOCKS_PER_ROW = 65535
WORDS = ((8, "long long"), (4, "int"), (2, "short"), (1, "char"))


def insert(device: Device, store: View, rows: View, slots: Index) -> None:
    """store[slots[i]] = rows[i] in order. The host finds which rows stay, so no two threads write one."""
    kept = last_of_each(slots)
    if not store.flags.c_contiguous:
        store[device.xp.asarray(slots[kept])] = rows[device.xp.asarray(kept)]
        return
    rows = rows.copy() if device.xp.may_share_memory(rows, store) else device.xp.ascontiguousarray(rows)
    _copy(device, rows, kept, store, slots[kept])


def gather(device: Device, store: View, index: Index, out: View | None) -> View:
    """Rows `index [m]` of `store [n, ...]`, in `out` where it is given."""
    xp = device.xp
    if not store.flags.c_contiguous:
        made = store[xp.asarray(index)]
    else:
        if out is not None and out.flags.c_contiguous and not xp.may_share_memory(out, store):
            made = out
        else:
            made = xp.empty((len(index), *store.shape[1:]), store.dtype)
        _copy(device, store, index, made, np.arange(len(index)))
    if out is None or out is made:
        return made
    out[...] = made
    return out


def _copy(device: Device, source: View, source_rows: Index, to: View, to_rows: Index) -> None:
    count, row = len(to_rows), _row_bytes(to)
    if count == 0 or row == 0:
        return
    size, word = _word(row, address(source), address(to))
    words = row // size
    lanes = min(THREADS, 1 << (words - 1).bit_length())
    per_row = min(MOST_BLOCKS_PER_ROW, -(-words // (lanes * WORDS_PER_THREAD)))
    blocks = (-(-count // (THREADS // lanes)), per_row)
    numbers = device.xp.asarray(np.concatenate([source_rows, to_rows]))
    source, to = (array.reshape(-1).view(np.int8).view(f"i{size}") for array in (source, to))
    arguments = (source, numbers[:count], to, numbers[count:], count, words, lanes)
    device.kernel("gather", "copy_rows", W=word)(blocks, THREADS, arguments)


def _row_bytes(array: View) -> int:
    return int(array.dtype.itemsize * np.prod(array.shape[1:], dtype=np.int64))


def _word(*multiples: int) -> tuple[int, str]:
    """The longest word of which every given address and length is a multiple."""
    return next(found for found in WORDS if all(number % found[0] == 0 for number in multiples))
