"""Writes and reads of rows by number: every layout and dtype, every form, whatever goes wrong."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from cuda_on_cpu import EmulatedDevice, needs_compiler
from hypothesis import given, settings
from hypothesis import strategies as st

from mpidcl_kernels import gather
from mpidcl_kernels.base import threads
from mpidcl_kernels.gather import cuda

SETTINGS = settings(max_examples=150)
RECORD = np.dtype([("x", np.float32, (2,)), ("y", np.uint8)])
DTYPES = [np.dtype(d) for d in ("f4", "f8", "u1", "i2", "?", "c16", "U3", "M8[s]", ">i4")] + [RECORD]
LAYOUTS = ["contiguous", "backwards", "every second", "column", "unaligned", "inside out"]


def filled(shape: tuple[int, ...], dtype: np.dtype[Any], seed: int) -> np.ndarray:
    """Rows of random bytes that are values of the dtype; NaN and Inf of all kinds are among the floats."""
    bytes_of = np.random.default_rng(seed).integers(
        0, 2 if dtype.kind in "bU" else 256, (*shape, dtype.itemsize)
    )
    if dtype.kind == "U":  # a character of 4 bytes: more than its low ones would be no character at all
        bytes_of.reshape(-1, 4)[:, 1:] = 0
    return np.ascontiguousarray(bytes_of.astype(np.uint8)).view(dtype)[..., 0]


def laid_out(values: np.ndarray, layout: str) -> np.ndarray:
    """The same values in other memory; what lies between them is zero."""
    shape, dtype = values.shape, values.dtype
    if layout == "backwards":
        array = np.zeros(shape, dtype)[::-1]
    elif layout == "every second":
        array = np.zeros((2 * shape[0], *shape[1:]), dtype)[1::2]
    elif layout == "column":
        array = np.zeros(shape[0], [("before", "u1"), ("own", dtype, shape[1:]), ("after", "u1")])["own"]
    elif layout == "unaligned":
        array = np.zeros(values.nbytes + 1, np.uint8)[1:].view(dtype).reshape(shape)
    elif layout == "inside out":
        array = np.zeros(shape[::-1], dtype).T
    else:
        array = np.zeros(shape, dtype)
    array[...] = values
    return array


def same(a: np.ndarray, b: np.ndarray) -> None:
    assert a.dtype == b.dtype and a.shape == b.shape
    assert np.ascontiguousarray(a).tobytes() == np.ascontiguousarray(b).tobytes()


@st.composite
def tasks(draw: Callable[..., Any]) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """A store, rows of another layout, slots for them, and numbers of rows to read."""
    dtype, row = draw(st.sampled_from(DTYPES)), draw(st.sampled_from([(), (1,), (3,), (2, 3), (0,), (67,)]))
    count, offered, seed = draw(st.integers(0, 12)), draw(st.integers(0, 40)), draw(st.integers(0, 99))
    store = laid_out(filled((count, *row), dtype, seed), draw(st.sampled_from(LAYOUTS)))
    rows = laid_out(filled((offered, *row), dtype, seed + 1), draw(st.sampled_from(LAYOUTS)))
    rng = np.random.default_rng(seed)
    slots = rng.integers(-1, count, offered)
    index = rng.integers(0, count, offered) if count else np.empty(0, np.int64)
    return store, rows, slots.astype(draw(st.sampled_from(["i8", "i4", ">i8"]))), index


@SETTINGS
@given(tasks())
def test_insert_is_its_definition(task):
    store, rows, slots, _ = task
    wanted = gather.insert_definition(store, rows, slots)
    around = store.base.copy() if store.base is not None and store.base.dtype.names else None
    gather.insert_rows(store, rows, slots)
    same(store, wanted)
    if around is not None:
        for name in {"before", "after"} & set(around.dtype.names):
            same(store.base[name], around[name])


@SETTINGS
@given(tasks(), st.sampled_from([None, *LAYOUTS]))
def test_gather_is_its_definition(task, layout):
    store, _, _, index = task
    wanted = gather.gather_definition(store, index)
    out = None if layout is None else laid_out(np.zeros_like(wanted), layout)
    found = gather.gather_rows(store, index, out)
    same(found, wanted)
    assert out is None or found is out


@needs_compiler
@settings(max_examples=40)
@given(tasks())
def test_cuda_is_the_definition(task):
    store, rows, slots, index = task
    slots = slots.astype(np.int64)
    wanted = gather.insert_definition(store, rows, slots), gather.gather_definition(store, index)
    same(cuda.gather(EmulatedDevice(), store, index, None), wanted[1])
    out = np.zeros_like(wanted[1])
    assert cuda.gather(EmulatedDevice(), store, index, out) is out
    same(out, wanted[1])
    cuda.insert(EmulatedDevice(), store, rows, slots)
    same(store, wanted[0])


@needs_compiler
@pytest.mark.parametrize(
    ("width", "dtype"), [(5000, "f4"), (5001, "f4"), (5001, "i2"), (20001, "u1"), (2048, "f8")]
)
def test_cuda_copies_rows_longer_than_a_block(width, dtype):
    device, store = EmulatedDevice(), filled((5, width), np.dtype(dtype), 0)
    same(cuda.gather(device, store, np.array([4, 0, 4]), None), store[[4, 0, 4]])
    rows = filled((3, width), np.dtype(dtype), 1)
    cuda.insert(device, store, rows, np.array([2, -1, 2]))
    same(store[2], rows[2])
    assert device.launches == 2


@needs_compiler
def test_cuda_rows_and_store_may_overlap():
    store = np.arange(6.0).reshape(6, 1)
    cuda.insert(EmulatedDevice(), store, store[:5], np.arange(1, 6))
    assert store[:, 0].tolist() == [0, 0, 1, 2, 3, 4]
    cuda.gather(EmulatedDevice(), store, np.arange(5), store[1:])
    assert store[:, 0].tolist() == [0, 0, 0, 1, 2, 3]


@pytest.mark.parametrize("first", [0, 1, 16, 40])
@pytest.mark.parametrize("width", [1, 63, 64, 65, 200, 256, 1000, 4096])
def test_a_store_larger_than_caches_gets_its_rows_and_nothing_else(width, first):
    count = (1 << 26) // width + 1
    block = np.zeros(count * width + 64 + first, np.uint8)
    begin = -block.ctypes.data % 64 + first
    store = block[begin : begin + count * width].reshape(count, width)
    rng = np.random.default_rng(0)
    slots = rng.integers(-1, count, 60)
    slots[:4] = count - 1, 0, slots[40], slots[41]
    rows = rng.integers(1, 256, (60, width)).astype(np.uint8)
    gather.insert_rows(store, rows, slots)
    kept = gather.last_of_each(slots)
    same(gather.gather_rows(store, slots[kept]), rows[kept])
    assert np.count_nonzero(block) == kept.size * width


@pytest.fixture
def number_of_threads():
    before = list(threads._chosen)
    yield threads.set_threads
    threads._chosen[:] = before


@pytest.fixture(autouse=True)
def threads_read_sooner(monkeypatch):
    """As for writing: arrays of a few megabytes show what larger ones do."""
    monkeypatch.setattr(gather, "THREADS_PAY_READING", gather.THREADS_PAY)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_threads_change_nothing(count, number_of_threads):
    number_of_threads(count)
    rng = np.random.default_rng(0)
    store, rows = rng.random((9, 50_001)), rng.random((24, 50_001))
    slots = rng.integers(-1, 9, 24)
    assert rows.nbytes >= gather.THREADS_PAY and rows[0].nbytes >= 2 * gather.PIECE
    wanted = gather.insert_definition(store, rows, slots)
    gather.insert_rows(store, rows, slots)
    same(store, wanted)
    index = rng.integers(0, 9, 24)
    same(gather.gather_rows(store, index), store[index])
    long = rng.random((300_000, 2))
    same(gather.gather_rows(long, np.arange(299_999, -1, -1)), long[::-1])


@pytest.mark.parametrize("width", [2, 100_000], ids=["short", "by threads"])
def test_rows_and_store_may_overlap(width):
    values = np.arange(12.0)[:, None] + np.zeros(width)
    store = values.copy()
    gather.insert_rows(store, store[:11], np.arange(1, 12))
    assert store[:, 0].tolist() == [0, *range(11)] and (store == store[:, :1]).all()
    store = values.copy()
    gather.gather_rows(store, np.arange(11), store[1:])
    assert store[:, 0].tolist() == [0, *range(11)] and (store == store[:, :1]).all()


def test_numbers_that_are_overwritten_were_read_before():
    numbers = np.arange(8)
    store = np.full((8, 1), 1 << 40)
    assert gather.gather_rows(store, numbers, numbers[:, None])[:, 0].tolist() == [1 << 40] * 8
    slots = np.arange(8)
    gather.insert_rows(slots[:, None], store, slots)
    assert slots.tolist() == [1 << 40] * 8


PINNED = [
    ([0, 1, 2], [[1, 1], [2, 2], [3, 3], [0, 0]]),
    ([3, -1, 3], [[0, 0], [0, 0], [0, 0], [3, 3]]),
    ([-1, -1, -1], [[0, 0], [0, 0], [0, 0], [0, 0]]),
    ([2, 2, 0], [[3, 3], [0, 0], [2, 2], [0, 0]]),
]


@pytest.mark.parametrize(("slots", "wanted"), PINNED)
def test_pinned_inserts(slots, wanted):
    store, rows = np.zeros((4, 2), np.float32), np.array([[1, 1], [2, 2], [3, 3]], np.float32)
    gather.insert_rows(store, rows, np.array(slots))
    assert store.tolist() == wanted


def test_one_row_may_be_given_many_times_and_need_not_be_writable():
    store, row = np.zeros((3, 2), np.float32), np.array([1, 2], np.float32)
    gather.insert_rows(store, np.broadcast_to(row, (2, 2)), np.array([0, 2]))
    assert store.tolist() == [[1, 2], [0, 0], [1, 2]]
    store.flags.writeable = False
    assert gather.gather_rows(store, np.array([2])).tolist() == [[1, 2]]


def test_torch_tensors_are_written_in_place_and_come_back_as_tensors():
    store, rows = torch.zeros(5, 3), torch.ones(2, 3)
    address = store.data_ptr()
    gather.insert_rows(store, rows, torch.tensor([4, 1]))
    assert store.data_ptr() == address and store.sum(1).tolist() == [0, 3, 0, 0, 3]
    gather.insert_rows(store[:, 1:2], rows[:, :1], np.array([0, 0]))
    assert store[0].tolist() == [0, 1, 0]
    found = gather.gather_rows(store, torch.tensor([4]))
    assert isinstance(found, torch.Tensor) and found.tolist() == [[1, 1, 1]]
    out = torch.zeros(1, 3)
    assert gather.gather_rows(store, np.array([4]), out) is out and out.tolist() == [[1, 1, 1]]


STORE = np.zeros((100, 3), np.float32)
ROW = np.ones((1, 3), np.float32)


@pytest.mark.parametrize(
    ("number", "message"),
    [
        (250, "`slots` should be between -1 and 99. Found 250."),
        (100, "`slots` should be between -1 and 99. Found 100."),
        (-2, "`slots` should be between -1 and 99. Found -2."),
    ],
)
@pytest.mark.parametrize("width", [3, 70_000], ids=["short", "by threads"])
def test_a_slot_outside_is_refused_before_anything_is_written(number, message, width):
    store, rows = np.zeros((100, width), np.float32), np.ones((20, width), np.float32)
    with pytest.raises(ValueError, match="^" + message.replace(".", r"\.") + "$"):
        gather.insert_rows(store, rows, np.array([*range(19), number]))
    assert not store.any()


@pytest.mark.parametrize("number", [250, 100, -1])
@pytest.mark.parametrize("width", [3, 70_000], ids=["short", "by threads"])
def test_an_index_outside_is_refused_before_anything_is_written(number, width):
    store, out = np.zeros((100, width), np.float32), np.ones((20, width), np.float32)
    with pytest.raises(ValueError, match=rf"^`index` should be between 0 and 99\. Found {number}\.$"):
        gather.gather_rows(store, np.array([*range(19), number]), out)
    assert out.all()


@pytest.mark.parametrize("store", [STORE[:0], STORE[:, :0], STORE.T[:, :0], STORE[:, ::2]])
def test_numbers_are_checked_for_every_layout(store):
    with pytest.raises(ValueError, match=r"`index` should be .*\. Found 700\."):
        gather.gather_rows(store, np.array([700]))
    with pytest.raises(ValueError, match=r"`slots` should be between -1 and .*\. Found 700\."):
        gather.insert_rows(store, np.ones((1, store.shape[1]), np.float32), np.array([700]))


def read_only() -> np.ndarray:
    store = STORE.copy()
    store.flags.writeable = False
    return store


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((STORE, ROW, np.array([1.0])), TypeError, "`slots` should be a vector of integers. Found float64"),
        ((STORE, ROW, np.array([[1]])), TypeError, "`slots` should be a vector of integers"),
        ((STORE, ROW, np.array([True])), TypeError, "`slots` should be a vector of integers. Found bool"),
        ((STORE, ROW, np.array([2**64 - 1], np.uint64)), ValueError, "Found 9223372036854775807"),
        ((STORE, ROW.astype(float), np.array([1])), TypeError, "`rows` should be float32, like `store`"),
        ((STORE, ROW, np.array([1, 2])), ValueError, r"`rows` should be \[2, 3\], a row for each of `slots`"),
        ((STORE, ROW[0], np.array([1])), ValueError, r"Found \[3\]"),
        ((STORE.astype(object), ROW, np.array([1])), TypeError, "without Python objects"),
        ((np.float32(1), ROW, np.array([1])), TypeError, "`store` should be a NumPy or CuPy array"),
        ((np.ones(()), np.ones(1), np.array([1])), TypeError, "`store` should be rows"),
        ((STORE, ROW, [1]), TypeError, "`slots` should be a NumPy or CuPy array or a torch tensor"),
        ((read_only(), ROW, np.array([1])), ValueError, "`store` should be an array that can be written"),
    ],
)
def test_what_does_not_fit_is_refused(arguments, error, message):
    with pytest.raises(error, match=message):
        gather.insert_rows(*arguments)


@pytest.mark.parametrize(
    ("out", "error", "message"),
    [
        (np.empty((2, 3), np.float32), ValueError, r"`out` should be \[1, 3\]"),
        (np.empty((1, 3)), TypeError, "`out` should be float32"),
        (read_only()[:1], ValueError, "`out` should be an array that can be written"),
    ],
)
def test_an_out_that_does_not_fit_is_refused(out, error, message):
    with pytest.raises(error, match=message):
        gather.gather_rows(STORE, np.array([1]), out)


def test_one_compiled_form_serves_all():
    loops = gather._loops()
    for dtype in DTYPES:
        for layout in LAYOUTS[:5]:
            store = laid_out(filled((4, 3), dtype, 0), layout)
            gather.insert_rows(store, filled((2, 3), dtype, 1), np.array([0, 1]))
            gather.gather_rows(store, np.array([1])[::-1])
    assert len(loops.insert.signatures) == len(loops.gather.signatures) == 1
