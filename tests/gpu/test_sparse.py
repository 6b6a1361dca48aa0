"""The k largest scores on a GPU, and moving values: CuPy arrays and torch tensors."""

import numpy as np
import pytest

from mpidcl_kernels.sparse import (
    gather_values,
    scatter_add,
    scatter_set,
    top_k,
    top_k_change,
    top_k_change_definition,
    top_k_definition,
)

pytestmark = pytest.mark.gpu


def scores(size, dtype):
    values = np.round(np.random.default_rng(size).normal(size=size) * 1000).astype(dtype)
    values[::1000], values[1::999] = np.nan, -np.inf
    return values


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("size", [5, 3_000_001])
def test_top_k_of_cupy_arrays(dtype, size):
    cupy = pytest.importorskip("cupy")
    values = scores(size, dtype)
    for k in (1, size // 5, size):
        found = top_k(cupy.asarray(values), k)
        np.testing.assert_array_equal(found.get(), top_k_definition(values, k))


@pytest.mark.parametrize("size", [5, 3_000_001])
def test_top_k_change_of_torch_tensors_on_their_own_stream(size):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    model, sent = rng.normal(size=(2, size)).astype(np.float32)
    k = size // 5
    with torch.cuda.stream(torch.cuda.Stream()):
        a, b = torch.from_numpy(model).cuda(), torch.from_numpy(sent).cuda()
        a.mul_(2)  # still in the queue when the kernel is started
        found = top_k_change(a, b, k)
        scatter_set(b, found, gather_values(a, found))
        found, b = found.cpu().numpy(), b.cpu().numpy()
    wanted = top_k_change_definition(model * 2, sent, k)
    np.testing.assert_array_equal(found, wanted)
    sent[wanted] = 2 * model[wanted]
    np.testing.assert_array_equal(b, sent)


@pytest.mark.parametrize("size", [5, 1_000_003])
def test_repeated_positions_are_added_in_order(size):
    cupy = pytest.importorskip("cupy")
    rng = np.random.default_rng(0)
    positions, values = rng.integers(0, size, 2 * size), rng.normal(size=2 * size)
    target = cupy.zeros(size)
    scatter_add(target, cupy.asarray(positions), cupy.asarray(values))
    wanted = np.zeros(size)
    np.add.at(wanted, positions, values)
    np.testing.assert_allclose(target.get(), wanted, rtol=1e-12, atol=1e-14)
    again = cupy.zeros(size)
    scatter_add(again, cupy.asarray(positions), cupy.asarray(values))
    assert (target == again).all()


def test_a_position_outside_is_refused():
    cupy = pytest.importorskip("cupy")
    with pytest.raises(ValueError, match="Found 5"):
        gather_values(cupy.zeros(5), cupy.asarray([0, 5]))
