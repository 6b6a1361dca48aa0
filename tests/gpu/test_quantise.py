"""Codes on a GPU: CuPy arrays and torch tensors are the definition, bit for bit."""

import numpy as np
import pytest

from mpidcl_kernels.quantise import dequantise, dequantise_definition, quantise, quantise_definition

pytestmark = pytest.mark.gpu
SIZES = (3, 3_000_001)


def vector(size, dtype=np.float32):
    values = np.random.default_rng(0).normal(size=size).astype(dtype)
    values[size // 2 :: 100_000] = 1e-30
    return values


def check(codes, scales, back, values, form):
    wanted = quantise_definition(values, form)
    np.testing.assert_array_equal(codes, wanted[0])
    np.testing.assert_array_equal(scales, wanted[1])
    np.testing.assert_array_equal(back, dequantise_definition(*wanted))


@pytest.mark.parametrize("form", ["float16", "int8"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("size", [0, *SIZES])
def test_cupy_arrays(form, dtype, size):
    cupy = pytest.importorskip("cupy")
    values = vector(size, dtype)
    if size > 10_000:
        values[5000] = np.nan
    codes, scales = quantise(cupy.asarray(values), form)
    check(codes.get(), scales.get(), dequantise(codes, scales).get(), values, form)


@pytest.mark.parametrize("form", ["float16", "int8"])
@pytest.mark.parametrize("size", SIZES)
def test_torch_tensors_on_their_own_stream(form, size):
    torch = pytest.importorskip("torch")
    values = vector(size)
    with torch.cuda.stream(torch.cuda.Stream()):
        given = torch.from_numpy(values).cuda()
        given.mul_(3)  # still in the queue when the kernel is started
        codes, scales = quantise(given, form)
        out = torch.zeros_like(given)
        assert dequantise(codes, scales, out=out).data_ptr() == out.data_ptr()
        found = codes.cpu().numpy(), scales.cpu().numpy(), out.cpu().numpy()
    check(*found, values * np.float32(3), form)
