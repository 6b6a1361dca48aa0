"""Frames: how messages become bytes, and how damaged bytes become an error instead of a crash.

A frame is a head and raw arrays. The head is one small buffer:

    prefix   fixed size: magic, version, link, number, leg, lengths, crc
    layout   what the messages look like: exchange, kind, names, dtypes, shapes (cached by both ends)
    values   the scalars, 8 bytes each; texts; a crc per raw array when `checksum = "all"`
    inline   small arrays, packed

Arrays above `INLINE_BYTES` follow as messages of their own, straight from the owner's memory. The crc
covers the whole head; every field is checked before anything is allocated. Nothing is pickled.

Without `checksum = "all"` a frame takes PREFIX_BYTES and `message_bytes` of each message, neither more
nor less. Its checksums (4 bytes per raw array) are counted nowhere: looking for faults changes no result.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from mpidcl.errors import FrameError
from mpidcl.network.frames.layout import (
    INLINE_BYTES,
    Layout,
    layout_of,
    layout_of_message,
    pack_values,
    parse_layout,
    unpack_values,
)
from mpidcl.network.frames.message import Array, Message, Scalar

MAGIC = b"MDCL"
VERSION = 1
PREFIX = struct.Struct("<4sBBHIIQIIIQ")
"""magic, version, flags, leg, source, target, number, layout, values, inline bytes, raw bytes."""
CRC = struct.Struct("<I")
PREFIX_BYTES = PREFIX.size + CRC.size
HEAD_BYTES = 64 * 1024
"""The largest head; receivers have a buffer of this size ready for every link."""
CHECKSUM_ALL = 1

Entry = tuple[int, Message]
"""The number of an exchange in the file, and its message."""


class Address(NamedTuple):
    """Where a frame belongs: its link, how many frames the link carried before, and the leg."""

    source: int
    target: int
    number: int
    leg: int

    def __str__(self) -> str:
        return f"link {self.source} -> {self.target}, frame {self.number}, leg {self.leg}"


class Packed(NamedTuple):
    """A frame ready to be sent: the head and the raw arrays (flat bytes of the owner's memory)."""

    head: bytearray
    raw: tuple[Array, ...]


class Head(NamedTuple):
    """A checked head: the raw arrays that must still come are `layout.raw_bytes`, in order."""

    layout: Layout
    scalars: Sequence[Scalar]
    inline: memoryview
    checksums: tuple[int, ...]
    address: Address


def message_bytes(message: Message) -> int:
    """Bytes that one message adds to a frame: its part of the head, and its arrays.

    Raises FrameError for a message that frames cannot carry.
    """
    return message_sizes(message)[1]


def message_sizes(message: Message) -> tuple[int, int]:
    """Bytes of a message's arrays, and `message_bytes`."""
    return (message.layout or layout_of_message(message)).message_sizes(message)


def pack(address: Address, entries: tuple[Entry, ...], checksum_all: bool = False) -> Packed:
    """The frame of one use of a link. The arrays' memory is shared, not copied, unless they are small.

    Raises FrameError when the head would not fit into HEAD_BYTES.
    """
    layout = layout_of(entries)
    small, large = layout.split(entries)
    raw = tuple(_flat_bytes(array) for array in large)
    checksums = tuple(zlib.crc32(array.data) for array in raw) if checksum_all else ()
    values = pack_values(layout, entries, checksums)
    size = PREFIX_BYTES + len(layout.packed) + len(values) + layout.inline_total
    if size > HEAD_BYTES:
        raise FrameError(
            f"link {address.source} -> {address.target}: the head of a frame should take at most "
            f"{HEAD_BYTES} bytes. Found {size}: fewer arrays or shorter texts in one message."
        )
    prefix = PREFIX.pack(
        MAGIC, VERSION, CHECKSUM_ALL if checksum_all else 0, address.leg, address.source, address.target,
        address.number, len(layout.packed), len(values), layout.inline_total, layout.raw_total,
    )  # fmt: skip
    body = b"".join((layout.packed, values, *(array.tobytes() for array in small)))
    crc = zlib.crc32(body, zlib.crc32(prefix))
    return Packed(bytearray().join((prefix, CRC.pack(crc), body)), raw)


def _flat_bytes(array: Array) -> Array:
    return array.reshape(-1).view(np.uint8)


def open_head(buffer: memoryview, expected: Address, limit: int | None) -> Head:
    """Check the head of a frame that should be `expected` and may carry at most `limit` bytes.

    Raises FrameError naming the link, the field, what it should be and what it was.
    """
    if len(buffer) < PREFIX_BYTES:
        raise _wrong(expected, "length of the head", f"at least {PREFIX_BYTES} bytes", len(buffer))
    fields = PREFIX.unpack_from(buffer)
    magic, version, flags, leg, source, target, number, layout_n, values_n, inline_n, raw_n = fields
    crc = zlib.crc32(buffer[PREFIX_BYTES:], zlib.crc32(buffer[: PREFIX.size]))
    end = PREFIX_BYTES + layout_n + values_n + inline_n
    # one comparison where all is well; which field was wrong is found out afterwards
    told = CRC.unpack_from(buffer, PREFIX.size)[0]
    if (magic, version, end, told, flags & ~CHECKSUM_ALL, (source, target, number, leg)) != (
        MAGIC, VERSION, len(buffer), crc, 0, expected,
    ):  # fmt: skip
        raise _first_wrong(expected, fields, len(buffer), told, crc)
    layout = _cached_layout(bytes(buffer[PREFIX_BYTES : PREFIX_BYTES + layout_n]), expected)
    if (layout.inline_total, layout.raw_total) != (inline_n, raw_n):
        raise _wrong(expected, "bytes of arrays", (layout.inline_total, layout.raw_total), (inline_n, raw_n))
    crcs = len(layout.raw_bytes) if flags & CHECKSUM_ALL else 0
    size = end + raw_n - crcs * CRC.size
    if limit is not None and size > limit:
        raise _wrong(expected, "size", f"at most {limit} bytes", size)
    start = PREFIX_BYTES + layout_n
    scalars, checksums = unpack_values(layout, buffer[start : start + values_n], crcs, expected)
    if layout.rooms and (least := min(int(scalars[place]) for place in layout.rooms)) < 0:
        raise _wrong(expected, "room for an answer", "0 bytes or more", least)
    return Head(layout, scalars, buffer[start + values_n :], checksums, expected)


def told_number(buffer: memoryview, source: int, target: int) -> Address:
    """The address in the head of a frame of this link whose number nobody knew; to be checked with the rest.

    Raises FrameError for what is no head.
    """
    if len(buffer) < PREFIX_BYTES:
        expected = Address(source, target, 0, 0)
        raise _wrong(expected, "length of the head", f"at least {PREFIX_BYTES} bytes", len(buffer))
    _, _, _, leg, _, _, number, *_ = PREFIX.unpack_from(buffer)
    return Address(source, target, number, leg)


def close_frame(head: Head, raw: list[Array]) -> tuple[Entry, ...]:
    """The messages of a frame whose raw arrays (flat uint8) have come; views, not copies.

    Raises FrameError when a checksum (`checksum = "all"`) does not agree.
    """
    for number, (crc, array) in enumerate(zip(head.checksums, raw, strict=False)):
        found = zlib.crc32(array.data)
        if crc != found:
            raise _wrong(head.address, f"checksum of large array {number}", crc, found)
    return head.layout.entries(head.scalars, head.inline, raw)


def _first_wrong(expected: Address, fields: tuple[Any, ...], length: int, told: int, crc: int) -> FrameError:
    magic, version, flags, leg, source, target, number, *lengths, _ = fields
    checks = (
        ("magic", MAGIC, magic),
        ("version", VERSION, version),
        ("length of the head", PREFIX_BYTES + sum(lengths), length),
        ("crc of the head", told, crc),
        ("flags that are not known", 0, flags & ~CHECKSUM_ALL),
        ("address (source, target, number, leg)", tuple(expected), (source, target, number, leg)),
    )
    return next(_wrong(expected, *check) for check in checks if check[1] != check[2])


def _wrong(address: Address, what: str, wanted: object, found: object) -> FrameError:
    return FrameError(
        f"{address}: {what} should be {wanted}. Found {found}. The frame is damaged or its "
        "sender runs another version or experiment; start all ranks from the same installation."
    )


_layouts: dict[bytes, Layout] = {}
_KEPT_LAYOUTS = 4096


def _cached_layout(packed: bytes, address: Address) -> Layout:
    layout = _layouts.get(packed)
    if layout is None:
        layout = parse_layout(packed, address)
        if len(_layouts) >= _KEPT_LAYOUTS:  # bounded: shapes that change at every use must not pile up
            _layouts.clear()
        _layouts[packed] = layout
    return layout


__all__ = [
    "HEAD_BYTES", "INLINE_BYTES", "PREFIX_BYTES", "Address", "Entry", "Head", "Packed",
    "close_frame", "message_bytes", "message_sizes", "open_head", "pack",
    "told_number",
]  # fmt: skip
