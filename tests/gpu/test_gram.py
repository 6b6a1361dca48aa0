"""Gram matrix and weighted sum of rows on a GPU: CuPy arrays and torch tensors against the definition."""

import numpy as np
import pytest

from mpidcl_kernels import gram

pytestmark = pytest.mark.gpu
SIZES = [(3, 100), (10, 1_000_003)]


def problem(n, p, dtype=np.float32):
    rng = np.random.default_rng(0)
    return rng.standard_normal((n, p), dtype), rng.normal(size=n)


def check(found, wanted, error):
    scale = np.sqrt(np.outer(wanted.diagonal(), wanted.diagonal()))
    assert (abs(found - wanted) <= error * scale).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("n", "p"), SIZES)
def test_cupy_arrays(n, p, dtype):
    cupy = pytest.importorskip("cupy")
    rows, weights = problem(n, p, dtype)
    wanted, placed = gram.gram_matrix_definition(rows), cupy.asarray(rows)
    for form in (placed, list(placed), cupy.asfortranarray(placed)):
        found = gram.gram_matrix(form)
        assert isinstance(found, cupy.ndarray)
        check(found.get(), wanted, 1e-12)
        np.testing.assert_array_equal(found.get(), gram.gram_matrix(form).get())
    blocks = gram.gram_blocks(placed, 4096).get()
    check(blocks.sum(0), wanted, 1e-12)
    np.testing.assert_array_equal(gram.gram_blocks(placed[:, 4096:], 4096).get(), blocks[1:])
    np.testing.assert_allclose(
        gram.cosine_matrix(found).get(), gram.cosine_matrix_definition(wanted), atol=1e-12
    )
    eps = np.finfo(dtype).eps
    for factors in (weights, cupy.asarray(weights)):
        combined = gram.combine_rows(placed, factors).get()
        np.testing.assert_allclose(combined, gram.combine_rows_definition(rows, weights), eps, 10 * eps)


@pytest.mark.parametrize(("n", "p"), SIZES)
def test_torch_tensors_on_their_own_stream(n, p):
    torch = pytest.importorskip("torch")
    rows, weights = problem(n, p)
    with torch.cuda.stream(torch.cuda.Stream()):
        placed = torch.from_numpy(rows).cuda()
        placed.mul_(2)  # still in the queue when the sums are started
        out = torch.empty(n, n, dtype=torch.float64, device="cuda")
        assert gram.gram_matrix(placed, out=out) is out
        factors = torch.from_numpy(weights).cuda().mul_(3)
        combined = gram.combine_rows(list(placed), factors)
        assert combined.is_cuda
        matrix, combined = out.cpu().numpy(), combined.cpu().numpy()
    check(matrix, gram.gram_matrix_definition(rows * 2), 1e-12)
    wanted = gram.combine_rows_definition(rows * 2, weights * 3)
    np.testing.assert_allclose(combined, wanted, rtol=1e-6, atol=1e-6)


def test_arrays_on_two_devices_are_refused():
    cupy = pytest.importorskip("cupy")
    rows, weights = problem(3, 10)
    with pytest.raises(TypeError, match=r"^`out` should be on cuda:0"):
        gram.gram_matrix(cupy.asarray(rows), out=np.ones((3, 3)))
    with pytest.raises(TypeError, match=r"^`weights` should be on the CPU"):
        gram.combine_rows(rows, cupy.asarray(weights))
