"""What gram's functions accept, where results go, what they refuse, and values known beforehand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from cuda_on_cpu import EmulatedDevice, needs_compiler
from hypothesis import given, settings
from hypothesis import strategies as st

from mpidcl_kernels import gram
from mpidcl_kernels.gram import cuda
from mpidcl_kernels.gram.rows import take

ROWS = np.array([[1, 2, 2], [0, 3, 4], [-2, 0, 0], [0, 0, 0]], np.float32)
THIRD = 1 / 3
PINNED = {
    "gram_matrix": (
        gram.gram_matrix(ROWS),
        [[9, 14, -2, 0], [14, 25, 0, 0], [-2, 0, 4, 0], [0, 0, 0, 0]],
    ),
    "gram_blocks": (gram.gram_blocks(ROWS[:2], 2), [[[5, 6], [6, 9]], [[4, 8], [8, 16]]]),
    "cosine_matrix": (
        gram.cosine_matrix(gram.gram_matrix(ROWS)),
        [[1, 14 / 15, -THIRD, 0], [14 / 15, 1, 0, 0], [-THIRD, 0, 1, 0], [0, 0, 0, 0]],
    ),
    "combine_rows": (gram.combine_rows(ROWS, [1.0, 0.5, -0.25, 7.0]), [1.5, 3.5, 4.0]),
}


@pytest.mark.parametrize(("found", "wanted"), PINNED.values(), ids=PINNED)
def test_pinned_values(found, wanted):
    np.testing.assert_allclose(found, wanted, rtol=1e-15)


@settings(max_examples=60)
@given(st.integers(0, 8), st.integers(0, 99), st.sampled_from([1e-150, 1e-20, 1.0, 1e150]))
def test_cosines_are_their_definition_within_one_and_blind_to_lengths(n, seed, scale):
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(n, 5)) * scale
    rows[rng.random(n) < 0.2] = 0
    matrix = gram.gram_matrix(rows)
    found = gram.cosine_matrix(matrix)
    assert found.dtype == np.float64
    assert (abs(found) <= 1).all()
    assert found.diagonal().tolist() == [float(row.any()) for row in rows]
    np.testing.assert_allclose(
        found, gram.cosine_matrix_definition(gram.gram_matrix(rows / scale)), atol=1e-14
    )


def test_torch_tensors_are_read_and_written_in_place():
    rows, out = torch.from_numpy(ROWS.copy()), torch.zeros(4, 4, dtype=torch.float64)
    assert gram.gram_matrix(rows, out=out) is out
    assert torch.equal(out, (rows @ rows.T).double())
    combined = torch.zeros(3)
    assert gram.combine_rows(rows, torch.ones(4), out=combined) is combined
    assert combined.tolist() == [-1, 5, 6]
    found = gram.combine_rows(list(rows), torch.ones(4, dtype=torch.float64))
    assert isinstance(found, torch.Tensor)
    assert torch.equal(found, combined)
    assert isinstance(gram.cosine_matrix(out), torch.Tensor)
    assert isinstance(gram.gram_blocks(rows), torch.Tensor)


@pytest.mark.parametrize(
    "form",
    [lambda rows: rows, list, lambda rows: rows[:, :60_000]],
    ids=["matrix", "list", "part of a wider matrix"],
)
def test_rows_are_not_copied(form, monkeypatch):
    rows = torch.ones(3, 70_000)
    seen = []
    monkeypatch.setattr(
        "mpidcl_kernels.gram.cpu.one_vector", lambda found: seen.append(found) or spanned(found)
    )
    monkeypatch.setattr("mpidcl_kernels.gram.cpu.packed", None)
    gram.gram_matrix(form(rows))
    gram.combine_rows(form(rows), [1.0, 1.0, 1.0])
    for found in seen:
        span, starts = spanned(found)
        assert [span.ctypes.data + 4 * start for start in starts[:3]] == [row.data_ptr() for row in rows]


def spanned(found):
    from mpidcl_kernels.gram.rows import one_vector

    return one_vector(found)


def test_out_may_be_strided_or_one_of_the_rows():
    wide = np.full((4, 8), -1.0)
    found = gram.gram_matrix(ROWS, out=wide[:, ::2])
    assert found.base is wide
    np.testing.assert_array_equal(wide[:, ::2], gram.gram_matrix(ROWS))
    assert (wide[:, 1::2] == -1).all()
    strided = np.full(6, -1, np.float32)
    gram.combine_rows(ROWS, [1.0, 1.0, 1.0, 1.0], out=strided[::2])
    assert strided.tolist() == [-1, -1, 5, -1, 6, -1]
    rows = np.ones((12, 70_000), np.float32)
    gram.combine_rows(rows, np.ones(12), out=rows[3])
    assert (rows[3] == 12).all()


BAD = {
    "three dimensions": (lambda: gram.gram_matrix(np.ones((2, 2, 2))), ValueError, "rows"),
    "integers": (lambda: gram.gram_matrix(np.ones((2, 2), int)), TypeError, "rows"),
    "other byte order": (lambda: gram.gram_matrix(np.ones((2, 2), ">f4")), TypeError, "rows"),
    "no array": (lambda: gram.gram_matrix("rows"), TypeError, "rows"),
    "no rows": (lambda: gram.gram_matrix([]), ValueError, "rows"),
    "a matrix in a list": (lambda: gram.gram_matrix([np.ones((2, 2))]), ValueError, r"rows\[0\]"),
    "another length": (lambda: gram.gram_matrix([np.ones(2), np.ones(3)]), ValueError, r"rows\[1\]"),
    "another dtype": (
        lambda: gram.gram_matrix([np.ones(2), np.ones(2, np.float32)]),
        TypeError,
        r"rows\[1\]",
    ),
    "numbers in a list": (lambda: gram.gram_matrix([1.0]), TypeError, r"rows\[0\]"),
    "out of another shape": (lambda: gram.gram_matrix(ROWS, out=np.ones((2, 2))), ValueError, "out"),
    "out of another dtype": (
        lambda: gram.gram_matrix(ROWS, out=np.ones((4, 4), np.float32)),
        TypeError,
        "out",
    ),
    "read-only out": (
        lambda: gram.combine_rows(ROWS, np.ones(4), out=np.broadcast_to(np.float32(0), 3)),
        ValueError,
        "out",
    ),
    "out of another length": (
        lambda: gram.combine_rows(ROWS, np.ones(4), np.ones(4, np.float32)),
        ValueError,
        "out",
    ),
    "a weight too few": (lambda: gram.combine_rows(ROWS, [1.0]), ValueError, "weights"),
    "weights of words": (lambda: gram.combine_rows(ROWS, ["a"] * 4), ValueError, "weights"),
    "half a block": (lambda: gram.gram_blocks(ROWS, 2.5), TypeError, "block"),
    "weights of another type": (lambda: gram.combine_rows(ROWS, np.ones(4, int)), TypeError, "weights"),
    "blocks of nothing": (lambda: gram.gram_blocks(ROWS, 0), ValueError, "block"),
    "a Gram matrix that is not square": (lambda: gram.cosine_matrix(ROWS), ValueError, "gram"),
    "a Gram matrix of integers": (lambda: gram.cosine_matrix(np.ones((2, 2), int)), TypeError, "gram"),
}


@pytest.mark.parametrize(("call", "error", "name"), BAD.values(), ids=BAD)
def test_bad_input_is_refused(call, error, name):
    with pytest.raises(error, match=rf"^`{name}` should be .*\. Found .*\.$"):
        call()


@needs_compiler
def test_out_may_begin_inside_a_row():
    memory = np.random.default_rng(0).normal(size=400_000)
    rows, weights = memory[:300_000].reshape(3, 100_000), np.array([0.5, 2.0, -1.0])
    wanted = gram.combine_rows_definition(rows, weights)
    other, out = memory.copy(), memory[5:100_005]
    assert gram.combine_rows(rows, weights, out=out) is out and np.array_equal(out, wanted)
    found = take(other[:300_000].reshape(3, 100_000))[0]
    cuda.combine_rows(EmulatedDevice(), found, weights, other[5:100_005])
    np.testing.assert_allclose(other[5:100_005], wanted, rtol=1e-14)
    halves = memory[: 2 * 100_000 : 2]  # the same beginning, another distance
    wanted = gram.combine_rows_definition(halves[None], [2.0])
    assert np.array_equal(gram.combine_rows([halves], [2.0], out=memory[:100_000]), wanted)
