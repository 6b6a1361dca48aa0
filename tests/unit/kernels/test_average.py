"""Averages: every form against the definition, bit by bit; what they may overwrite; what they refuse."""

from __future__ import annotations

from contextlib import contextmanager

import numpy as np
import pytest
from average_inputs import DTYPES, Inputs, inputs
from cuda_on_cpu import EmulatedDevice, needs_compiler
from hypothesis import given, settings
from hypothesis import strategies as st

from mpidcl_kernels import average
from mpidcl_kernels.average import cuda
from mpidcl_kernels.average.parts import BLOCK, parts_of, with_fishers
from mpidcl_kernels.base import threads
from mpidcl_kernels.base.arrays import Home

SETTINGS = settings(max_examples=60)
EPS = 1e-3


def same(found, wanted):
    """Bit for bit, after the one rounding."""
    np.testing.assert_array_equal(found, wanted.astype(found.dtype))


@SETTINGS
@given(inputs())
def test_the_compiled_form_is_the_definition(given_):
    arrays, fishers, weights, places, own = given_
    keywords = {"places": places, "own": own}
    with np.errstate(all="ignore"):
        wanted = average.weighted_average_definition(arrays, weights, **keywords)
        wanted_fisher = average.fisher_average_definition(arrays, fishers, weights, EPS, **keywords)
        wanted_sums = average.fisher_sums_definition(arrays, fishers, len(arrays[own]), places)
        wanted_distances = average.distances_definition(arrays[own], arrays, places)
    same(average.weighted_average(arrays, weights, **keywords), wanted)
    same(average.fisher_average(arrays, fishers, weights, EPS, **keywords), wanted_fisher)
    for found, sums in zip(
        average.fisher_sums(arrays, fishers, len(arrays[own]), places), wanted_sums, strict=True
    ):
        same(found, sums)
    found = average.distances(arrays[own], arrays, places)
    np.testing.assert_allclose(found, wanted_distances, rtol=1e-12, atol=0)


@needs_compiler
@settings(max_examples=25)
@given(inputs(largest=600))
def test_the_cuda_form_has_the_bits_of_the_compiled_form(given_):
    arrays, fishers, weights, places, own = given_
    size, device = len(arrays[own]), EmulatedDevice()
    whole = with_fishers(parts_of(arrays, places, own, None, np), fishers, np)
    found = np.empty(size, arrays[0].dtype)
    cuda.weighted_average(device, whole, np.array(weights), found)
    keywords = {"places": places, "own": own}
    same(found, average.weighted_average(arrays, weights, **keywords))
    cuda.fisher_average(device, whole, np.array(weights), EPS, found)
    same(found, average.fisher_average(arrays, fishers, weights, EPS, **keywords))
    alone = with_fishers(parts_of(arrays, places, -1, size, np), fishers, np)
    found = np.empty((2, size), arrays[0].dtype)
    cuda.fisher_sums(device, alone, *found)
    for one, other in zip(found, average.fisher_sums(arrays, fishers, size, places), strict=True):
        same(one, other)
    pairs = parts_of([arrays[own], *arrays], [None, *places], 0, None, np)
    totals = cuda.absolute_differences(device, pairs) / [max(1, a.size) for a in arrays]
    np.testing.assert_allclose(totals, average.distances(arrays[own], arrays, places), rtol=1e-12)


@needs_compiler
def test_a_long_difference_on_cuda_takes_several_blocks():
    x, y = Inputs(seed=1).vectors(2, 40_001, np.float32)
    totals = cuda.absolute_differences(EmulatedDevice(), parts_of([x, y, x], None, 0, None, np))
    np.testing.assert_allclose(totals, [np.abs(x.astype(float) - y).sum(), 0], rtol=1e-12)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("count", [1, 7, 8, 9, 16, 33])
def test_any_number_of_arrays(count, dtype):
    maker = Inputs(seed=count)
    arrays, weights = maker.vectors(count, 2 * BLOCK + 13, dtype), maker.weights(count)
    fishers = [np.abs(f) for f in maker.vectors(count, 2 * BLOCK + 13, dtype)]
    same(average.weighted_average(arrays, weights), average.weighted_average_definition(arrays, weights))
    same(
        average.fisher_average(arrays, fishers, weights, EPS),
        average.fisher_average_definition(arrays, fishers, weights, EPS),
    )


LONG = average.STREAM_BYTES // 4 + 77  # more than one piece, and results that go past the caches


@pytest.mark.parametrize("shift", [0, 1, 3])
def test_long_results_wherever_they_start_in_a_cache_line(shift):
    arrays, weights = Inputs(seed=0).vectors(3, LONG, np.float32), [0.5, 0.25, 0.25]
    memory = np.full(LONG + 8, np.float32(9))
    out = memory[shift : shift + LONG]
    assert average.weighted_average(arrays, weights, out) is out
    same(out, average.weighted_average_definition(arrays, weights))
    assert set(memory[:shift]) | set(memory[shift + LONG :]) == {9}  # and nothing beside it


@pytest.fixture
def restored_threads():
    before = list(threads._chosen)
    yield
    threads._chosen[:] = before


def test_the_number_of_threads_changes_no_bit(restored_threads):
    maker = Inputs(seed=5)
    arrays, fishers = (maker.vectors(3, LONG, np.float32) for _ in range(2))
    lists = [np.arange(0, LONG, 3), LONG // 2, None]
    parts = [arrays[0][::3], arrays[1][: LONG // 4], arrays[2]]
    found = []
    for count in (1, 2, 3):
        threads.set_threads(count)
        found.append(
            [
                average.weighted_average(parts, [0.2, 0.3, 0.5], places=lists, own=2),
                average.fisher_average(arrays, fishers, [0.2, 0.3, 0.5], EPS),
                *average.fisher_sums(arrays, fishers, LONG),
                average.distances(arrays[2], parts, lists),
            ]
        )
    for others in found[1:]:
        assert all(np.array_equal(a, b) for a, b in zip(found[0], others, strict=True))


@pytest.mark.parametrize("size", [5, BLOCK + 3, LONG])
@pytest.mark.parametrize("target", [0, 1, 2])
def test_the_result_may_replace_any_of_the_arrays(size, target):
    maker = Inputs(seed=2)
    arrays, fishers = (maker.vectors(3, size, np.float32) for _ in range(2))
    weights = [0.2, 0.3, 0.5]
    wanted = average.weighted_average(arrays, weights), average.fisher_average(arrays, fishers, weights, EPS)
    copies = [a.copy() for a in arrays]
    assert average.weighted_average(copies, weights, out=copies[target]) is copies[target]
    np.testing.assert_array_equal(copies[target], wanted[0])
    average.fisher_average(arrays, fishers, weights, EPS, out=fishers[target])
    np.testing.assert_array_equal(fishers[target], wanted[1])


def test_what_stands_in_may_be_overwritten():
    own, other = Inputs(seed=3).vectors(2, BLOCK * 2, np.float32)
    places, weights = [None, np.arange(5, 2 * BLOCK, 7)], [0.5, 0.5]
    arrays = [own, other[5::7].copy()]
    wanted = average.weighted_average_definition(arrays, weights, places)
    average.weighted_average(arrays, weights, out=own, places=places)
    same(own, wanted)


def test_equal_vectors_stay_as_they_are():
    same_vectors = [Inputs(seed=4).vectors(1, 3000, np.float32)[0]] * 5
    np.testing.assert_array_equal(average.weighted_average(same_vectors, [0.2] * 5), same_vectors[0])


def test_pinned_values():
    a = [np.array(v, np.float32) for v in ([1, 2, 3, 4], [5, 6], [-8, 8])]
    places, fishers = [None, 1, np.array([0, 3])], [np.full(4, 2, np.float32), None, np.ones(2, np.float32)]
    weights = [0.5, 0.25, 0.25]
    assert average.weighted_average(a, weights, places=places).tolist() == [-1.25, 2.75, 3.75, 5]
    assert average.fisher_average(a, fishers, weights, 1.0, places=places).tolist() == [
        (2 * 1 - 8 - 1.25) / 4, (2 * 2 + 2.75) / 3, (2 * 3 + 3.75) / 3, (2 * 4 + 8 + 5) / 4,
    ]  # fmt: skip
    information, weighted = average.fisher_sums(a[1:], [np.ones(2, np.float32), fishers[2]], 4, places[1:])
    assert (information.tolist(), weighted.tolist()) == ([1, 1, 1, 1], [-8, 5, 6, 8])
    assert average.distances(a[0], a, places).tolist() == [0, 3, 6.5]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_nan_and_infinity_stay_where_they_are(value):
    a, b = np.ones(70, np.float32), np.ones(70, np.float32)
    b[[0, 40, 69]] = value
    found = average.weighted_average([a, b], [0.5, 0.5])
    assert np.flatnonzero(~np.isfinite(found)).tolist() == [0, 40, 69]
    np.testing.assert_array_equal(found[[0, 40, 69]], [value] * 3)


@SETTINGS
@given(st.integers(0, 99), st.sampled_from(["strided", "reversed", "unaligned", "swapped", "read-only"]))
def test_arrays_of_any_layout(seed, layout):
    arrays = Inputs(seed).vectors(3, 41, np.float32)
    change = {
        "strided": lambda a: np.repeat(a, 3)[::3],
        "reversed": lambda a: a[::-1].copy()[::-1],
        "unaligned": lambda a: np.frombuffer(b"?" + a.tobytes(), np.uint8)[1:].view(np.float32),
        "swapped": lambda a: a.astype(">f4"),
        "read-only": lambda a: np.frombuffer(a.tobytes(), np.float32),
    }[layout]
    found = average.weighted_average([change(a) for a in arrays], [0.1, 0.2, 0.7])
    np.testing.assert_array_equal(found, average.weighted_average(arrays, [0.1, 0.2, 0.7]))


def test_a_matrix_is_its_rows_and_a_strided_out_is_filled():
    matrix = np.stack(Inputs(seed=6).vectors(4, 50, np.float64))
    wanted = average.weighted_average(list(matrix), [0.25] * 4)
    np.testing.assert_array_equal(average.weighted_average(matrix, [0.25] * 4), wanted)
    np.testing.assert_array_equal(average.weighted_average(matrix.T.copy().T, [0.25] * 4), wanted)
    memory = np.zeros(100)
    average.weighted_average(matrix, np.full(4, 0.25), out=memory[::2])
    np.testing.assert_array_equal(memory[::2], wanted)
    assert not memory[1::2].any()


class _OnStream(EmulatedDevice):
    """A GPU whose arrays may be touched only inside of `with home.stream()`."""

    inside = False

    @property
    def xp(self):
        assert self.inside, "work for a GPU outside of its owner's stream"
        return np

    @contextmanager
    def stream(self):
        self.inside = True
        yield
        self.inside = False


@needs_compiler
def test_all_work_for_a_gpu_is_on_the_stream_of_its_owner(monkeypatch):
    device = _OnStream()
    monkeypatch.setattr(average, "unwrap", lambda **a: (list(a.values()), Home(device, stream=device.stream)))
    x, out, places = np.arange(6.0)[::2], np.zeros(6)[::2], [None, np.array([1])]
    average.weighted_average([x, x[:1]], [0.5, 0.5], out, places)
    np.testing.assert_array_equal(out, [0.0, 1.0, 4.0])
    average.fisher_average([x, x[:1]], [x, None], [0.5, 0.5], EPS, None, places)
    average.fisher_sums([x, x[:1]], [x, None], 3, places)
    assert device.launches == 3
