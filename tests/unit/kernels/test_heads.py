"""Heads kernel: loss and gradients against the definition and against differences of the loss."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpidcl_kernels import heads


def case(rows: int, width: int, classes: int, count: int, seed: int, dtype: type) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [
        rng.normal(size=(rows, width)).astype(dtype),
        rng.normal(size=(count, classes, width + 1)).astype(dtype),
        rng.integers(0, count, rows),
        rng.integers(0, classes, rows),
    ]


@settings(max_examples=40)
@given(
    st.integers(1, 20),
    st.integers(1, 70),
    st.integers(1, 6),
    st.integers(1, 5),
    st.integers(0, 99),
    st.sampled_from([np.float32, np.float64]),
)
def test_compiled_form_is_the_definition(rows, width, classes, count, seed, dtype):
    z, block, which, y = case(rows, width, classes, count, seed, dtype)
    loss, logits, slope = heads.cross_entropy(z, block, which, y)
    by_z, by_block = heads.gradients(slope, z, block, which)
    wanted_logits = heads.logits_definition(z, block, which)
    wanted_loss, wanted_slope = heads.cross_entropy_definition(wanted_logits, y)
    wanted = heads.gradients_definition(wanted_slope, z, block, which)
    close = {"rtol": 1e-4, "atol": 1e-4} if dtype is np.float32 else {"rtol": 1e-9, "atol": 1e-9}
    np.testing.assert_allclose(loss, wanted_loss, **close)
    for a, b in zip((logits, slope, by_z, by_block), (wanted_logits, wanted_slope, *wanted), strict=True):
        np.testing.assert_allclose(a, b, **close)


def test_the_gradient_is_the_slope_of_the_loss():
    z, block, which, y = case(5, 4, 3, 2, 0, np.float64)
    _, _, slope = heads.cross_entropy(z, block, which, y)
    by_z, by_block = heads.gradients(slope, z, block, which)
    for array, found in ((z, by_z), (block, by_block)):
        for position in np.ndindex(array.shape):
            old = array[position]
            values = []
            for shift in (1e-6, -1e-6):
                array[position] = old + shift
                values.append(heads.cross_entropy(z, block, which, y)[0])
            array[position] = old
            assert (values[0] - values[1]) / 2e-6 == pytest.approx(found[position], abs=1e-8)


def test_large_logits_do_not_overflow():
    z, block, which, y = case(4, 3, 2, 1, 0, np.float32)
    loss, _, slope = heads.cross_entropy(z * 1e4, block, which, y)
    assert np.isfinite(loss) and np.isfinite(slope).all()


@pytest.mark.parametrize("place", ["head above", "head below", "label above", "width", "rows"])
def test_what_does_not_fit_is_refused(place):
    z, block, which, y = case(4, 3, 2, 2, 0, np.float32)
    which, y = which.copy(), y.copy()
    if place == "head above":
        which[0] = 2
    elif place == "head below":
        which[0] = -1
    elif place == "label above":
        y[0] = 2
    elif place == "width":
        z = z[:, :2]
    else:
        which = which[:3]
    with pytest.raises(ValueError, match="should be"):
        heads.cross_entropy(z, block, which, y)


@settings(max_examples=20)
@given(st.integers(0, 30), st.integers(1, 9), st.integers(1, 6), st.integers(0, 99))
def test_rows_are_added_in_order(count, rows, classes, seed):
    rng = np.random.default_rng(seed)
    into = rng.normal(size=(rows, classes)).astype(np.float32)
    which, values = rng.integers(0, rows, count), rng.normal(size=(count, classes)).astype(np.float32)
    wanted, one_by_one = heads.add_rows_definition(into, which, values), into.copy()
    for row, value in zip(which, values, strict=True):
        one_by_one[row] += value
    heads.add_rows(into, which, values)
    np.testing.assert_allclose(into, wanted, rtol=1e-5, atol=1e-5)
    assert np.array_equal(into, one_by_one)


@pytest.mark.parametrize("rows", [[0, 3], [0, -1], [0]])
def test_rows_that_are_not_there_get_nothing(rows):
    into = np.zeros((3, 2), np.float32)
    with pytest.raises(ValueError, match="rows below 3"):
        heads.add_rows(into, np.array(rows), np.ones((2, 2), np.float32))
    assert not into.any()
