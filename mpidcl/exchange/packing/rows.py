"""Messages that carry rows, and how many rows a room holds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mpidcl.exchange.packing.pixels import Pixels, decode_pixels, encode_pixels
from mpidcl.network.frames.frame import message_bytes
from mpidcl.network.frames.message import Array, Message

Floats = NDArray[np.float32]
Keys = NDArray[np.uint32]

QUERIES = "queries"
NEEDS = "needs"
ROWS = "rows"


@dataclass(frozen=True, slots=True)
class Arrivals:
    """Rows x [n, ...] that came for `tasks` [n] with labels y [n]; y = -1: not a class of that task."""

    tasks: NDArray[np.int64]
    x: Floats
    y: NDArray[np.int64]


def row_bytes(row_floats: int, pixels: Pixels) -> int:
    """The most bytes that one row can take on the wire."""
    return row_floats if pixels == "uint8" else 4 * row_floats


def queries_message(x: Array, coding: int, tags: Array, keys: Keys | None, room: int, floats: int) -> Message:
    """Queries x [q, ...] with their tags [q] and, for the oracle prefilter, class keys [q]."""
    arrays: dict[str, Array] = {"x": x, "tag": tags}
    if keys is not None:
        arrays["class"] = keys
    return Message(QUERIES, {"coding": coding}, arrays, room=room, floats=floats)


def rows_message(x: Array, coding: int, rows: Array, tags: Array, keys: Keys | None, floats: int) -> Message:
    """Different rows x [r, ...]; pair p says: row `rows[p]` answers the question `tags[p]`.

    `keys` [r] are the true classes of the rows, where the receiver labels by ground truth.
    """
    arrays: dict[str, Array] = {"x": x, "row": rows, "tag": tags}
    if keys is not None:
        arrays["class"] = keys
    return Message(ROWS, {"coding": coding}, arrays, floats=floats)


def queries_bytes(input_shape: tuple[int, ...], count: int, each: int, oracle: bool) -> int:
    """Bytes of `count` queries whose rows take `each` bytes."""
    keys = np.empty(0, np.uint32) if oracle else None
    empty = queries_message(np.empty((0, *input_shape), np.uint8), 0, np.empty(0, np.int32), keys, 0, 0)
    return message_bytes(empty) + count * (each + (8 if oracle else 4))


def rows_bytes(input_shape: tuple[int, ...], count: int, pairs: int, each: int, keyed: bool) -> int:
    """Bytes of `count` different rows of `each` bytes that answer `pairs` questions."""
    keys = np.empty(0, np.uint32) if keyed else None
    no_rows, no_tags = np.empty(0, np.uint16), np.empty(0, np.int32)
    empty = rows_message(np.empty((0, *input_shape), np.uint8), 0, no_rows, no_tags, keys, 0)
    return message_bytes(empty) + count * (each + (4 if keyed else 0)) + pairs * 6


def pack_rows(
    x: Floats,
    row: NDArray[np.intp],
    tags: Array,
    keys: Keys | None,
    pixels: Pixels,
    room: int,
    charge: int,
) -> Message | None:
    """As many of the pairs (pool row `row[p]`, `tags[p]`), in order, as fit `room` bytes; None without any.

    A pool row of x [n, ...] that answers several questions travels once. `keys` [n] are the classes of
    the pool rows. The message is charged `charge` paper floats; less when the room cut pairs off.
    """
    different, first, inverse = np.unique(row, return_index=True, return_inverse=True)
    wire, coding = encode_pixels(x[different], pixels)
    each = wire.nbytes // max(1, len(wire))
    shape = x.shape[1:]
    is_new = np.zeros(len(row), np.int64)
    is_new[first] = 1
    empty = rows_bytes(shape, 0, 0, each, keys is not None)
    grown = rows_bytes(shape, 1, 0, each, keys is not None) - empty
    total = empty + np.cumsum(is_new * grown + 6)
    fits = int(np.searchsorted(total, room, side="right"))
    if fits == 0:
        return None
    kept, numbers = np.unique(inverse[:fits], return_inverse=True)
    charge = charge if fits == len(row) else fits * x[0].size
    return rows_message(
        wire[kept],
        coding,
        numbers.astype(np.uint16),
        tags[:fits].astype(np.int32),
        None if keys is None else keys[different[kept]],
        charge,
    )


def unpack_rows(message: Message) -> tuple[Floats, NDArray[np.intp]]:
    """The different rows x [r, ...] of a rows message and the row number of every pair [p]."""
    x = decode_pixels(message.arrays["x"], int(message.scalars["coding"]))
    return x, message.arrays["row"].astype(np.intp)
