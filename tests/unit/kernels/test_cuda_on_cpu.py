"""The device that runs CUDA C on the CPU: barriers, shuffles and what a GPU would refuse."""

import cuda_on_cpu
import numpy as np
import pytest
from cuda_on_cpu import EmulatedDevice, needs_compiler

pytestmark = needs_compiler

SOURCE = r"""
// Sum of x [n]: warps by shuffles, blocks by shared memory.
extern "C" __global__ void sums(const T* __restrict__ x, double* __restrict__ out, long long n) {
    __shared__ double warps[32];
    double total = 0;
    long long step = (long long)gridDim.x * blockDim.x;
    for (long long i = blockIdx.x * (long long)blockDim.x + threadIdx.x; i < n; i += step) total += x[i];
    for (int by = 16; by; by >>= 1) total += __shfl_down_sync(0xffffffffu, total, by);
    if (threadIdx.x % 32 == 0) warps[threadIdx.x / 32] = total;
    __syncthreads();
    if (threadIdx.x == 0) {
        for (int w = 1; w < (int)blockDim.x / 32; w++) total += warps[w];
        out[blockIdx.x] = total;
    }
}
// Needs the barrier: without it thread t reads what its neighbour has not written yet.
extern "C" __global__ void shift(long long* __restrict__ x) {
    __shared__ long long all[1024];
    all[threadIdx.x] = threadIdx.x + 1000 * blockIdx.x;
    __syncthreads();
    x[blockIdx.x * blockDim.x + threadIdx.x] = all[(threadIdx.x + 1) % blockDim.x];
}
// Only warp 0 waits at its barrier; the others leave.
extern "C" __global__ void first_warp(long long* __restrict__ x, long long add, bool twice) {
    if (threadIdx.x >= 32) return;
    long long lane = __shfl_xor_sync(0xffffffffu, (long long)threadIdx.x, 1);
    x[threadIdx.x] = (lane + add) * (twice ? 2 : 1);
}
"""


@pytest.fixture
def device(monkeypatch):
    monkeypatch.setattr(cuda_on_cpu, "source_text", lambda source: SOURCE)
    return EmulatedDevice()


@pytest.mark.parametrize(("name", "dtype"), [("float", np.float32), ("double", np.float64)])
@pytest.mark.parametrize("n", [0, 1, 127, 1000])
def test_sums_over_warps_and_blocks(device, name, dtype, n):
    x, out = np.arange(n, dtype=dtype), np.empty(3)
    device.kernel("probe", "sums", T=name)(3, 128, (x, out, n))
    assert out.sum() == n * (n - 1) / 2
    assert device.launches == 1


def test_barriers_order_shared_memory(device):
    x = np.empty(2 * 100, np.int64)
    device.kernel("probe", "shift", T="float")(2, 100, (x,))
    expected = np.roll(np.arange(100), -1)
    np.testing.assert_array_equal(x, np.concatenate([expected, expected + 1000]))


def test_a_missing_barrier_shows(device, monkeypatch):
    monkeypatch.setattr(cuda_on_cpu, "source_text", lambda source: SOURCE.replace("__syncthreads();", ";"))
    shift = device.kernel("without", "shift", T="float")
    found = []
    for _ in range(2):  # one of the two orders of threads must fail
        x = np.zeros(100, np.int64)
        shift(1, 100, (x,))
        found.append(np.array_equal(x, np.roll(np.arange(100), -1)))
    assert not all(found)


def test_writing_outside_of_an_array_shows(device):
    x = np.zeros(90, np.int64)
    with pytest.raises(IndexError, match="argument 0 was written outside of its 720 bytes"):
        device.kernel("probe", "shift", T="float")(1, 100, (x,))


def test_threads_that_left_are_not_waited_for(device):
    x = np.empty(32, np.int64)
    device.kernel("probe", "first_warp", T="float")(1, 96, (x, 5, True))
    np.testing.assert_array_equal(x, 2 * ((np.arange(32) ^ 1) + 5))


def test_what_a_gpu_would_refuse_is_refused(device):
    x, shift = np.empty(64, np.int64), device.kernel("probe", "shift", T="float")
    for blocks, threads in ((0, 32), (1, 0), (1, 1025), ((1, 70000), 32)):
        with pytest.raises(ValueError, match="refuses"):
            shift(blocks, threads, (x,))
    with pytest.raises(ValueError, match="contiguous"):
        shift(1, 32, (x[::2],))
    with pytest.raises(TypeError, match="arguments"):
        shift(1, 32, ("x",))
