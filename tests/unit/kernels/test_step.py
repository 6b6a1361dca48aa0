"""Optimiser kernels: the compiled form against the float64 definition, and what lies outside a segment."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpidcl_kernels import step

SETTINGS = settings(max_examples=40)
RATES = st.tuples(
    st.floats(1e-5, 0.5), st.floats(0, 0.99), st.floats(0, 0.999), st.sampled_from([0.0, 0.01, 0.3])
)


def vectors(size: int, seed: int, dtype: type) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    w, g, m = rng.normal(size=(3, size)).astype(dtype)
    return [w, g, m, rng.random(size).astype(dtype)]


@st.composite
def segments(draw: Callable) -> tuple[int, np.ndarray, np.ndarray, np.ndarray]:
    """Size of the vector, and ordered disjoint segments of it with step counts; some are empty."""
    size = draw(st.integers(0, 90))
    ends = sorted(draw(st.lists(st.integers(0, size), min_size=0, max_size=8)))
    ends = ends[: len(ends) // 2 * 2]
    steps = draw(st.lists(st.integers(1, 2000), min_size=len(ends) // 2, max_size=len(ends) // 2))
    return size, *(np.array(part, dtype=np.int64) for part in (ends[::2], ends[1::2], steps))


@SETTINGS
@given(
    segments(),
    RATES,
    st.booleans(),
    st.booleans(),
    st.sampled_from([np.float32, np.float64]),
    st.integers(0, 99),
)
def test_adam_is_its_definition_inside_segments_and_nothing_outside(
    cut, rates, decoupled, apart, dtype, seed
):
    size, starts, stops, steps = cut
    lr, beta1, beta2, decay = rates
    arrays = vectors(size, seed, dtype)
    other = vectors(size, seed + 100, dtype)[1] if apart else None
    before = [a.copy() for a in arrays]
    step.adam(*arrays, starts, stops, steps, lr, beta1, beta2, 1e-8, decay, decoupled, other)
    expected = [a.astype(np.float64) for a in before]
    for start, stop, count in zip(starts, stops, steps, strict=True):
        part = slice(start, stop)
        w, m, v = step.adam_definition(
            *(a[part] for a in before),
            int(count),
            lr,
            beta1,
            beta2,
            1e-8,
            decay,
            decoupled,
            None if other is None else other[part],
        )
        expected[0][part], expected[2][part], expected[3][part] = w, m, v
    tolerance = 2e-5 if dtype is np.float32 else 1e-11
    for found, wanted in zip(arrays, expected, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=tolerance, atol=tolerance)
    outside = np.ones(size, dtype=bool)
    for start, stop in zip(starts, stops, strict=True):
        outside[start:stop] = False
    for found, old in zip(arrays, before, strict=True):
        np.testing.assert_array_equal(found[outside], old[outside])


@SETTINGS
@given(segments(), RATES, st.sampled_from([np.float32, np.float64]), st.integers(0, 99))
def test_sgd_is_its_definition_inside_segments_and_nothing_outside(cut, rates, dtype, seed):
    size, starts, stops, _ = cut
    lr, momentum, _, decay = rates
    w, g, v, _ = vectors(size, seed, dtype)
    expected = [w.astype(np.float64), v.astype(np.float64)]
    for start, stop in zip(starts, stops, strict=True):
        part = slice(start, stop)
        expected[0][part], expected[1][part] = step.sgd_definition(
            w[part], g[part], v[part], lr, momentum, decay
        )
    step.sgd(w, g, v, starts, stops, lr, momentum, decay)
    tolerance = 1e-5 if dtype is np.float32 else 1e-12
    np.testing.assert_allclose(w, expected[0], rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(v, expected[1], rtol=tolerance, atol=tolerance)


def test_a_vector_cut_in_two_gives_the_same_bits_as_whole():
    index = lambda *values: np.array(values, dtype=np.int64)  # noqa: E731
    whole, cut = vectors(1003, 0, np.float32), vectors(1003, 0, np.float32)
    step.adam(*whole, index(0), index(1003), index(3), 1e-3)
    step.adam(*cut, index(0, 17), index(17, 1003), index(3, 3), 1e-3)
    for a, b in zip(whole, cut, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("decoupled", [False, True])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_square_of_the_gradient_itself_gives_the_same_bits(decoupled, dtype):
    plain, apart = vectors(1003, 0, dtype), vectors(1003, 0, dtype)
    where = (np.array([0, 20]), np.array([17, 1003]), np.array([3, 4]))
    rates = (1e-3, 0.9, 0.999, 1e-8, 0.1, decoupled)
    step.adam(*plain, *where, *rates)
    step.adam(*apart, *where, *rates, square_of=apart[1].copy())
    for a, b in zip(plain, apart, strict=True):
        np.testing.assert_array_equal(a, b)


def test_pinned_first_step_with_the_square_of_another_vector():
    # At the first step m / sqrt(v) is g / |h|, whatever beta1 and beta2 are.
    w, g, h, m, v = (np.zeros(3, np.float32) for _ in range(5))
    g[:], h[:] = (0.5, -2.0, 1.0), (2.0, 2.0, -0.25)
    step.adam(w, g, m, v, np.array([0]), np.array([3]), np.array([1]), 0.01, square_of=h)
    np.testing.assert_allclose(w, [-0.0025, 0.01, -0.04], rtol=1e-5)
    np.testing.assert_allclose(v, 0.001 * h * h, rtol=1e-5)


def test_nan_stays_where_it_is():
    arrays = vectors(40, 0, np.float32)
    arrays[1][7] = np.nan
    step.adam(*arrays, np.array([0]), np.array([40]), np.array([1]), 1e-3)
    assert np.isnan(arrays[0]).nonzero()[0].tolist() == [7]


def test_pinned_first_adam_step_is_the_learning_rate():
    w, g, m, v = (np.zeros(3, np.float32) for _ in range(4))
    g[:] = 0.5, -2.0, 0.0
    step.adam(w, g, m, v, np.array([0]), np.array([3]), np.array([1]), 0.01)
    np.testing.assert_allclose(w, [-0.01, 0.01, 0.0], rtol=1e-6)


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (lambda a: [a[0].tolist(), *a[1:]], TypeError),
        (lambda a: [a[0][:5], *a[1:]], ValueError),
        (lambda a: [a[0].astype(np.float64), *a[1:]], ValueError),
        (lambda a: [b.astype(np.int32) for b in a], ValueError),
    ],
)
def test_what_does_not_fit_is_refused(change, error):
    with pytest.raises(error, match="should be"):
        step.adam(*change(vectors(10, 0, np.float32)), np.array([0]), np.array([10]), np.array([1]), 1e-3)


def test_a_square_of_what_does_not_fit_is_refused():
    where = (np.array([0]), np.array([10]), np.array([1]))
    with pytest.raises(ValueError, match="vectors of one shape"):
        step.adam(*vectors(10, 0, np.float32), *where, 1e-3, square_of=np.ones(9, np.float32))


@pytest.mark.parametrize(("start", "stop"), [(-1, 5), (0, 11)])
def test_a_segment_outside_the_vector_is_refused(start, stop):
    with pytest.raises(ValueError, match="Segments should lie inside"):
        step.sgd(*vectors(10, 0, np.float32)[:3], np.array([start]), np.array([stop]), 1e-3)
