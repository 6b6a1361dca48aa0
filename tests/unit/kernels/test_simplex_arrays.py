"""Weights of gradients: kinds of arrays, special matrices, the same bits, bad input."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from gram_families import family_gram, residual

from mpidcl_kernels import simplex
from mpidcl_kernels.base import arrays
from mpidcl_kernels.simplex import elastic_weights

GRAM = family_gram("agreeing", 12, 3)
SIGMA = np.linspace(0.5, 1, 12)


def unaligned(array):
    raw = np.zeros(array.nbytes + 1, np.uint8)
    raw[1:] = np.frombuffer(array.tobytes(), np.uint8)
    return raw[1:].view(array.dtype).reshape(array.shape)


def read_only(array):
    array = array.copy()
    array.flags.writeable = False
    return array


def apart(array):
    wide = np.zeros(tuple(2 * size for size in array.shape))
    part = wide[tuple(slice(None, None, 2) for _ in array.shape)]
    part[...] = array
    return part


@pytest.mark.parametrize("form", [np.asfortranarray, unaligned, read_only, apart, torch.from_numpy])
def test_every_kind_of_array_gives_the_same_bits_with_one_compiled_form(form):
    wanted = elastic_weights(GRAM, SIGMA, 0.01)
    found = elastic_weights(form(GRAM.copy()), form(SIGMA.copy()), form(np.full(12, 0.01)))
    assert type(found) is (torch.Tensor if form is torch.from_numpy else np.ndarray)
    np.testing.assert_array_equal(np.asarray(found), wanted)
    assert len(simplex._compiled().dispatcher().signatures) == 1


def test_float32_counts_as_the_same_numbers_in_float64():
    gram, sigma = GRAM.astype(np.float32), SIGMA.astype(np.float32)
    found = elastic_weights(gram, sigma, np.float32(0.0625))
    assert found.dtype == np.float64
    wanted = elastic_weights(gram.astype(np.float64), sigma.astype(np.float64), 0.0625)
    np.testing.assert_array_equal(found, wanted)


def test_arguments_are_not_changed():
    gram, sigma, floor = GRAM.copy(), SIGMA.copy(), np.full(12, 0.01)
    elastic_weights(gram, sigma, floor)
    np.testing.assert_array_equal(gram, GRAM)
    np.testing.assert_array_equal(sigma, SIGMA)
    np.testing.assert_array_equal(floor, 0.01)


class OnDevice:
    """Looks like an array on a GPU; `get` copies it to the host."""

    def __init__(self, host):
        self.host, self.shape, self.ndim, self.dtype = host, host.shape, host.ndim, host.dtype

    def __len__(self):
        return len(self.host)

    def get(self):
        return self.host.copy()


def test_from_a_gpu_everything_is_copied_to_the_host_and_the_weights_back(monkeypatch):
    events = []

    class Stream:
        def __enter__(self):
            events.append("enter")

        def __exit__(self, *_):
            events.append("exit")

    class Device:
        class xp:
            @staticmethod
            def asarray(weights):
                events.append("back")
                return OnDevice(weights)

    home = arrays.Home(Device, lambda result: ("wrapped", result), Stream)
    monkeypatch.setattr(simplex, "unwrap", lambda **given: ([*given.values()], home))
    kind, found = elastic_weights(OnDevice(GRAM), OnDevice(SIGMA), OnDevice(np.full(12, 0.01)))
    monkeypatch.undo()
    assert (kind, events) == ("wrapped", ["enter", "back", "exit"])
    np.testing.assert_array_equal(found.host, elastic_weights(GRAM, SIGMA, np.full(12, 0.01)))


def test_threads_side_by_side_find_the_same_bits():
    grams = [family_gram("normal", 60, seed) for seed in range(6)] * 4
    with ThreadPoolExecutor(3) as pool:
        found = list(pool.map(elastic_weights, grams))
    for gram, weights in zip(grams, found, strict=True):
        np.testing.assert_array_equal(weights, elastic_weights(gram))


def test_no_rows_and_one_row():
    assert elastic_weights(np.zeros((0, 0))).shape == (0,)
    for length in (0.0, 1e-300, 4.0):
        np.testing.assert_array_equal(elastic_weights(np.array([[length]]), np.array([0.25])), [4.0])


def test_rows_of_zeros_share_the_weight():
    gram = np.diag([0.0, 3.0, 0.0])
    np.testing.assert_array_equal(elastic_weights(gram, np.array([1.0, 1.0, 3.0])), [0.25, 0, 0.25])
    sigma = np.array([0.5, 1.5])
    for floor in (0.0, 0.25):
        np.testing.assert_allclose(elastic_weights(np.zeros((2, 2)), sigma, floor), 0.5, rtol=1e-15)


def test_opposed_rows_cancel():
    gram = np.outer([1.0, -2.0], [1.0, -2.0])
    np.testing.assert_allclose(elastic_weights(gram), [2 / 3, 1 / 3], rtol=1e-14)


def test_of_duplicate_rows_the_step_is_that_of_one():
    rows = np.random.default_rng(0).normal(size=(3, 8))
    twice = rows[[0, 1, 1, 2, 0]]
    step = elastic_weights(rows @ rows.T) @ rows
    np.testing.assert_allclose(elastic_weights(twice @ twice.T) @ twice, step, atol=1e-13)


def test_a_floor_that_leaves_nothing_is_the_answer():
    np.testing.assert_array_equal(elastic_weights(GRAM, None, 1 / 12, safe=False), np.full(12, 1 / 12))


def test_sums_in_float32_are_accepted():
    rows = 1 + np.random.default_rng(0).normal(size=(40, 17)).astype(np.float32)
    gram = np.array([[np.dot(a, b) for b in rows] for a in rows])
    assert np.linalg.eigvalsh(gram.astype(np.float64))[0] < -1e-6
    assert residual(gram.astype(np.float64), np.ones(40), elastic_weights(gram)) < 1e-5


def test_small_noise_in_a_row_of_zeros_is_no_matter():
    gram = np.array([[1.0, -1e-9], [-1e-9, 0.0]])
    weights = elastic_weights(gram)
    assert residual(gram, np.ones(2), weights) < 1e-9


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((np.zeros((2, 3)),), ValueError, r"`gram` should be \[n, n\]. Found \[2, 3\]."),
        ((np.zeros(4),), ValueError, r"`gram` should be \[n, n\]. Found \[4\]."),
        ((np.eye(2, dtype=np.float16),), TypeError, "`gram` should be float32 or float64. Found float16."),
        ((np.eye(2, dtype=int),), TypeError, "`gram` should be float32 or float64. Found int64."),
        (([[1.0]],), TypeError, "`gram` should be a NumPy or CuPy array"),
        ((np.diag([1.0, np.nan]),), ValueError, "`gram` should be finite. Found nan."),
        ((np.diag([np.inf, 1.0]),), ValueError, "`gram` should be finite. Found inf."),
        (
            (np.array([[1, 0.1], [0, 1]]),),
            ValueError,
            "`gram` should be symmetric. .* up to 0.1",
        ),
        ((np.eye(2), np.ones(3)), ValueError, r"`sigma` should be \[2\], like `gram`. Found \[3\]."),
        ((np.eye(2), np.array([1.0, 0.0])), ValueError, "`sigma` should be positive .* Found 0.0."),
        (
            (np.eye(2), np.array([1.0, -1.0])),
            ValueError,
            "`sigma` should be positive .* Found -1.0.",
        ),
        (
            (np.eye(2), np.array([1.0, np.nan])),
            ValueError,
            "`sigma` should be positive .* Found nan.",
        ),
        ((np.eye(2), np.array([1, 1])), TypeError, "`sigma` should be float32 or float64. Found int64."),
        ((np.eye(2), None, -0.1), ValueError, "`floor` should be finite and not negative. Found -0.1."),
        ((np.eye(2), None, np.nan), ValueError, "`floor` should be finite and not negative. Found nan."),
        ((np.eye(2), None, np.ones(3)), ValueError, r"`floor` should be a number or \[2\]"),
        ((np.eye(2), None, 0.51), ValueError, "`floor` should be feasible: .*sigma'floor = 1.02"),
        ((np.array([[0.0, -1], [-1, 0]]),), ValueError, "`gram` should be positive semi-def.* eigenvalue -1"),
        ((np.array([[1.0, 2], [2, 1]]),), ValueError, "`gram` should be positive semi-definite"),
        ((np.diag([1.0, -1e-4]),), ValueError, "`gram` should be positive semi-def.* eigenvalue -0.0001"),
    ],
)
def test_bad_input_is_refused(arguments, error, message):
    with pytest.raises(error, match=message):
        elastic_weights(*arguments)
