"""Averages on a GPU: the bits of the CPU, for CuPy arrays and torch tensors, on the current stream."""

from __future__ import annotations

import numpy as np
import pytest

from mpidcl_kernels import average

pytestmark = pytest.mark.gpu
cupy = pytest.importorskip("cupy")
torch = pytest.importorskip("torch")
WEIGHTS, EPS = [0.2, 0.3, 0.5], 1e-3


def models(size, seed=0):
    rng = np.random.default_rng(seed)
    places = [None, size // 3, np.sort(rng.permutation(size)[: size // 2])]
    whole = [rng.normal(size=size).astype(np.float32) for _ in range(6)]
    parts = [whole[0], whole[1][: size // 4].copy(), whole[2][places[2]]]
    fishers = [np.abs(whole[3]), None, np.abs(whole[5])[places[2]]]
    return parts, fishers, places


def onto(convert, values):
    return [convert(v) if isinstance(v, np.ndarray) else v for v in values]


CONVERSIONS = {
    "cupy": lambda a: cupy.asarray(a),
    "torch": lambda a: torch.from_numpy(a).cuda(),
}


@pytest.mark.parametrize("kind", CONVERSIONS)
@pytest.mark.parametrize("size", [1, 1000, 3_000_001])
def test_the_bits_are_those_of_the_cpu(kind, size):
    parts, fishers, places = models(size)
    there = [onto(CONVERSIONS[kind], values) for values in (parts, fishers, places)]

    def host(result):
        return result.get() if kind == "cupy" else result.cpu().numpy()

    found = host(average.weighted_average(there[0], WEIGHTS, places=there[2]))
    np.testing.assert_array_equal(found, average.weighted_average(parts, WEIGHTS, places=places))
    found = host(average.fisher_average(there[0], there[1], WEIGHTS, EPS, places=there[2]))
    np.testing.assert_array_equal(found, average.fisher_average(parts, fishers, WEIGHTS, EPS, places=places))
    found = average.fisher_sums(there[0], there[1], size, there[2])
    for one, other in zip(found, average.fisher_sums(parts, fishers, size, places), strict=True):
        np.testing.assert_array_equal(host(one), other)
    found = average.distances(there[0][0], there[0], there[2])
    np.testing.assert_allclose(found, average.distances(parts[0], parts, places), rtol=1e-12)


def test_a_tensor_is_written_in_place_on_the_current_stream():
    a, b = torch.zeros(10_000_000, device="cuda"), torch.zeros(10_000_000, device="cuda")
    with torch.cuda.stream(torch.cuda.Stream()):
        b.fill_(4)  # not waited for: the kernel must come after it
        before = a.data_ptr()
        assert average.weighted_average([a, b], [0.5, 0.5], out=a) is a
        assert a.data_ptr() == before and a.unique().tolist() == [2]


def test_arrays_on_two_devices_are_refused():
    with pytest.raises(TypeError, match="should be on"):
        average.weighted_average([np.zeros(3, np.float32), cupy.zeros(3, cupy.float32)], [0.5, 0.5])


@pytest.mark.parametrize("kind", ["cupy", "torch"])
def test_a_gpu_need_not_be_the_current_one(kind):
    if torch.cuda.device_count() < 2:
        pytest.skip("needs two GPUs")
    if kind == "cupy":
        with cupy.cuda.Device(1):
            a, b = cupy.zeros(1000), cupy.ones(1000)
    else:
        a, b = torch.zeros(1000, device="cuda:1"), torch.ones(1000, device="cuda:1")
    average.weighted_average([a, b], [0.25, 0.75], out=a)
    found = a.get() if kind == "cupy" else a.cpu().numpy()
    assert (found == 0.75).all()
