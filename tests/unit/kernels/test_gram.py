"""Gram matrix, cosines and weighted sums: all forms against their definitions."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from cuda_on_cpu import EmulatedDevice, needs_compiler
from hypothesis import given, settings
from hypothesis import strategies as st

from mpidcl_kernels import gram
from mpidcl_kernels.base import threads
from mpidcl_kernels.gram import cuda as on_cuda
from mpidcl_kernels.gram.rows import take

SETTINGS = settings(max_examples=60)
FEW = settings(max_examples=12)
DTYPES = st.sampled_from([np.float32, np.float64])
SIZES = st.tuples(st.integers(0, 14), st.integers(0, 700))
SMALL = st.tuples(st.integers(0, 11), st.integers(0, 400))


@pytest.fixture
def set_threads():
    before = threads.get_threads()
    yield threads.set_threads
    threads.set_threads(before)


def matrix(n, p, dtype=np.float32, seed=0):
    """Rows whose lengths differ by powers of ten, as gradients of different tasks do."""
    rng = np.random.default_rng(seed)
    return (rng.normal(size=(n, p)) * 10.0 ** rng.integers(-3, 4, (n, 1))).astype(dtype)


def assert_grams_agree(found, wanted, error=1e-14):
    length = np.sqrt(np.diagonal(wanted, axis1=-2, axis2=-1))
    scale = length[..., :, None] * length[..., None, :]
    assert found.shape == wanted.shape
    assert found.dtype == np.float64
    assert (abs(found - wanted) <= error * scale).all()


@SETTINGS
@given(SIZES, DTYPES, st.integers(1, 800), st.integers(0, 99))
def test_compiled_blocks_are_their_definition(size, dtype, block, seed):
    rows = matrix(*size, dtype, seed)
    blocks = gram.gram_blocks(rows, block)
    assert_grams_agree(blocks, gram.gram_blocks_definition(rows, block))
    np.testing.assert_array_equal(blocks, blocks.transpose(0, 2, 1))
    assert_grams_agree(gram.gram_matrix(rows), gram.gram_matrix_definition(rows))


@needs_compiler
@FEW
@given(SMALL, DTYPES, st.integers(200, 800), st.integers(0, 99))
def test_cuda_blocks_are_their_definition(size, dtype, block, seed):
    rows = matrix(*size, dtype, seed)
    found, device = take(rows)[0], EmulatedDevice()
    blocks = on_cuda.gram_blocks(device, found, block)
    assert_grams_agree(blocks, gram.gram_blocks_definition(rows, block))
    np.testing.assert_array_equal(on_cuda.gram_matrix(device, found, block), sum_in_order(blocks, size[0]))


@SETTINGS
@given(SIZES, DTYPES, st.integers(0, 99))
def test_combined_rows_are_their_definition_bit_for_bit(size, dtype, seed):
    rows, weights = matrix(*size, dtype, seed), np.random.default_rng(seed).normal(size=size[0])
    found = gram.combine_rows(rows, weights)
    assert found.dtype == dtype
    np.testing.assert_array_equal(found, gram.combine_rows_definition(rows, weights))


@needs_compiler
@FEW
@given(SIZES, DTYPES, st.integers(0, 99))
def test_rows_combined_by_cuda_are_their_definition(size, dtype, seed):
    rows, weights = matrix(*size, dtype, seed), np.random.default_rng(seed).normal(size=size[0])
    found = on_cuda.combine_rows(EmulatedDevice(), take(rows)[0], weights, None)
    wanted = gram.combine_rows_definition(rows, weights)
    # The multiplication and the addition of a GPU round once.
    scale = abs(weights) @ abs(rows.astype(np.float64))
    assert (abs(found - wanted) <= np.finfo(dtype).eps * scale).all()


def sum_in_order(blocks, n):
    total = np.zeros((n, n))
    for block in blocks:
        total += block
    return total


@pytest.mark.parametrize("n", [1, 2, 3, 8, 11, 13])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_any_number_of_threads_and_any_owner_of_blocks_gives_the_same_bits(
    n, dtype, set_threads, monkeypatch
):
    monkeypatch.setattr("mpidcl_kernels.gram.cpu.AT_ONCE", 2 * n * n)
    p = 3 * gram.BLOCK + 777
    rows, weights = matrix(n, p, dtype), np.linspace(-1, 1, n)
    set_threads(1)
    blocks, combined = gram.gram_blocks(rows), gram.combine_rows(rows, weights)
    wanted = sum_in_order(blocks, n)
    for count in (1, 2, 3):
        set_threads(count)
        np.testing.assert_array_equal(gram.gram_matrix(rows), wanted)
        np.testing.assert_array_equal(gram.combine_rows(rows, weights), combined)
    owned = [gram.gram_blocks(rows[:, a:b]) for a, b in ((0, gram.BLOCK), (gram.BLOCK, p))]
    np.testing.assert_array_equal(np.concatenate(owned), blocks)


def unaligned(rows):
    memory = np.zeros(rows.nbytes + 1, np.uint8)
    copy = memory[1:].view(rows.dtype).reshape(rows.shape)
    copy[...] = rows
    assert not copy.flags.aligned
    return copy


LAYOUTS = {
    "columns first": np.asfortranarray,
    "every other column": lambda rows: np.repeat(rows, 2, axis=1)[:, ::2],
    "part of a wider matrix": lambda rows: np.hstack([rows, rows])[:, : rows.shape[1]],
    "from the last row up": lambda rows: rows[::-1].copy()[::-1],
    "from the last column back": lambda rows: rows[:, ::-1].copy()[:, ::-1],
    "unaligned": unaligned,
    "read-only": lambda rows: np.broadcast_to(rows, rows.shape),
    "list of copies": lambda rows: [row.copy() for row in rows],
    "list of views in another order": lambda rows: list(rows[::-1].copy())[::-1],
    "tuple, one of them strided": lambda rows: (*rows[:-1], np.repeat(rows[-1], 3)[::3]),
    "list of unaligned": lambda rows: list(unaligned(rows)),
}


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
@pytest.mark.parametrize("n", [1, 3, 12])
def test_the_layout_of_rows_does_not_change_a_bit(n, layout):
    rows, weights = matrix(n, 70_001), np.linspace(-1, 1, n)
    other = layout(rows)
    np.testing.assert_array_equal(gram.gram_matrix(other), gram.gram_matrix(rows))
    np.testing.assert_array_equal(gram.combine_rows(other, weights), gram.combine_rows(rows, weights))


@needs_compiler
@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_cuda_takes_the_same_layouts(layout):
    rows = matrix(6, 300)
    if layout is unaligned or layout is LAYOUTS["list of unaligned"]:
        pytest.skip("arrays on a GPU are aligned")
    found, _, _ = take(layout(rows))
    assert_grams_agree(on_cuda.gram_matrix(EmulatedDevice(), found, 128), gram.gram_matrix_definition(rows))


def test_nothing_is_compiled_for_another_number_of_rows():
    gram.warm()
    from mpidcl_kernels.gram.cpu import _loops

    before = [len(loop.dispatcher().signatures) for loop in _loops()]
    assert all(before)
    for n in (1, 4, 7, 31):
        rows = list(matrix(n, gram.BLOCK + 50))
        gram.combine_rows(rows, gram.gram_matrix(rows)[0])
    assert [len(loop.dispatcher().signatures) for loop in _loops()] == before


@needs_compiler
def test_more_slices_than_one_launch_takes(monkeypatch):
    monkeypatch.setattr(on_cuda, "SLICE", 16)
    monkeypatch.setattr(on_cuda, "MOST_SLICES", 3)
    monkeypatch.setattr(on_cuda, "AT_ONCE", 200)
    rows, device = matrix(6, 500), EmulatedDevice()
    assert_grams_agree(on_cuda.gram_blocks(device, take(rows)[0], 90), gram.gram_blocks_definition(rows, 90))
    assert device.launches > 2


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("n", [1, 2, 6, 9])
def test_nan_and_inf_reach_the_elements_of_their_row_and_no_other(n, value):
    rows = matrix(n, 1000)
    rows[-1, 500] = value
    found = gram.gram_matrix(rows)
    touched = np.zeros((n, n), dtype=bool)
    touched[-1] = touched[:, -1] = True
    assert (np.isfinite(found) == ~touched).all()
    assert np.isnan(found[-1, -1]) if np.isnan(value) else found[-1, -1] == np.inf
    combined = gram.combine_rows(rows, np.ones(n))
    assert np.flatnonzero(~np.isfinite(combined)).tolist() == [500]
    cosines = gram.cosine_matrix(found)
    assert (np.isfinite(cosines) >= ~touched).all()
    assert np.isnan(cosines[-1, -1])


@pytest.mark.parametrize(("n", "p"), [(0, 0), (0, 5), (3, 0)])
def test_empty(n, p):
    rows = np.empty((n, p), np.float32)
    np.testing.assert_array_equal(gram.gram_matrix(rows), np.zeros((n, n)))
    assert gram.gram_blocks(rows).shape == (1 if p else 0, n, n)
    np.testing.assert_array_equal(gram.combine_rows(rows, np.ones(n)), np.zeros(p, np.float32))
    assert gram.cosine_matrix(np.zeros((n, n))).shape == (n, n)


def test_float64_sums_on_gradients_of_a_network():
    rows = network_gradients()
    found = gram.gram_matrix(rows)
    wide = rows.astype(np.float64)
    exact = np.array([[math.fsum(a * b) for b in wide] for a in wide])
    assert_grams_agree(found, exact, 1e-13)
    # What the same sums lose in float32 shows that this test could fail.
    scale = np.sqrt(np.outer(exact.diagonal(), exact.diagonal()))
    assert (abs(rows @ rows.T - exact) / scale).max() > 1e-9


def network_gradients():
    """Gradients [6, 51,000] of a small network after a few steps, one for each of six batches."""
    generator = torch.Generator().manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(64, 512), torch.nn.ReLU(), torch.nn.Linear(512, 34))
    for parameter in net.parameters():
        torch.nn.init.normal_(parameter, std=0.05, generator=generator)
    x, y = torch.randn(6, 32, 64, generator=generator), torch.randint(34, (6, 32), generator=generator)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.5)
    for step in range(12):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(net(x[step % 6]), y[step % 6]).backward()
        optimizer.step()
    losses = [torch.nn.functional.cross_entropy(net(x[i]), y[i]) for i in range(6)]
    parts = [torch.autograd.grad(loss, list(net.parameters())) for loss in losses]
    return np.array([torch.cat([part.reshape(-1) for part in row]).numpy() for row in parts])
