"""Editing of rows on a GPU: CuPy arrays and torch tensors against the definition."""

import numpy as np
import pytest

from mpidcl_kernels.editing import edit_definition, edit_pixels

pytestmark = pytest.mark.gpu


def problem(shape, dtype=np.float32):
    rng = np.random.default_rng(0)
    direction = rng.normal(size=shape).astype(dtype)
    direction[1, 2] = np.nan
    return rng.random(shape).astype(dtype), direction


def check(x, moved, arguments):
    expected, displacement = edit_definition(*arguments)
    np.testing.assert_allclose(x, expected, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(moved, displacement, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("shape", "dtype"), [((3, 5), np.float64), ((1024, 3, 32, 32), np.float32)])
def test_cupy_arrays_in_place_and_apart(shape, dtype):
    cupy = pytest.importorskip("cupy")
    x, direction = problem(shape, dtype)
    steps = np.linspace(-0.1, 0.1, shape[0])
    a, d = cupy.asarray(x), cupy.asarray(direction)
    out = cupy.empty_like(a)
    moved = edit_pixels(a, d, cupy.asarray(steps), 0, 1, out=out, max_norm=0.5)
    check(out.get(), moved.get(), (x, direction, steps, 0, 1, 0.5))
    assert (a.get() == x).all()
    moved = edit_pixels(a, d, 0.1, 0, 1)
    check(a.get(), moved.get(), (x, direction, 0.1, 0, 1))


@pytest.mark.parametrize("shape", [(3, 5), (1024, 3072)])
def test_torch_tensors_on_their_own_stream(shape):
    torch = pytest.importorskip("torch")
    x, direction = problem(shape)
    with torch.cuda.stream(torch.cuda.Stream()):
        a, d = (torch.from_numpy(array).cuda() for array in (x, direction))
        d.mul_(2)  # still in the queue when the edit is started
        moved = edit_pixels(a, d, 0.05, 0, 1)
        assert moved.is_cuda
        check(a.cpu().numpy(), moved.cpu().numpy(), (x, direction * 2, 0.05, 0, 1))


def test_rows_that_are_not_contiguous_are_written_where_they_are():
    cupy = pytest.importorskip("cupy")
    x, direction = problem((64, 40))
    wide = cupy.zeros((64, 80), np.float32)
    wide[:, ::2] = cupy.asarray(x)
    moved = edit_pixels(wide[:, ::2], cupy.asarray(direction), 0.1, 0, 1)
    check(wide[:, ::2].get(), moved.get(), (x, direction, 0.1, 0, 1))
    assert not wide[:, 1::2].any()
