"""Values of chosen positions: out of a vector and back into it."""

import numpy as np
import pytest
import torch
from cuda_on_cpu import EmulatedDevice, needs_compiler
from hypothesis import given, settings
from hypothesis import strategies as st

from mpidcl_kernels.base import threads
from mpidcl_kernels.sparse import cuda, gather_values, scatter_add, scatter_add_definition, scatter_set
from mpidcl_kernels.sparse import loops as sparse_loops

INTEGERS = (np.uint8, np.uint16, np.uint32, np.int64)
SETTINGS = settings(max_examples=30)


def scatter_on_cuda(target, positions, values, scale=1.0, replace=False):
    cuda.scatter(EmulatedDevice(), target, positions, values, scale, replace)


ADD = [scatter_add, pytest.param(scatter_on_cuda, marks=needs_compiler)]
SET = [
    scatter_set,
    pytest.param(lambda *a: scatter_on_cuda(*a, replace=True), marks=needs_compiler),
]


@st.composite
def moves(draw):
    """A target, positions in it (any order, repeated), values."""
    size, count = draw(st.integers(1, 200)), draw(st.integers(0, 300))
    kind, integer = draw(st.sampled_from([np.float32, np.float64])), draw(st.sampled_from(INTEGERS))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    positions = rng.integers(0, size, count).astype(integer)
    if draw(st.booleans()):
        positions = np.unique(positions)
    return rng.normal(size=size).astype(kind), positions, rng.normal(size=positions.size).astype(kind)


@pytest.mark.parametrize("form", ADD)
@SETTINGS
@given(moves(), st.sampled_from([1.0, -0.25, 0.0]))
def test_scatter_add_is_its_definition(form, move, scale):
    target, positions, values = move
    wanted = scatter_add_definition(target, positions, values, scale)
    form(target, positions, values, scale)
    tolerance = 1e-5 if target.dtype == np.float32 else 1e-13
    np.testing.assert_allclose(target, wanted, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("form", SET)
@SETTINGS
@given(moves())
def test_scatter_set_keeps_the_last_value_of_a_position(form, move):
    target, positions, values = move
    wanted = target.copy()
    for position, value in zip(positions.tolist(), values, strict=True):
        wanted[position] = value
    form(target, positions, values)
    np.testing.assert_array_equal(target, wanted)


@SETTINGS
@given(moves())
def test_gather_takes_what_indexing_takes(move):
    vector, positions, _ = move
    np.testing.assert_array_equal(gather_values(vector, positions), vector[positions])


@pytest.mark.parametrize("form", ADD)
def test_repeated_positions_are_added_in_order(form):
    target, values = np.zeros(2, np.float32), np.array([1e8, 1.0, -1e8], np.float32)
    form(target, np.array([1, 1, 1]), values)
    assert target.tolist() == [0, 0]  # 1e8 + 1 is 1e8 in float32; any other order would leave the 1
    form(target, np.array([1, 0, 1]), values[[0, 1, 2]], 2.0)
    assert target.tolist() == [2, 0]


@pytest.mark.parametrize("count", [2, 3])
def test_threads_change_nothing(count):
    vector = np.arange(1000, dtype=np.float32)
    positions = np.random.default_rng(0).integers(0, 1000, 4 * sparse_loops.PIECE + 5).astype(np.uint16)
    chosen = list(threads._chosen)
    try:
        threads.set_threads(count)
        np.testing.assert_array_equal(gather_values(vector, positions), vector[positions])
    finally:
        threads._chosen[:] = chosen


def test_strided_arrays_and_nan():
    wide = np.zeros(20)
    scatter_add(wide[::2], np.array([9, 9, 1, 9])[::2], np.array([np.nan, 9, 3, 9])[::2])
    assert np.isnan(wide).nonzero()[0].tolist() == [18]
    assert wide[2] == 3
    assert gather_values(wide[::2], np.array([1, 9, 1, 0])[::2]).tolist() == [3, 3]


@needs_compiler
def test_cuda_writes_to_a_strided_target():
    wide = np.zeros(20, np.float32)
    scatter_on_cuda(wide[::2], np.array([4, 1]), np.array([1, 2], np.float32))
    assert wide.nonzero()[0].tolist() == [2, 8]


def test_torch_tensors_in_place():
    target, positions = torch.zeros(5), torch.tensor([3, 1])
    scatter_add(target, positions, torch.tensor([1.0, 2.0]), scale=2.0)
    assert target.tolist() == [0, 4, 0, 2, 0]
    scatter_set(target, positions, torch.tensor([7.0, 8.0]))
    out = torch.zeros(2)
    assert gather_values(target, positions, out=out).data_ptr() == out.data_ptr()
    assert out.tolist() == [7, 8]


FIVE, TWO = np.zeros(5, np.float32), np.zeros(2, np.float32)


@pytest.mark.parametrize(
    ("positions", "error", "message"),
    [
        (np.array([0, 5]), ValueError, r"`positions` should be in 0..4. Found 5."),
        (np.array([-1, 4]), ValueError, r"`positions` should be in 0..4. Found -1."),
        (np.array([0.0, 1.0]), TypeError, "`positions` should be of an integer dtype. Found float64."),
        (np.array([[0, 1]]), ValueError, r"`positions` should be a vector. Found shape \[1, 2\]."),
    ],
)
def test_wrong_positions_are_refused(positions, error, message):
    for call in (gather_values, lambda t, p: scatter_add(t, p, TWO), lambda t, p: scatter_set(t, p, TWO)):
        with pytest.raises(error, match=message):
            call(FIVE, positions)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda p: scatter_add(FIVE, p, FIVE), ValueError, r"`values` should be \[2\]. Found \[5\]."),
        (
            lambda p: scatter_set(FIVE, p, np.zeros(2)),
            TypeError,
            "`values` should be float32. Found float64.",
        ),
        (lambda p: scatter_add(np.zeros(5, int), p, TWO), TypeError, "`target` should be float32 or float64"),
        (lambda p: gather_values(FIVE, p, out=FIVE), ValueError, r"`out` should be \[2\]. Found \[5\]."),
        (lambda p: gather_values(FIVE, p, out=FIVE[3:]), ValueError, "`out` should be apart from `vector`"),
        (lambda p: scatter_add(FIVE, p, FIVE[1:3]), ValueError, "`target` should be apart from `values`"),
        (lambda p: gather_values(FIVE[:0], p), ValueError, "`positions` should be empty"),
    ],
)
def test_what_does_not_fit_is_refused(call, error, message):
    with pytest.raises(error, match=message):
        call(np.array([0, 1]))


def test_a_read_only_target_is_refused():
    target = np.zeros(5, np.float32)
    target.flags.writeable = False
    with pytest.raises(ValueError, match="`target` should be writable"):
        scatter_set(target, np.array([0, 1]), TWO)
