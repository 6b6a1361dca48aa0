"""The k largest scores: every form gives exactly the positions of the definition."""

import numpy as np
import pytest
import torch
from cuda_on_cpu import EmulatedDevice, needs_compiler
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mpidcl_kernels.base import threads
from mpidcl_kernels.sparse import cpu, cuda, top_k, top_k_change, top_k_change_definition, top_k_definition
from mpidcl_kernels.sparse import loops as sparse_loops

few = st.sampled_from([-np.inf, -2.0, -0.0, 0.0, 1e-45, 1.0, 2.0, 3.0, np.inf, np.nan])
scores = arrays(np.float32, st.integers(1, 300), elements=st.one_of(st.floats(width=32), few))
FORMS = [top_k, pytest.param(lambda x, k: cuda.top_k(EmulatedDevice(), x, None, k), marks=needs_compiler)]
CHANGE_FORMS = [
    top_k_change,
    pytest.param(lambda x, y, k: cuda.top_k(EmulatedDevice(), x, y, k), marks=needs_compiler),
]


@pytest.fixture
def any_threads():
    chosen = list(threads._chosen)
    yield threads.set_threads
    threads._chosen[:] = chosen


@pytest.mark.parametrize("form", FORMS)
@settings(max_examples=25)
@given(scores, st.booleans(), st.data())
def test_top_k_is_its_definition(form, values, double, data):
    values = values.astype(np.float64) if double else values
    k = data.draw(st.integers(1, values.size))
    np.testing.assert_array_equal(form(values, k), top_k_definition(values, k))


@pytest.mark.parametrize("form", CHANGE_FORMS)
@settings(max_examples=20)
@given(scores, st.booleans(), st.data())
def test_top_k_change_is_its_definition(form, model, double, data):
    kind = np.float64 if double else np.float32
    sent = data.draw(arrays(np.float32, model.size, elements=few)).astype(kind)
    k = data.draw(st.integers(1, model.size))
    with np.errstate(invalid="ignore", over="ignore"):
        wanted = top_k_change_definition(model.astype(kind), sent, k)
    np.testing.assert_array_equal(form(model.astype(kind), sent, k), wanted)


def cases(size):
    rng = np.random.default_rng(size)
    normal = rng.normal(size=size).astype(np.float32)
    yield "normal", normal
    yield "many equal", np.round(normal)
    yield "all equal", np.full(size, 2.5, np.float32)
    yield "all but one equal", np.where(np.arange(size) == size // 3, np.float32(1), np.float32(0))
    yield "ascending", np.sort(normal)
    yield "nowhere but at the end", np.where(np.arange(size) > size * 0.99, normal, np.float32(-9))
    yield "not finite", np.where(rng.random(size) < 0.3, np.float32(np.nan), np.float32(-np.inf))


@pytest.mark.parametrize("size", [1, 1023, 1024, 1025, 8192, 8193, 65_536, 65_537, 200_003])
@pytest.mark.parametrize("share", [0.0, 0.01, 0.1, 0.9])
def test_long_vectors(size, share):
    k = max(1, int(share * size))
    for name, values in cases(size):
        np.testing.assert_array_equal(top_k(values, k), top_k_definition(values, k), err_msg=name)
    double = values.astype(np.float64)
    np.testing.assert_array_equal(top_k(double, k), top_k_definition(double, k))


@needs_compiler
@pytest.mark.parametrize("size", [1, 4096, 9000])
@pytest.mark.parametrize("name", ["normal", "many equal"])
def test_cuda_with_several_tiles(size, name, monkeypatch):
    monkeypatch.setattr(cuda, "BLOCKS", 2)
    values = dict(cases(size))[name]
    k = max(1, size // 10)
    np.testing.assert_array_equal(cuda.top_k(EmulatedDevice(), values, None, k), top_k_definition(values, k))


@pytest.mark.parametrize(
    "limits", [(np.inf, np.inf), (9.0, 9.0), (-np.inf, -np.inf), (-9.0, 9.0), (0.0, 0.0)]
)
@pytest.mark.parametrize("k", [1, 700, 5000, 9999])
def test_a_sample_that_misleads_costs_time_and_nothing_else(limits, k, monkeypatch):
    wrong = tuple(np.float32(limit) for limit in limits)
    monkeypatch.setattr(cpu, "_limits", lambda *_: wrong)
    values = np.round(np.random.default_rng(0).normal(size=10_000) * 20).astype(np.float32)
    values[::50], values[1::70] = np.inf, -np.inf
    np.testing.assert_array_equal(top_k(values, k), top_k_definition(values, k))


def test_the_sample_finds_close_limits():
    values = np.random.default_rng(0).normal(size=400_000).astype(np.float32)
    for k in (1, 400, 40_000, 399_999):
        low, high = cpu._limits(values, values, False, k)
        assert np.count_nonzero(values > low) >= min(k, 399_999)
        assert np.count_nonzero(values > low) < k + 400_000 * 0.03 + 400
        assert np.count_nonzero(values > high) < k


@pytest.mark.parametrize("count", [2, 3])
def test_threads_change_nothing(count, any_threads):
    rng = np.random.default_rng(1)
    values, sent = np.round(rng.normal(size=(2, 5 * sparse_loops.PIECE + 3)) * 9).astype(np.float32)
    for k in (100, 30_000):
        any_threads(1)
        one = top_k(values, k), top_k_change(values, sent, k)
        any_threads(count)
        np.testing.assert_array_equal(top_k(values, k), one[0])
        np.testing.assert_array_equal(top_k_change(values, sent, k), one[1])
        np.testing.assert_array_equal(one[0], top_k_definition(values, k))


def test_pinned():
    nan = np.nan
    values = np.array([1, nan, -5, 3, np.inf, 3, 0, -0.0], np.float32)
    assert [top_k(values, k).tolist() for k in (1, 2, 3, 4, 6, 8)] == [
        [1],
        [1, 4],
        [1, 3, 4],
        [1, 3, 4, 5],
        [0, 1, 3, 4, 5, 6],
        list(range(8)),
    ]
    assert top_k_change(values, values[::-1].copy(), 4).tolist() == [1, 3, 4, 6]
    assert top_k(values[:0], 0).tolist() == []


def test_strided_and_unaligned_scores_and_the_dtype_of_out():
    wide = np.random.default_rng(0).normal(size=5000).astype(np.float32)
    unaligned = np.zeros(4 * wide.size + 1, np.uint8)[1:].view(np.float32)
    unaligned[:] = wide
    np.testing.assert_array_equal(top_k(unaligned, 50), top_k_definition(wide, 50))
    for dtype in (np.uint16, np.int32, np.int64):
        out = np.zeros(100, dtype)
        assert top_k(wide[::-2], 50, out=out[::2]).dtype == dtype
        np.testing.assert_array_equal(out[::2], top_k_definition(wide[::-2], 50))
        np.testing.assert_array_equal(out[1::2], 0)


def test_torch_tensors_in_place():
    model, sent = torch.arange(10.0), torch.zeros(10)
    out = torch.zeros(3, dtype=torch.int32)
    assert top_k_change(model, sent, 3, out=out).data_ptr() == out.data_ptr()
    assert out.tolist() == [7, 8, 9]
    assert top_k(model, 2).dtype == torch.int64


HUNDRED = np.ones(100, np.float32)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: top_k(HUNDRED, 250), ValueError, "`k` should be between 1 and 100. Found 250."),
        (lambda: top_k(HUNDRED, 0), ValueError, "`k` should be between 1 and 100. Found 0."),
        (lambda: top_k(HUNDRED, 2.0), TypeError, "`k` should be a whole number. Found 2.0."),
        (
            lambda: top_k(HUNDRED, 2, out=HUNDRED.view(np.int32)[:2]),
            ValueError,
            "`out` should be apart from `scores`. Found both in the same memory.",
        ),
        (lambda: top_k(HUNDRED[:0], 1), ValueError, "`k` should be between 0 and 0. Found 1."),
        (lambda: top_k(HUNDRED.astype(np.int32), 2), TypeError, "`scores` should be float32 or float64"),
        (lambda: top_k(HUNDRED.reshape(10, 10), 2), ValueError, "`scores` should be a vector"),
        (lambda: top_k(HUNDRED, 2, out=HUNDRED), TypeError, "`out` should be of an integer dtype"),
        (lambda: top_k(HUNDRED, 2, out=np.ones(3, int)), ValueError, r"`out` should be \[2\]"),
        (lambda: top_k(np.ones(300), 2, out=np.ones(2, np.uint8)), ValueError, "number 300 positions"),
        (
            lambda: top_k_change(HUNDRED, HUNDRED[:9], 2),
            ValueError,
            r"`sent` should be \[100\]. Found \[9\].",
        ),
        (
            lambda: top_k_change(HUNDRED, np.ones(100), 2),
            TypeError,
            "`sent` should be float32. Found float64.",
        ),
    ],
)
def test_what_does_not_fit_is_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()
