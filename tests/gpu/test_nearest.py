"""Nearest rows on a GPU: CuPy arrays and torch tensors against the definition."""

import numpy as np
import pytest

from mpidcl_kernels.nearest import nearest_definition, nearest_rows

pytestmark = pytest.mark.gpu
METRICS = ("cosine", "euclidean")


def problem(n, dtype=np.float32, k=7):
    rng = np.random.default_rng(0)
    queries, rows = rng.normal(size=(20, 64)).astype(dtype), rng.normal(size=(n, 64)).astype(dtype)
    rows[3::11] = 0
    rows[5, 2] = np.nan
    return queries, rows, k, rng.random((20, n)) < 0.5


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize(("n", "dtype"), [(40, np.float64), (150_000, np.float32)])
def test_cupy_arrays(metric, n, dtype):
    cupy = pytest.importorskip("cupy")
    queries, rows, k, allowed = problem(n, dtype)
    for mask in (None, allowed):
        index, score = nearest_rows(
            cupy.asarray(queries), cupy.asarray(rows), k, metric, None if mask is None else cupy.asarray(mask)
        )
        assert isinstance(index, cupy.ndarray)
        check(index.get(), score.get(), (queries, rows, k, metric, mask))


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("n", [40, 150_000])
def test_torch_tensors_on_their_own_stream(metric, n):
    torch = pytest.importorskip("torch")
    queries, rows, k, allowed = problem(n)
    with torch.cuda.stream(torch.cuda.Stream()):
        q, r, mask = (torch.from_numpy(a).cuda() for a in (queries, rows, allowed))
        r.mul_(2)  # still in the queue when the search is started
        index, score = nearest_rows(q, r, k, metric, mask)
        assert index.is_cuda
        index, score = index.cpu().numpy(), score.cpu().numpy()
    check(index, score, (queries, rows * 2, k, metric, allowed))


def test_rows_that_are_not_contiguous():
    cupy = pytest.importorskip("cupy")
    queries, rows, k, _ = problem(5000)
    index, score = nearest_rows(cupy.asarray(queries), cupy.asfortranarray(cupy.asarray(rows)), k)
    check(index.get(), score.get(), (queries, rows, k))


def check(index, score, arguments):
    expected = nearest_definition(*arguments) if len(arguments[1]) < 1000 else nearest_rows(*arguments)
    np.testing.assert_allclose(score, expected[1], rtol=1e-11, atol=1e-13)
    np.testing.assert_array_equal(index, expected[0])
