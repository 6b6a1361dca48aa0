"""Weights of gradients whose Gram matrix is on a GPU: solved on the host, returned where they came from."""

import numpy as np
import pytest

from mpidcl_kernels.simplex import elastic_weights

pytestmark = pytest.mark.gpu


def problem(n):
    rows = np.random.default_rng(n).normal(size=(n, 2 * n))
    return rows @ rows.T, np.linspace(0.5, 1, n)


@pytest.mark.parametrize("n", [3, 128])
def test_cupy_arrays(n):
    cupy = pytest.importorskip("cupy")
    gram, sigma = problem(n)
    found = elastic_weights(cupy.asarray(gram), cupy.asarray(sigma), 0.01 / n)
    assert isinstance(found, cupy.ndarray)
    np.testing.assert_array_equal(found.get(), elastic_weights(gram, sigma, 0.01 / n))


@pytest.mark.parametrize("n", [3, 128])
def test_torch_tensors_on_their_own_stream(n):
    torch = pytest.importorskip("torch")
    gram, sigma = problem(n)
    with torch.cuda.stream(torch.cuda.Stream()):
        placed = torch.from_numpy(gram).cuda()
        placed.mul_(2)  # still in the queue when the copy is asked for
        found = elastic_weights(placed, torch.from_numpy(sigma).cuda())
        assert found.is_cuda and found.dtype == torch.float64
        found = found.cpu().numpy()
    np.testing.assert_array_equal(found, elastic_weights(gram * 2, sigma))


def test_arrays_on_two_devices_are_refused():
    cupy = pytest.importorskip("cupy")
    gram, sigma = problem(3)
    with pytest.raises(TypeError, match="`sigma` should be on cuda:0, like `gram`"):
        elastic_weights(cupy.asarray(gram), sigma)
