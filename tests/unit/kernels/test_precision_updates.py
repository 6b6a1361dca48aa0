"""Outer steps and changes of small rank: against their definitions, against factoring anew, in place."""

from __future__ import annotations

import numpy as np
import pytest
from cuda_on_cpu import EmulatedDevice, needs_compiler
from hypothesis import given, settings
from hypothesis import strategies as st

from mpidcl_kernels import precision
from mpidcl_kernels.precision import cuda, rank, updates

SETTINGS = settings(max_examples=40)
SIZES = st.sampled_from([1, 2, 3, 7, 8, 9, 16, 33, 64])
SEEDS = st.integers(0, 99)
KINDS = st.sampled_from([np.float32, np.float64])


def positive(size, seed, dtype=np.float64):
    drawn = np.random.default_rng(seed).normal(size=(size, size + 2))
    return (drawn @ drawn.T / size + 0.2 * np.eye(size)).astype(dtype)


def close(found, wanted, tolerance=1e-9):
    assert np.abs(found - wanted).max(initial=0) <= tolerance * np.abs(wanted).max(initial=0)


def change_of(size, count, seed, sign, theta):
    """Columns that can be added, or taken from the inverse of theta."""
    columns = np.random.default_rng(seed).normal(size=(size, count))
    largest = np.linalg.eigvalsh(columns.T @ theta @ columns).max() if count else 1.0
    return columns * (0.9 / largest**0.5) if np.min(sign, initial=1) < 0 else columns


@SETTINGS
@given(SIZES, SEEDS, KINDS, st.sampled_from([(0.05, 20.0), (0.5, 1.5), (1.0, 1.0), (-1.0, 0.5), (1e-6, 1e6)]))
def test_clip_spectrum(size, seed, dtype, limits):
    matrix = np.random.default_rng(seed).normal(size=(size, size)).astype(dtype)
    found = precision.clip_spectrum(matrix, *limits)
    close(found, updates.clip_spectrum_definition(matrix.astype(np.float64), *limits), 1e-12 * size + 1e-12)
    assert (found == found.T).all() and found.dtype == np.float64
    values, room = np.linalg.eigvalsh(found), 1e-12 * max(abs(limits[0]), abs(limits[1]))
    assert limits[0] - room <= values.min() and values.max() <= limits[1] + room


def test_a_tiny_limit_holds_beside_a_huge_negative_eigenvalue():
    turn, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(5, 5)))
    matrix = turn * np.array([-1e8, -1e6, 0.5, 1.0, 2.0]) @ turn.T
    found = np.linalg.eigvalsh(precision.clip_spectrum(matrix, 0.05, 20.0))
    assert found.min() >= 0.05 - 1e-14


def test_what_is_inside_the_limits_is_only_made_symmetric():
    matrix = positive(12, 0)
    np.testing.assert_array_equal(precision.clip_spectrum(matrix, 1e-3, 1e3), (matrix + matrix.T) / 2)


@SETTINGS
@given(SIZES, SEEDS, KINDS, st.floats(0, 1), st.sampled_from([None, (0.3, 1.0)]))
def test_damped_and_gradient_updates(size, seed, dtype, beta, limits):
    theta, other = positive(size, seed, dtype), positive(size, seed + 100, dtype)
    wide, goal = theta.astype(np.float64), other.astype(np.float64)
    for function, definition in (
        (precision.damped_update, updates.damped_update_definition),
        (precision.gradient_update, updates.gradient_update_definition),
    ):
        wanted = definition(wide, goal, beta)
        if limits is not None:
            wanted = updates.clip_spectrum_definition(wanted, *limits)
        found = function(theta, other, beta, limits)
        close(found, wanted, 1e-10)
        assert (found == found.T).all()


def test_both_updates_have_the_inverse_as_fixed_point():
    c = positive(6, 0) + np.eye(6)
    theta = np.linalg.inv(c)
    theta = (theta + theta.T) / 2
    close(precision.damped_update(theta, np.linalg.inv(c), 0.3), theta, 1e-12)
    close(precision.gradient_update(theta, c, 0.3), theta, 1e-12)
    step = np.eye(6)
    for _ in range(500):
        step = precision.gradient_update(step, c, 0.05, (0.05, 20.0))
    close(step, theta, 1e-6)


@SETTINGS
@given(SIZES, st.integers(0, 9), SEEDS, st.sampled_from(["add", "take", "mixed"]), KINDS)
def test_changes_of_small_rank(size, count, seed, kind, dtype):
    theta = precision.clip_spectrum(positive(size, seed), 0.1, 10.0)
    sign = {"add": 1, "take": -1}.get(kind, np.resize([1, -1, -1], count))
    columns = change_of(size, count, seed, sign, theta).astype(dtype)
    if kind != "add":
        columns *= dtype(0.5)
    wide = columns.astype(np.float64)
    found = precision.inverse_update(theta, columns, sign)
    close(found, rank.inverse_update_definition(theta, wide, sign), 1e-9)
    assert (found == found.T).all() and np.linalg.eigvalsh(found).min() > 0
    covariance = precision.covariance_update(theta, columns, sign)
    close(covariance, rank.covariance_update_definition(theta, wide, sign), 1e-12)
    assert (covariance == covariance.T).all()


@needs_compiler
@settings(max_examples=15)
@given(st.sampled_from([1, 5, 16, 130]), st.integers(0, 5), SEEDS, st.booleans())
def test_the_cuda_forms(size, count, seed, in_place):
    device, theta, other = EmulatedDevice(), positive(size, seed), positive(size, seed + 100)
    theta = (theta + theta.T) / 2
    signs = np.resize([1.0, -1.0], count)
    columns = 0.3 * change_of(size, count, seed, -1, theta)
    for function, host in (
        (cuda.covariance_update, precision.covariance_update),
        (cuda.inverse_update, precision.inverse_update),
    ):
        out = theta.copy() if in_place else None
        found = function(device, theta if out is None else out, columns, signs, out)
        assert in_place == (found is out)
        close(found, host(theta, columns, signs), 1e-10)
        assert (found == found.T).all()
    for limits in (None, (0.3, 1.0)):
        found = cuda.damped_update(device, theta, other, 0.3, limits, None)
        close(found, precision.damped_update(theta, other, 0.3, limits), 1e-12)
        assert (found == found.T).all()
    found = cuda.on_host(device, updates._gradient_update, theta, other, 0.1, None)
    close(found, precision.gradient_update(theta, other, 0.1), 1e-12)
    assert device.launches


@needs_compiler
@pytest.mark.parametrize("function", [cuda.covariance_update, cuda.inverse_update])
def test_the_cuda_forms_refuse_what_the_others_refuse(function):
    device, eye, columns = EmulatedDevice(), np.eye(3), np.ones((3, 1))
    lopsided, holed = eye.copy(), np.full((3, 3), np.nan)
    lopsided[0, 1] = 0.1
    for matrix in (lopsided, holed):
        with pytest.raises(ValueError, match="should be finite and symmetric"):
            function(device, matrix, columns, 1.0, None)
    with pytest.raises(ValueError, match="`columns` should be finite"):
        function(device, eye, columns * np.nan, 1.0, None)
    assert function(device, eye, columns, 1.0, None)[0, 1] != 0


def test_many_changes_stay_near_the_inverse_of_what_they_change():
    rng, c = np.random.default_rng(0), positive(20, 0)
    c = (c + c.T) / 2
    theta = precision.relation_precision(np.linalg.cholesky(c).T * 20**0.5, "logdet", 0.0)
    for _ in range(200):
        columns = 0.3 * rng.normal(size=(20, 3))
        for sign in (1, -1):
            precision.covariance_update(c, columns, sign, out=c)
            precision.inverse_update(theta, columns, sign, out=theta)
    assert (theta == theta.T).all()
    close(theta, np.linalg.inv(c), 1e-8)


@pytest.mark.parametrize("seed", range(4))
def test_the_change_of_one_mean_has_rank_two(seed):
    rng = np.random.default_rng(seed)
    means, mean, task = rng.normal(size=(7, 5)), rng.normal(size=7), int(rng.integers(5))
    columns, signs = precision.mean_change(means, task, mean)
    after = means.copy()
    after[:, task] = mean
    c = precision.relation_covariance(means, 0.1)
    close(precision.covariance_update(c, columns, signs), precision.relation_covariance(after, 0.1), 1e-12)
    theta = precision.relation_precision(means, "logdet", 0.1)
    close(precision.inverse_update(theta, columns, signs), precision.relation_precision(after, "logdet", 0.1))
    columns, signs = precision.mean_change(means, task, means[:, task])  # no change at all
    close(precision.covariance_update(c, columns, signs), c, 1e-12)


CALLS = {
    "clip": lambda a, b, out: precision.clip_spectrum(a, 0.5, 1.0, out=out),
    "damped": lambda a, b, out: precision.damped_update(a, b, 0.3, (0.5, 1.0), out=out),
    "gradient": lambda a, b, out: precision.gradient_update(a, b, 0.3, out=out),
    "covariance": lambda a, b, out: precision.covariance_update(a, b[:, :2], 1, out=out),
    "inverse": lambda a, b, out: precision.inverse_update(a, b[:, :2], 1, out=out),
}


@pytest.mark.parametrize("name", CALLS)
def test_in_place_and_into_any_layout(name):
    a, b = precision.clip_spectrum(positive(9, 0), 0.1, 9.0), positive(9, 1)
    wanted = CALLS[name](a, b, None)
    strided = np.zeros((18, 27))[::2, ::3]
    strided[:] = a
    columns = np.asfortranarray(a)
    for out in (a.copy(), strided, columns):
        assert CALLS[name](out, b, out) is out
        np.testing.assert_array_equal(out, wanted)
    np.testing.assert_array_equal(CALLS[name](a, b, None), wanted)  # the input was not changed


def test_tensors_are_changed_in_place():
    torch = pytest.importorskip("torch")
    theta = torch.from_numpy(precision.clip_spectrum(positive(5, 0), 0.1, 9.0))
    columns = torch.from_numpy(np.random.default_rng(0).normal(size=(5, 2)).astype(np.float32))
    wanted = precision.inverse_update(theta.numpy(), columns.numpy())
    address = theta.data_ptr()
    assert precision.inverse_update(theta, columns, out=theta) is theta and theta.data_ptr() == address
    np.testing.assert_array_equal(theta.numpy(), wanted)
    assert isinstance(precision.damped_update(theta, theta, 0.5), torch.Tensor)


def test_without_tasks_or_columns():
    nothing = np.zeros((0, 0))
    assert precision.clip_spectrum(nothing, 0.0, 1.0).shape == (0, 0)
    assert precision.damped_update(nothing, nothing, 0.5, (0.0, 1.0)).shape == (0, 0)
    assert precision.gradient_update(nothing, nothing, 0.5).shape == (0, 0)
    assert precision.inverse_update(nothing, np.zeros((0, 2))).shape == (0, 0)
    eye = np.eye(3)
    same = precision.inverse_update(eye, np.zeros((3, 0)))
    assert same is not eye and (same == eye).all()


def test_damped_update_without_limits_lets_nan_through():
    theta = np.eye(3)
    theta[0, 1] = np.nan
    found = precision.damped_update(theta, np.eye(3), 0.5)
    assert np.isnan(found).nonzero()[0].tolist() == [0, 1]


def test_pinned():
    theta, target = np.array([[2.0, 1.0], [0.0, 1.0]]), np.array([[1.0, 0.0], [0.0, 3.0]])
    np.testing.assert_allclose(precision.damped_update(theta, target, 0.25), [[1.75, 0.375], [0.375, 1.5]])
    np.testing.assert_allclose(
        precision.clip_spectrum(np.array([[2.0, 1.0], [1.0, 2.0]]), 0.0, 2.0), [[1.5, 0.5], [0.5, 1.5]]
    )
    np.testing.assert_allclose(
        precision.gradient_update(np.diag([2.0, 1.0]), np.eye(2), 0.5), np.diag([1.75, 1.0])
    )
    np.testing.assert_allclose(
        precision.inverse_update(np.eye(2), np.ones((2, 1)) / 2, -1), [[1.5, 0.5], [0.5, 1.5]]
    )
    np.testing.assert_allclose(
        precision.covariance_update(np.eye(2), np.ones((2, 1)) / 2, -1), [[0.75, -0.25], [-0.25, 0.75]]
    )


def test_a_change_that_is_refused_writes_nothing():
    theta, columns = np.eye(3), np.array([[1.0, 0.0], [0.0, 2.0], [0.0, 0.0]])
    with pytest.raises(ValueError, match="smaller change"):
        precision.inverse_update(theta, columns, [1, -1], out=theta)
    assert np.array_equal(theta, np.eye(3))


@pytest.mark.parametrize(
    "change",
    [
        lambda theta, out: precision.clip_spectrum(theta, 0.5, 3.0, out=out),
        lambda theta, out: precision.damped_update(np.eye(3), theta, 0.5, out=out),
        lambda theta, out: precision.gradient_update(theta, np.eye(3), 0.5, out=out),
        lambda theta, out: precision.inverse_update(theta, np.ones((3, 1)), out=out),
        lambda theta, out: precision.covariance_update(theta, np.ones((3, 1)), out=out),
    ],
)
def test_out_may_begin_inside_an_argument(change):
    memory = np.zeros(12)
    theta, out = memory[:9].reshape(3, 3), memory[3:].reshape(3, 3)
    theta[...] = 4 * np.eye(3) + 1
    wanted = change(theta.copy(), None)
    assert change(theta, out) is out and np.array_equal(out, wanted)


def test_the_largest_numbers_are_clipped():
    assert precision.clip_spectrum(np.full((2, 2), 1e308), 0.0, 2.0) == pytest.approx(np.ones((2, 2)))
