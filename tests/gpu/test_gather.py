"""Rows by number on a GPU: CuPy arrays and torch tensors, numbers in either memory."""

from __future__ import annotations

import numpy as np
import pytest

from mpidcl_kernels import gather

pytestmark = pytest.mark.gpu
cupy = pytest.importorskip("cupy")
torch = pytest.importorskip("torch")

SIZES = [(10, (3,), 7), (200_000, (64,), 256), (40, (3, 224, 224), 56)]


@pytest.mark.parametrize(("held", "row", "count"), SIZES)
@pytest.mark.parametrize("numbers", ["host", "device"])
@pytest.mark.parametrize("kind", ["cupy", "torch"])
def test_rows_are_those_of_the_definition(held, row, count, numbers, kind):
    rng = np.random.default_rng(0)
    store, rows = rng.random((held, *row), np.float32), rng.random((count, *row), np.float32)
    slots, index = rng.integers(-1, held, count), rng.integers(0, held, count)
    put = cupy.asarray if kind == "cupy" else lambda array: torch.from_numpy(array).cuda()
    on_gpu, there = put(store), put if numbers == "device" else np.asarray
    gather.insert_rows(on_gpu, put(rows), there(slots))
    wanted = gather.insert_definition(store, rows, slots)
    np.testing.assert_array_equal(on_gpu.get() if kind == "cupy" else on_gpu.cpu().numpy(), wanted)
    found = gather.gather_rows(on_gpu, there(index))
    assert type(found) is type(on_gpu)
    np.testing.assert_array_equal(found.get() if kind == "cupy" else found.cpu().numpy(), wanted[index])


def test_numbers_are_checked_before_anything_is_written():
    store = cupy.zeros((100, 3))
    with pytest.raises(ValueError, match=r"`slots` should be between -1 and 99\. Found 250\."):
        gather.insert_rows(store, cupy.ones((2, 3)), np.array([0, 250]))
    assert not store.any()


def test_work_follows_what_torch_does_on_its_stream():
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        store = torch.zeros(1000, 4096, device="cuda")
        for _ in range(50):
            store += 1
        found = gather.gather_rows(store, np.arange(999, -1, -1))
    stream.synchronize()
    assert (found == 50).all()
