"""What the messages of a frame look like: names, types and shapes, without any value."""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from itertools import accumulate

import numpy as np

from mpidcl.errors import FrameError
from mpidcl.network.frames.message import Array, Message, Scalar

INLINE_BYTES = 8 * 1024
"""Arrays up to this size travel inside the head: one copy is cheaper than one more message."""
INLINE_TOTAL = 32 * 1024
"""All small arrays of a frame together; what does not fit travels raw."""

DTYPES = tuple(
    np.dtype(name)
    for name in (
        "bool", "uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64",
        "float16", "float32", "float64", "complex64", "complex128",
    )
)  # fmt: skip
_DTYPE_CODE = {dtype: code for code, dtype in enumerate(DTYPES)}
_SCALARS: tuple[type, ...] = (bool, int, float, str)
_MESSAGE = struct.Struct("<HBBB")
_SCALAR = struct.Struct("<BB")
_ARRAY = struct.Struct("<BBB")
_BYTE = 255
_VALUE = {bool: struct.Struct("<q"), int: struct.Struct("<q"), float: struct.Struct("<d")}
_ROOM = struct.Struct("<q")
_LENGTH = struct.Struct("<H")
_MAX_DIMENSIONS = 8
_MOST_VALUES = 2**48

Entries = tuple[tuple[int, Message], ...]
_ArrayKey = tuple[str, np.dtype[np.generic], tuple[int, ...], bool]
_MessageKey = tuple[int, str, tuple[tuple[str, type], ...], tuple[_ArrayKey, ...]]


class Layout:
    """The structure of a frame's messages, its packed form, and everything that can be known from it once.

    `raw_bytes` are the bytes of every array that travels on its own, `inline_total` those of all small
    arrays together; `values` packs rooms and scalars in one go (None when a scalar is a text); `rooms` says
    which of these are rooms. `sizes` are the bytes of all arrays, and of one message with them (None: with a
    text they are not always the same).
    """

    def __init__(self, messages: tuple[_MessageKey, ...], packed: bytes) -> None:
        self.messages, self.packed = messages, packed
        arrays = [array for message in messages for array in message[3]]
        self.small = tuple(array[3] for array in arrays)
        self.raw_bytes = tuple(_nbytes(array) for array in arrays if not array[3])
        self.raw_total = sum(self.raw_bytes)
        self.inline_total = sum(_nbytes(array) for array in arrays if array[3])
        kinds = [kind for message in messages for kind in (int, *(k for _, k in message[2]))]
        codes = "".join({bool: "q", int: "q", float: "d", str: "s"}[kind] for kind in kinds)
        self.values = None if "s" in codes else struct.Struct("<" + codes)
        self.flags = tuple(i for i, kind in enumerate(kinds) if kind is bool)
        sizes = (1 + len(message[2]) for message in messages)
        self.rooms = tuple(accumulate(sizes, initial=0))[:-1]
        payload, fixed = self.inline_total + self.raw_total, len(packed) + 8 * len(kinds)
        self.sizes = None if self.values is None else (payload, fixed + payload)

    def split(self, entries: Entries) -> tuple[list[Array], list[Array]]:
        """The small and the large arrays of the messages, each in order."""
        arrays = [array for _, message in entries for array in message.arrays.values()]
        if not self.raw_bytes:
            return arrays, []
        small = [array for array, is_small in zip(arrays, self.small, strict=True) if is_small]
        return small, [array for array, is_small in zip(arrays, self.small, strict=True) if not is_small]

    def message_sizes(self, message: Message) -> tuple[int, int]:
        """Bytes of the arrays of the one message that looks like this, and all that it adds to a frame."""
        if self.sizes is not None:
            return self.sizes
        payload = self.inline_total + self.raw_total
        texts = sum(len(v.encode()) - 6 for v in message.scalars.values() if isinstance(v, str))
        return payload, len(self.packed) + _ROOM.size + 8 * len(message.scalars) + texts + payload

    def entries(self, scalars: Sequence[Scalar], inline: memoryview, raw: list[Array]) -> Entries:
        """Messages from values: small arrays are views of `inline`, large ones of `raw`."""
        value = large = at = 0
        found = []
        for exchange, kind, scalar_keys, array_keys in self.messages:
            room = scalars[value]
            named = {key[0]: scalars[value + 1 + i] for i, key in enumerate(scalar_keys)}
            value += 1 + len(scalar_keys)
            arrays: dict[str, Array] = {}
            for name, dtype, shape, small in array_keys:
                if small:
                    array: Array = np.ndarray(shape, dtype, inline, at)
                    at += array.nbytes
                    # compiled kernels and vector units want it aligned, and the head puts it anywhere
                    arrays[name] = array if array.flags.aligned else array.copy()
                else:
                    arrays[name] = raw[large].view(dtype).reshape(shape)
                    large += 1
            found.append((exchange, Message(kind, named, arrays, int(room))))
        return tuple(found)


def _nbytes(key: _ArrayKey) -> int:
    return math.prod(key[2]) * key[1].itemsize


_known: dict[tuple[_MessageKey, ...], Layout] = {}
_joined: dict[tuple[tuple[int, Layout], ...], Layout] = {}
_KEPT = 4096
"""Most layouts of either sort that are kept, as in the receiver."""


def layout_of(entries: Entries) -> Layout:
    """The layout of messages that are about to be sent; errors as of `layout_of_message`."""
    key = tuple([(exchange, message.layout or layout_of_message(message)) for exchange, message in entries])
    layout = _joined.get(key)
    if layout is None:
        layout = _found(entries)
        if sum([one.inline_total for _, one in key]) <= INLINE_TOTAL:  # else sizes decide what is inline
            if len(_joined) >= _KEPT:
                _joined.clear()
            _joined[key] = layout
    return layout


def layout_of_message(message: Message) -> Layout:
    """The layout of a frame of one message, which the message keeps.

    Raises FrameError for a dtype that frames do not carry or an array that is not C-contiguous.
    """
    if message.layout is None:
        object.__setattr__(message, "layout", _found(((0, message),)))
        assert message.layout is not None
    return message.layout


def _found(entries: Entries) -> Layout:
    left = INLINE_TOTAL
    keys = []
    for exchange, message in entries:
        arrays = []
        for name, array in message.arrays.items():
            size = array.nbytes
            small = size <= INLINE_BYTES and size <= left
            left -= size if small else 0
            arrays.append((name, array.dtype, array.shape, small))
            if not array.flags.c_contiguous:
                raise FrameError(f"message {message.kind!r}: array {name!r} should be C-contiguous.")
        scalars = tuple((name, type(value)) for name, value in message.scalars.items())
        keys.append((exchange, message.kind, scalars, tuple(arrays)))
    key = tuple(keys)
    layout = _known.get(key)
    if layout is None:
        if len(_known) >= _KEPT:
            _known.clear()
        layout = _known[key] = Layout(key, _pack_layout(key))
    return layout


def _pack_layout(messages: tuple[_MessageKey, ...]) -> bytes:
    return b"".join(_pack_message(*message) for message in messages)


def _pack_message(
    exchange: int, kind: str, scalars: tuple[tuple[str, type], ...], arrays: tuple[_ArrayKey, ...]
) -> bytes:
    where = f"message {kind!r}"
    if len(scalars) > _BYTE or len(arrays) > _BYTE:
        raise FrameError(
            f"{where}: at most {_BYTE} scalars and {_BYTE} arrays should be in one message. "
            f"Found {len(scalars)} and {len(arrays)}: put what belongs together into one array."
        )
    parts = [_MESSAGE.pack(exchange, len(_name(where, kind)), len(scalars), len(arrays)), kind.encode()]
    for name, kind_of in scalars:
        if kind_of not in _SCALARS:
            raise FrameError(f"{where}: scalar {name!r} should be int, float, bool or str. Found {kind_of}.")
        parts += [_SCALAR.pack(_SCALARS.index(kind_of), len(_name(where, name))), name.encode()]
    for name, dtype, shape, small in arrays:
        if dtype not in _DTYPE_CODE or len(shape) > _MAX_DIMENSIONS:
            raise FrameError(
                f"{where}: array {name!r} should have a plain numeric dtype and at most {_MAX_DIMENSIONS} "
                f"dimensions. Found {dtype} and {len(shape)}."
            )
        parts += [_ARRAY.pack(_DTYPE_CODE[dtype] * 2 + small, len(shape), len(_name(where, name)))]
        parts += [name.encode(), struct.pack(f"<{len(shape)}Q", *shape)]
    return b"".join(parts)


def _name(where: object, name: str) -> bytes:
    packed = name.encode()
    if len(packed) > _BYTE:
        raise FrameError(f"{where}: a name should have at most {_BYTE} bytes. Found {name!r}.")
    return packed


class _Reader:
    """Reads fields from bytes; too short or impossible is a FrameError."""

    def __init__(self, data: bytes | memoryview, where: object) -> None:
        self.data, self.at, self.where = data, 0, where

    def fail(self, what: str) -> FrameError:
        return FrameError(f"{self.where}: the layout is damaged: {what}.")

    def take(self, form: struct.Struct) -> tuple[int, ...]:
        if self.at + form.size > len(self.data):
            raise self.fail(f"{form.size} more bytes should follow, found {len(self.data) - self.at}")
        self.at += form.size
        return form.unpack_from(self.data, self.at - form.size)

    def text(self, length: int) -> str:
        piece = bytes(self.data[self.at : self.at + length])
        self.at += length
        try:
            if len(piece) == length:
                return piece.decode()
        except UnicodeDecodeError:
            pass
        raise self.fail(f"a text of {length} bytes should follow, found {piece!r}")


def parse_layout(packed: bytes, where: object) -> Layout:
    """The layout that a neighbour sent. Raises FrameError for what `_pack_layout` cannot have made."""
    reader = _Reader(packed, where)
    messages = []
    while reader.at < len(packed):
        exchange, kind_length, scalar_count, array_count = reader.take(_MESSAGE)
        kind = reader.text(kind_length)
        scalars = tuple(_read_scalar(reader) for _ in range(scalar_count))
        arrays = tuple(_read_array(reader) for _ in range(array_count))
        _once(reader, f"scalars of message {kind!r}", [key[0] for key in scalars])
        _once(reader, f"arrays of message {kind!r}", [key[0] for key in arrays])
        messages.append((exchange, kind, scalars, arrays))
    _once(reader, "messages", [message[0] for message in messages])
    return Layout(tuple(messages), packed)


def _once(reader: _Reader, what: str, names: Sequence[object]) -> None:
    """Of two things of one name the receiver would see the last alone."""
    if len(set(names)) < len(names):
        again = next(name for name in names if names.count(name) > 1)
        raise reader.fail(f"{what} should have different names or numbers, found {again!r} twice")


def _read_scalar(reader: _Reader) -> tuple[str, type]:
    code, length = reader.take(_SCALAR)
    if code >= len(_SCALARS):
        raise reader.fail(f"scalar type should be below {len(_SCALARS)}, found {code}")
    return reader.text(length), _SCALARS[code]


def _read_array(reader: _Reader) -> _ArrayKey:
    code, dimensions, length = reader.take(_ARRAY)
    if code // 2 >= len(DTYPES) or dimensions > _MAX_DIMENSIONS:
        raise reader.fail(
            f"dtype should be below {len(DTYPES)} and dimensions at most {_MAX_DIMENSIONS}, "
            f"found {code // 2} and {dimensions}"
        )
    name = reader.text(length)
    shape = reader.take(struct.Struct(f"<{dimensions}Q"))
    if math.prod(max(1, size) for size in shape) >= _MOST_VALUES:  # with a 0 the others must be sane too
        raise reader.fail(f"array {name!r} should be smaller than {_MOST_VALUES} values, found shape {shape}")
    return name, DTYPES[code // 2], shape, bool(code % 2)


def pack_values(layout: Layout, entries: Entries, checksums: tuple[int, ...]) -> bytes:
    """The values section: per message its room and scalars, then the checksums of the raw arrays."""
    flat = [value for _, m in entries for value in (m.room, *m.scalars.values())]
    try:
        packed = layout.values.pack(*flat) if layout.values else b"".join(map(_pack_value, flat))
    except struct.error:
        kinds = ", ".join(repr(message.kind) for _, message in entries)
        raise FrameError(
            f"scalars of message {kinds} should be integers of 64 bits and texts of at most 65535 bytes. "
            f"Found {str(flat)[:200]}: send what is larger as an array."
        ) from None
    return packed + struct.pack(f"<{len(checksums)}I", *checksums) if checksums else packed


def _pack_value(value: Scalar) -> bytes:
    if isinstance(value, str):
        text = value.encode()
        return _LENGTH.pack(len(text)) + text
    return _VALUE[type(value)].pack(value)


def unpack_values(
    layout: Layout, values: memoryview, checksums: int, where: object
) -> tuple[Sequence[Scalar], tuple[int, ...]]:
    """Rooms and scalars in order, and so many checksums. Raises FrameError when they do not fit."""
    if layout.values is not None and not checksums and len(values) == layout.values.size:
        plain: Sequence[Scalar] = layout.values.unpack(values)
        return (_with_flags(layout, plain) if layout.flags else plain), ()
    reader = _Reader(values, where)
    found: list[Scalar] = []
    for _, _, scalars, _ in layout.messages:
        for kind in (int, *(kind for _, kind in scalars)):
            if kind is str:
                found.append(reader.text(reader.take(_LENGTH)[0]))
            else:
                found.append(kind(reader.take(_VALUE[kind])[0]))
    crcs = reader.take(struct.Struct(f"<{checksums}I")) if checksums else ()
    if reader.at != len(values):
        raise reader.fail(f"{len(values) - reader.at} bytes of values too many")
    return found, crcs


def _with_flags(layout: Layout, values: Sequence[Scalar]) -> list[Scalar]:
    return [bool(value) if i in layout.flags else value for i, value in enumerate(values)]
