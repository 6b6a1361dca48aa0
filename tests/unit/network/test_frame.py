"""Frames: what goes in comes out, and whatever is damaged is a FrameError that names the link."""

import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from mpidcl.errors import FrameError
from mpidcl.network.frames import layout as layouts
from mpidcl.network.frames.frame import (
    HEAD_BYTES,
    PREFIX,
    PREFIX_BYTES,
    Address,
    close_frame,
    message_bytes,
    open_head,
    pack,
)
from mpidcl.network.frames.layout import DTYPES, INLINE_BYTES, INLINE_TOTAL, parse_layout
from mpidcl.network.frames.message import Message

HERE = Address(3, 7, 41, 1)

names = st.text(max_size=12)
scalars = st.dictionaries(
    names,
    st.one_of(st.booleans(), st.integers(-(2**63), 2**63 - 1), st.floats(), st.text(max_size=40)),
    max_size=4,
)
arrays = st.dictionaries(
    names,
    st.sampled_from(DTYPES).flatmap(
        lambda dtype: hnp.arrays(dtype, hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4))
    ),
    max_size=3,
)
messages = st.builds(Message, names, scalars, arrays, st.integers(0, 2**62), st.just(0))
entries = st.dictionaries(st.integers(0, 9), messages, max_size=3).map(lambda found: tuple(found.items()))


def carried(packed):
    """The same bytes somewhere else, as after a journey."""
    return memoryview(bytearray(packed.head)), [array.copy() for array in packed.raw]


def journey(items, checksum_all=False, limit=None):
    head, raw = carried(pack(HERE, items, checksum_all))
    return close_frame(open_head(head, HERE, limit), raw)


def assert_same(sent, came):
    assert [number for number, _ in sent] == [number for number, _ in came]
    for (_, a), (_, b) in zip(sent, came, strict=True):
        assert (a.kind, a.room) == (b.kind, b.room)
        assert list(a.scalars) == list(b.scalars)
        for x, y in zip(a.scalars.values(), b.scalars.values(), strict=True):
            assert type(x) is type(y)
            assert struct.pack("<d", x) == struct.pack("<d", y) if isinstance(x, float) else x == y
        assert list(a.arrays) == list(b.arrays)
        for x, y in zip(a.arrays.values(), b.arrays.values(), strict=True):
            assert (x.dtype, x.shape) == (y.dtype, y.shape)
            assert x.tobytes() == y.tobytes()
            assert y.flags.c_contiguous
            assert y.flags.aligned


def size_of(packed):
    return len(packed.head) + sum(array.nbytes for array in packed.raw)


# --- there and back ------------------------------------------------------------------------------


@given(entries, st.booleans())
def test_what_goes_in_comes_out(items, checksum_all):
    assert_same(items, journey(items, checksum_all))


@given(entries)
def test_a_frame_takes_its_header_and_its_messages_and_nothing_else(items):
    assert size_of(pack(HERE, items)) == PREFIX_BYTES + sum(message_bytes(message) for _, message in items)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("size", [0, 1, INLINE_BYTES + 1])
def test_every_dtype_small_and_large(dtype, size):
    array = np.random.default_rng(0).integers(0, 2, size).astype(dtype)
    items = ((0, Message("m", {}, {"x": array})),)
    packed = pack(HERE, items)
    assert bool(packed.raw) == (array.nbytes > INLINE_BYTES)
    assert_same(items, journey(items))
    assert size_of(packed) == PREFIX_BYTES + message_bytes(items[0][1])


@pytest.mark.parametrize(
    "shape", [(), (0,), (1,), (0, 5), (5, 0, 3), (2, 3, 4), (1,) * 8, (5000,), (50, 200), (1, 1, 9000)]
)
def test_shapes(shape):
    array = np.arange(np.prod(shape), dtype=np.float64).reshape(shape)
    items = ((2, Message("m", {"n": 1}, {"x": array, "y": array})),)
    assert_same(items, journey(items))


def test_large_arrays_are_sent_from_the_owners_memory_and_small_ones_are_copied():
    large, small = np.zeros(INLINE_BYTES, np.float32), np.zeros(8, np.float32)
    packed = pack(HERE, ((0, Message("m", {}, {"large": large, "small": small})),))
    assert len(packed.raw) == 1
    assert np.shares_memory(packed.raw[0], large)
    small[:] = 1
    head = open_head(memoryview(packed.head), HERE, None)
    assert close_frame(head, list(packed.raw))[0][1].arrays["small"].sum() == 0


def test_many_small_arrays_travel_raw_when_the_head_is_full():
    array = np.arange(INLINE_BYTES, dtype=np.uint8)
    items = tuple((n, Message("m", {}, {"x": array + n})) for n in range(7))
    packed = pack(HERE, items)
    assert len(packed.raw) == 7 - INLINE_TOTAL // INLINE_BYTES
    assert_same(items, journey(items))
    assert size_of(packed) == PREFIX_BYTES + sum(message_bytes(message) for _, message in items)


def test_an_empty_frame_is_its_header():
    assert len(pack(HERE, ()).head) == PREFIX_BYTES
    assert journey((), limit=PREFIX_BYTES) == ()


def test_equal_frames_have_equal_bytes_and_share_their_layout():
    made = [pack(HERE, ((0, Message("m", {"n": 5}, {"x": np.arange(3)})),)) for _ in range(2)]
    assert made[0].head == made[1].head
    assert layouts.layout_of(((0, Message("m", {"n": 5}, {"x": np.arange(3)})),)) is layouts.layout_of(
        ((0, Message("m", {"n": 9}, {"x": np.zeros(3, np.int64)})),)
    )


def test_caches_are_bounded(monkeypatch):
    monkeypatch.setattr(layouts, "_known", {})
    for n in range(5000):
        layouts.layout_of(((0, Message("m", {}, {"x": np.empty((n, 0))})),))
    assert len(layouts._known) <= 4096


# --- damage --------------------------------------------------------------------------------------

SAMPLE = (
    (0, Message("ask", {"n": 3, "x": 0.5, "yes": True, "text": "Grüße"},
                {"a": np.arange(5.0), "b": np.zeros((0, 3))}, 99)),
    (1, Message("model", {"n": 3}, {"w": np.arange(INLINE_BYTES, dtype=np.float32)})),
)  # fmt: skip


@pytest.mark.parametrize("flip", [0x01, 0x80, 0xFF])
def test_every_damaged_byte_of_the_head_is_found(flip):
    good = pack(HERE, SAMPLE).head
    for at in range(len(good)):
        bad = bytearray(good)
        bad[at] ^= flip
        with pytest.raises(FrameError, match="link 3 -> 7, frame 41, leg 1"):
            open_head(memoryview(bad), HERE, None)


def test_every_damaged_byte_of_large_arrays_is_found_with_checksum_all():
    packed = pack(HERE, SAMPLE, checksum_all=True)
    head, raw = carried(packed)
    opened = open_head(head, HERE, None)
    for at in range(0, raw[0].size, 97):
        raw[0][at] ^= 1
        with pytest.raises(FrameError, match="checksum of large array 0"):
            close_frame(opened, raw)
        raw[0][at] ^= 1
    assert_same(SAMPLE, close_frame(opened, raw))


def test_without_checksum_all_mpi_is_trusted_for_large_arrays():
    head, raw = carried(pack(HERE, SAMPLE))
    raw[0][0] ^= 1
    assert close_frame(open_head(head, HERE, None), raw)[1][1].arrays["w"][0] != 0


def test_every_truncation_is_found():
    good = pack(HERE, SAMPLE).head
    for length in range(len(good)):
        with pytest.raises(FrameError, match="length of the head"):
            open_head(memoryview(good)[:length], HERE, None)
    with pytest.raises(FrameError, match="length of the head"):
        open_head(memoryview(good + b"\0"), HERE, None)


@pytest.mark.parametrize(
    "expected", [Address(4, 7, 41, 1), Address(3, 8, 41, 1), Address(3, 7, 40, 1), Address(3, 7, 41, 0)]
)
def test_a_frame_that_belongs_elsewhere_is_found(expected):
    with pytest.raises(FrameError) as error:
        open_head(memoryview(pack(HERE, SAMPLE).head), expected, None)
    text = str(error.value)
    assert f"link {expected.source} -> {expected.target}" in text
    assert "address (source, target, number, leg)" in text
    assert "Found (3, 7, 41, 1)" in text


def test_a_frame_over_the_budget_is_found():
    packed = pack(HERE, SAMPLE)
    open_head(memoryview(packed.head), HERE, size_of(packed))
    with pytest.raises(FrameError, match=f"at most {size_of(packed) - 1} bytes. Found {size_of(packed)}"):
        open_head(memoryview(packed.head), HERE, size_of(packed) - 1)


def test_looking_for_faults_takes_no_budget():
    limit = size_of(pack(HERE, SAMPLE))
    packed = pack(HERE, SAMPLE, checksum_all=True)
    assert size_of(packed) > limit
    open_head(memoryview(packed.head), HERE, limit)


def resealed(head):
    """A forged head whose crc is right: what only a program with a mistake would send."""
    head[PREFIX.size : PREFIX_BYTES] = struct.pack(
        "<I", zlib.crc32(head[PREFIX_BYTES:], zlib.crc32(head[: PREFIX.size]))
    )
    return memoryview(head)


@given(st.data())
@settings(max_examples=300)
def test_forged_heads_are_refused_or_harmless(data):
    """Whatever stands in the layout: a FrameError, or messages no larger than what came."""
    head = pack(HERE, SAMPLE).head
    for _ in range(data.draw(st.integers(1, 4))):
        head[data.draw(st.integers(PREFIX_BYTES, len(head) - 1))] = data.draw(st.integers(0, 255))
    try:
        opened = open_head(resealed(head), HERE, HEAD_BYTES)
        entries = close_frame(opened, [np.zeros(size, np.uint8) for size in opened.layout.raw_bytes])
    except FrameError:
        return
    came = len(opened.inline) + sum(opened.layout.raw_bytes)
    assert sum(message.payload_bytes() for _, message in entries) <= came


@pytest.mark.parametrize("flags", [2, 128, 255])
def test_flags_that_nobody_knows_are_refused(flags):
    head = pack(HERE, SAMPLE).head
    head[5] = flags
    with pytest.raises(FrameError, match=f"flags that are not known should be 0. Found {flags & ~1}"):
        open_head(resealed(head), HERE, None)


@pytest.mark.parametrize("texts", [{}, {"text": "one"}])
def test_a_negative_room_is_refused(texts):
    """Whether the values are unpacked at once or, where there is a text, one by one; in any message."""
    packed = pack(HERE, ((0, Message("a", {"n": -1, **texts})), (1, Message("b", room=-1))))
    with pytest.raises(FrameError, match="room for an answer should be 0 bytes or more. Found -1"):
        open_head(memoryview(packed.head), HERE, None)


def forged_layout(shape, code=2 * 10 + 1, dimensions=None):
    packed = struct.pack("<HBBB", 0, 1, 0, 1) + b"m"
    packed += struct.pack("<BBB", code, len(shape) if dimensions is None else dimensions, 1) + b"x"
    return packed + struct.pack(f"<{len(shape)}Q", *shape)


@pytest.mark.parametrize(
    ("packed", "word"),
    [
        (forged_layout((2**63, 2)), "smaller than"),
        (forged_layout((2**48,)), "smaller than"),
        (forged_layout((0, 2**62)), "smaller than"),
        (forged_layout((2**24, 2**24)), "smaller than"),
        (forged_layout((1,) * 9), "dimensions at most 8"),
        (forged_layout((1,), code=2 * len(DTYPES)), "dtype should be below"),
        (forged_layout((1,), dimensions=2), "more bytes should follow"),
        (forged_layout((1,))[:9], "a text of 1 bytes should follow"),
        (struct.pack("<HBBB", 0, 2, 0, 0) + b"\xff\xff", "a text of 2 bytes should follow"),
        (struct.pack("<HBBB", 0, 0, 1, 0) + b"\x09\x00", "scalar type should be below"),
        (b"\x00", "more bytes should follow"),
        (struct.pack("<HBBB", 3, 1, 0, 0) + b"a" + struct.pack("<HBBB", 3, 1, 0, 0) + b"b", "found 3 twice"),
        (
            struct.pack("<HBBB", 0, 1, 2, 0) + b"m" + 2 * b"\x01\x01s",
            "scalars of message 'm'.*found 's' twice",
        ),
        (struct.pack("<HBBB", 0, 1, 0, 2) + b"m" + 2 * b"\x01\x00\x01a", "arrays of message 'm'.*'a' twice"),
    ],
)
def test_impossible_layouts(packed, word):
    with pytest.raises(FrameError, match=word) as error:
        parse_layout(packed, "link 0 -> 1")
    assert str(error.value).startswith("link 0 -> 1: the layout is damaged: ")


def test_a_declared_size_that_is_not_there_is_found():
    head = pack(HERE, ((0, Message("m", {}, {"x": np.zeros(4, np.float32)})),)).head
    at = bytes(head).index(struct.pack("<Q", 4), PREFIX_BYTES)
    head[at : at + 8] = struct.pack("<Q", 2**40)
    with pytest.raises(FrameError, match="bytes of arrays should be"):
        open_head(resealed(head), HERE, None)


def test_values_that_do_not_fit_the_layout():
    head = pack(HERE, ((0, Message("m", {"t": "four"}, {})),)).head
    at = bytes(head).index(struct.pack("<H", 4) + b"four")
    head[at] = 200
    with pytest.raises(FrameError, match="a text of 200 bytes should follow"):
        open_head(resealed(head), HERE, None)
    head[at] = 3
    with pytest.raises(FrameError, match="1 bytes of values too many"):
        open_head(resealed(head), HERE, None)


# --- what cannot be sent -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("message", "word"),
    [
        (Message("m", {}, {"x": np.zeros((4, 4))[:, ::2]}), "array 'x' should be C-contiguous"),
        (Message("m", {}, {"x": np.zeros((4, 5)).T}), "array 'x' should be C-contiguous"),
        (Message("m", {}, {"x": np.array(["a"])}), "plain numeric dtype"),
        (Message("m", {}, {"x": np.array([None])}), "plain numeric dtype"),
        (Message("m", {}, {"x": np.zeros(3, ">f4")}), "plain numeric dtype"),
        (Message("m", {}, {"x": np.zeros(3, "f4,i4")}), "plain numeric dtype"),
        (Message("m", {}, {"x": np.zeros(3, "M8[s]")}), "plain numeric dtype"),
        (Message("m", {}, {"x": np.zeros((1,) * 9)}), "at most 8"),
        (Message("m", {"n": np.int64(3)}, {}), "scalar 'n' should be int, float, bool or str"),
        (Message("m", {"n": None}, {}), "scalar 'n' should be int, float, bool or str"),
        (Message("m", {"n": 2**63}, {}), "integers of 64 bits"),
        (Message("m", {"n": 1, "t": "x" * 65536}, {}), "texts of at most 65535 bytes"),
        (Message("k" * 256, {}, {}), "a name should have at most 255 bytes"),
        (Message("m", {"n" * 256: 1}, {}), "a name should have at most 255 bytes"),
        (Message("m", {}, {"é" * 128: np.zeros(1)}), "a name should have at most 255 bytes"),
        (Message("m", {str(n): n for n in range(256)}, {}), "at most 255 scalars"),
        (Message("m", {}, {str(n): np.zeros(1) for n in range(256)}), "255 arrays"),
        (Message("m", {"t": "x" * 65000}, {"x": np.zeros(1000)}), "the head of a frame should take at most"),
    ],
)
def test_what_frames_do_not_carry(message, word):
    with pytest.raises(FrameError, match=word):
        pack(HERE, ((0, message),))


@pytest.mark.parametrize("values", [(10, 10), (2000, 2000), (2040, 2040, 2040, 2040, 2040), (2040, 9000, 3)])
def test_a_frame_is_the_same_whether_its_messages_were_looked_at_before_or_not(values):
    def entries():
        arrays = [np.arange(count, dtype=np.float32) for count in values]
        return tuple((n, Message("m", {"n": n}, {"a": one, "b": one[:7]})) for n, one in enumerate(arrays))

    address, known = Address(0, 1, 5, 0), entries()
    for _, message in known:
        message_bytes(message)
    for _ in range(2):
        fresh, again = pack(address, entries()), pack(address, known)
        assert fresh.head == again.head
        assert [one.tobytes() for one in fresh.raw] == [one.tobytes() for one in again.raw]
    small = sum(array.nbytes for _, m in known for array in m.arrays.values()) - sum(map(len, fresh.raw))
    assert small <= INLINE_TOTAL
