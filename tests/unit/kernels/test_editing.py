"""Editing of rows: the compiled loop and the CUDA source against the float64 definition, memory, NaN."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from cuda_on_cpu import EmulatedDevice, needs_compiler
from hypothesis import given, settings
from hypothesis import strategies as st

from mpidcl_kernels import editing
from mpidcl_kernels.base import threads
from mpidcl_kernels.editing import cuda, edit_definition, edit_pixels

SETTINGS = settings(max_examples=60)


@pytest.fixture(autouse=True)
def one_thread():
    before = threads._chosen.copy()
    threads.set_threads(1)
    yield
    threads._chosen[:] = before


def on_gpu_source(x, direction, step, low, high, out=None, max_norm=None):
    limit = math.inf if max_norm is None else max_norm
    bounds = (float(low), float(high), limit)
    return cuda.edit(EmulatedDevice(), x, direction, step, bounds, x if out is None else out)


FORMS = [edit_pixels, pytest.param(on_gpu_source, marks=needs_compiler)]


def images(shape, seed, dtype=np.float32):
    rng = np.random.default_rng(seed)
    return rng.random(shape).astype(dtype), rng.normal(size=shape).astype(dtype)


@st.composite
def problems(draw):
    """x, direction, step (a number or one per row), bounds and a limit or none."""
    n, trailing = draw(st.integers(0, 9)), draw(st.sampled_from([(), (0,), (1,), (37,), (300,), (3, 5, 7)]))
    x, direction = images(
        (n, *trailing), draw(st.integers(0, 99)), draw(st.sampled_from([np.float32, np.float64]))
    )
    step = draw(st.floats(-2, 2))
    if draw(st.booleans()):
        step = np.linspace(-1, step, n)
    low, high = draw(st.sampled_from([(0.0, 1.0), (-math.inf, 0.5), (0.25, 0.25), (-math.inf, math.inf)]))
    return x, direction, step, low, high, draw(st.sampled_from([None, 0.0, 0.3, 5.0]))


def check(edit, problem, out=None):
    x, direction, step, low, high, limit = problem
    expected, displacement = edit_definition(
        x, direction, step, low, high, math.inf if limit is None else limit
    )
    before = x.copy(), direction.copy()
    found = edit(x, direction, step, low, high, out, limit)
    exact = x.dtype == np.float64
    tolerance = {"rtol": 1e-13, "atol": 1e-14} if exact else {"rtol": 1e-6, "atol": 1e-6}
    np.testing.assert_allclose(x if out is None else out, expected, **tolerance)
    assert found.dtype == np.float64 and found.shape == (len(x),)
    np.testing.assert_allclose(found, displacement, rtol=tolerance["rtol"], atol=1e-5 if not exact else 1e-12)
    if out is not None and out is not x:
        np.testing.assert_array_equal(x, before[0])
    if out is not direction:
        np.testing.assert_array_equal(direction, before[1])


@pytest.mark.parametrize("apart", [False, True])
@SETTINGS
@given(problem=problems())
def test_the_loop_is_its_definition(apart, problem):
    check(edit_pixels, problem, np.empty_like(problem[0]) if apart else None)


@needs_compiler
@pytest.mark.parametrize("apart", [False, True])
@settings(max_examples=15)
@given(problem=problems())
def test_the_gpu_source_is_the_definition(apart, problem):
    check(on_gpu_source, problem, np.empty_like(problem[0]) if apart else None)


@SETTINGS
@given(problems(), st.integers(0, 99))
def test_displacement_is_the_length_of_what_changed(problem, seed):
    x, direction, step, low, high, limit = problem
    before = x.copy()
    moved = edit_pixels(x, direction, step, low, high, max_norm=limit)
    change = (x.astype(np.float64) - before).reshape(len(x), math.prod(x.shape[1:]))
    np.testing.assert_allclose(moved, np.sqrt((change**2).sum(1)), rtol=1e-12, atol=1e-15)
    if limit is not None and (low, high) == (-math.inf, math.inf):
        assert (moved <= limit * (1 + 1e-6) + 1e-6).all()
    assert (x >= np.float32(low)).all() and (x <= np.float32(high)).all()


@pytest.mark.parametrize("limit", [None, 0.5])
def test_threads_and_pieces_do_not_change_a_bit(limit, monkeypatch):
    x, direction = images((50, 333), 0)
    expected = x.copy()
    moved = edit_pixels(expected, direction, 0.1, 0, 1, max_norm=limit)
    for count in (1, 2, 3):
        threads.set_threads(count)
        for piece in (1, 1000, 5000):
            monkeypatch.setattr(editing, "PIECE", piece)
            for out in (x.copy(), np.empty_like(x)):
                source = out if out[0, 0] == x[0, 0] else x
                np.testing.assert_array_equal(edit_pixels(source, direction, 0.1, 0, 1, out, limit), moved)
                np.testing.assert_array_equal(out, expected)


def layouts(array):
    """The same values in other layouts: strided rows, strided pixels, Fortran order, unaligned, reversed."""
    wide = np.zeros((2 * len(array), 2, *array.shape[1:]), array.dtype)
    bytes_ = np.zeros(array.nbytes + 1, np.uint8)
    yield wide[::2, 0]
    yield np.moveaxis(np.zeros((*array.shape[1:], len(array)), array.dtype), -1, 0)
    yield np.zeros((*array.shape[:-1], 2 * array.shape[-1]), array.dtype)[..., ::2]
    yield bytes_[1:].view(array.dtype).reshape(array.shape)
    yield np.zeros_like(array)[::-1]


@pytest.mark.parametrize("form", FORMS)
def test_any_layout_is_edited_where_it_is(form):
    x, direction = images((6, 3, 4, 5), 0)
    expected = x.copy()
    moved = edit_pixels(expected, direction, 0.1, 0, 1)
    for place, slope in zip(layouts(x), layouts(x), strict=True):
        place[:], slope[:] = x, direction
        if form is edit_pixels or place.flags.aligned:
            np.testing.assert_allclose(form(place, slope, 0.1, 0, 1), moved, rtol=1e-6)
            np.testing.assert_allclose(place, expected, rtol=1e-6)


@pytest.mark.parametrize("form", FORMS)
def test_out_may_be_anything_that_exists(form):
    x, direction = images((8, 40), 0)
    expected, _ = edit_definition(x, direction, 0.3, 0, 1)
    same = x.copy()
    form(same[:], direction, 0.3, 0, 1, out=same)
    np.testing.assert_allclose(same, expected, rtol=1e-5, atol=1e-6)
    slope = direction.copy()
    form(x, slope, 0.3, 0, 1, out=slope)
    np.testing.assert_allclose(slope, expected, rtol=1e-5, atol=1e-6)
    both = np.concatenate([x, x[:1]])  # the result lies one row further
    form(both[:-1], direction, 0.3, 0, 1, out=both[1:])
    np.testing.assert_allclose(both[1:], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("limit", [None, 0.5])
@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_a_direction_that_is_not_finite_moves_nothing_and_says_so(form, limit, wrong):
    x, direction = images((4, 30), 0)
    x[1, 3] = 7.0  # not even clipped
    direction[1, 5] = wrong
    before = x.copy()
    moved = form(x, direction, np.array([0.1, 0.1, wrong, 0.1]), 0, 1, max_norm=limit)
    assert np.isnan(moved).tolist() == [False, True, True, False]
    np.testing.assert_array_equal(x[1:3], before[1:3])
    assert (x[[0, 3]] != before[[0, 3]]).any(1).all()


@pytest.mark.parametrize("form", FORMS)
def test_nan_in_x_stays_and_is_told(form):
    x, direction = images((2, 20), 0)
    x[0, 4] = np.nan
    moved = form(x, direction, 0.1, 0, 1)
    assert np.isnan(x).sum() == 1 and np.isnan(x[0, 4])
    assert np.isnan(moved).tolist() == [True, False]


@pytest.mark.parametrize("form", FORMS)
def test_large_numbers_and_zeros(form):
    x, direction = np.zeros((2, 3), np.float32), np.array([[3e38, 3e38, -3e38], [0, 0, 0]], np.float32)
    moved = form(x, direction, 1.0, -1, 1, max_norm=3.0)  # the square is beyond float32
    np.testing.assert_allclose(moved, [np.sqrt(3), 0], rtol=1e-6)
    np.testing.assert_allclose(form(x, direction * 0, 1.0, -1, 1, max_norm=0.0), [0, 0])
    x, direction = np.ones((1, 2)), np.full((1, 2), 1e200)  # as is this one beyond float64
    np.testing.assert_allclose(form(x, direction, 1.0, 0, 9, max_norm=3.0), 3)
    np.testing.assert_allclose(x, 1 + 3 / np.sqrt(2))
    assert form(x, direction, 1.0, 0, 9) == (8 - 3 / np.sqrt(2)) * np.sqrt(2) and (x == 9).all()


SIZES = {
    np.float32: (1e-44, 1e-38, 1e-20, 1.0, 1e20, 3e38),
    np.float64: (5e-324, 1e-300, 1e-170, 1e170, 1e308),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("dtype", SIZES)
def test_a_limited_step_goes_as_far_as_the_limit_however_large_or_small_its_factors_are(form, dtype):
    unit = np.array([0.6, 0.0, -0.8])
    for size, step, limit in itertools.product(
        SIZES[dtype], (1e-300, 1e-30, -1e-3, 1e30, -1e300), (1e-3, 2.0)
    ):
        direction = np.array([unit * size, [0, 0, 0]], dtype)
        x = np.array([[0.5, 0.0, -1.0], [9.0, 0.0, 0.5]], dtype)
        expected, displacement = edit_definition(x, direction, step, -5, 5, limit)
        moved = form(x, direction, step, -5, 5, max_norm=limit)
        np.testing.assert_allclose(x, expected, rtol=1e-6, atol=1e-7)
        np.testing.assert_allclose(moved, displacement, rtol=1e-4, atol=1e-6)
        if abs(math.log10(size) + math.log10(abs(step))) > 10 and size > 1e-40:
            wanted = limit if size > 1 / abs(step) else 0.0
            np.testing.assert_allclose(moved, [wanted, 4.0], rtol=1e-3, atol=1e-9)
            way = np.sign(step) * wanted * unit
            np.testing.assert_allclose(x[0], [0.5, 0, -1] + way, rtol=1e-3, atol=1e-7)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("limit", [None, 1e300])
def test_a_step_beyond_float32_leaves_no_nan(form, limit):
    x, direction = np.full((1, 3), 0.5, np.float32), np.array([[1e-3, 0.0, -1e-3]], np.float32)
    moved = form(x, direction, 1e60, 0, 1, max_norm=limit)
    np.testing.assert_array_equal(x, [[1, 0.5, 0]])
    np.testing.assert_allclose(moved, np.sqrt(0.5))


@pytest.mark.parametrize("form", FORMS)
def test_pinned_values(form):
    x = np.array([[0.5, 0.5], [0.5, 0.5], [0.0, 2.0], [0.25, 0.75]])
    direction = np.array([[3.0, -4.0], [0.3, -0.4], [0.0, 0.0], [-1.0, 1.0]])
    moved = form(x, direction, np.array([0.1, 1.0, 1.0, 1.0]), 0.0, 1.0, max_norm=0.25)
    h = 0.25 / np.sqrt(2)
    np.testing.assert_allclose(x, [[0.65, 0.3], [0.65, 0.3], [0, 1], [0.25 - h, 0.75 + h]], rtol=1e-14)
    np.testing.assert_allclose(moved, [0.25, 0.25, 1.0, 0.25], rtol=1e-14)


def test_torch_tensors_are_edited_where_they_are():
    x, direction = torch.rand(5, 3, 4), torch.randn(5, 3, 4)
    before = x.clone()
    moved = edit_pixels(x, direction, 0.1, 0, 1)
    assert isinstance(moved, torch.Tensor)
    torch.testing.assert_close(x, (before + 0.1 * direction).clamp(0, 1))
    torch.testing.assert_close(moved, (x - before).double().flatten(1).norm(dim=1))
    out = torch.empty(5, 3, 4)
    edit_pixels(x, direction, torch.full((5,), 0.2), 0, 1, out=out)
    torch.testing.assert_close(out, (x + 0.2 * direction).clamp(0, 1))


X = np.ones((4, 3), np.float32)
READ_ONLY = X.copy()
READ_ONLY.flags.writeable = False


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ((X, X[:3], 1, 0, 1), ValueError, r"`direction` should be \[4, 3\], like `x`. Found \[3, 3\]."),
        ((X, X, 1, 0, 1, X[:, :2]), ValueError, r"`out` should be \[4, 3\], like `x`. Found \[4, 2\]."),
        ((X, X.astype(float), 1, 0, 1), TypeError, "`direction` should be float32, like `x`. Found float64."),
        ((X.astype(int), X, 1, 0, 1), TypeError, "`x` should be float32 or float64. Found int64."),
        ((X, X, 1, 1, 0), ValueError, "`low` should be at most `high` = 0.0. Found 1.0."),
        ((X, X, 1, np.nan, 1), ValueError, "`low` should be at most"),
        ((X, X, 1, 0, 1, None, -1.0), ValueError, "`max_norm` should be at least 0. Found -1.0."),
        ((X, X, 1, 0, 1, None, np.nan), ValueError, "`max_norm` should be at least 0. Found nan."),
        (
            (X, X, np.ones(3), 0, 1),
            ValueError,
            r"`step` should be a number or \[4\], one per row. Found \[3\].",
        ),
        ((X, X, "fast", 0, 1), TypeError, "`step` should be"),
        ((X, X, np.ones(4, complex), 0, 1), TypeError, "`step` should be of real numbers. Found complex128."),
        ((READ_ONLY, X, 1, 0, 1), ValueError, "`x` should be writable"),
        ((X, X, 1, 0, 1, READ_ONLY), ValueError, "`out` should be writable"),
        ((np.float32(1), X, 1, 0, 1), TypeError, "`x` should be a NumPy or CuPy array"),
    ],
)
def test_bad_input(arguments, error, text):
    with pytest.raises(error, match=text):
        edit_pixels(*arguments)
    assert (X == 1).all()
