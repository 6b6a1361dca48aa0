"""Relation precision of arrays on a GPU: CuPy arrays and torch tensors against the definitions."""

from __future__ import annotations

import numpy as np
import pytest

from mpidcl_kernels import precision
from mpidcl_kernels.precision import forms, rank, updates

pytestmark = pytest.mark.gpu
cupy = pytest.importorskip("cupy")
torch = pytest.importorskip("torch")
THERE = {"cupy": lambda a: cupy.asarray(a), "torch": lambda a: torch.from_numpy(a).cuda()}


def back(array):
    return array.get() if isinstance(array, cupy.ndarray) else array.cpu().numpy()


def close(found, wanted, tolerance=1e-8):
    assert np.abs(back(found) - wanted).max() <= tolerance * np.abs(wanted).max()


@pytest.mark.parametrize("kind", THERE)
@pytest.mark.parametrize(("rows", "tasks"), [(4, 3), (1000, 512), (40, 512)])
def test_the_forms(kind, rows, tasks):
    means = np.random.default_rng(0).normal(size=(rows, tasks))
    there = THERE[kind](means)
    close(precision.relation_precision(there, "logdet", 0.01), forms.logdet_definition(means, 0.01))
    close(
        precision.relation_precision(there, "trace-one", 0.01), forms.trace_one_definition(means, 0.01), 1e-5
    )
    close(precision.relation_covariance(there, 0.01), forms.covariance_definition(means, 0.01))
    if tasks < 512:
        for form in ("sparse", "laplacian"):
            wanted = precision.relation_precision(means, form, 0.1, lam_1=0.1)
            close(precision.relation_precision(there, form, 0.1, lam_1=0.1), wanted, 1e-4)


@pytest.mark.parametrize("kind", THERE)
@pytest.mark.parametrize("size", [3, 512])
def test_the_updates(kind, size):
    rng = np.random.default_rng(0)
    drawn = rng.normal(size=(size, 2 * size))
    theta, other = drawn @ drawn.T / size, np.eye(size)
    columns, signs = 0.1 * rng.normal(size=(size, 2)) / size**0.5, np.array([1.0, -1.0])
    there, target, change = (THERE[kind](a) for a in (theta, other, columns))
    close(
        precision.inverse_update(there, change, signs), rank.inverse_update_definition(theta, columns, signs)
    )
    close(
        precision.covariance_update(there, change, -1), rank.covariance_update_definition(theta, columns, -1)
    )
    close(precision.damped_update(there, target, 0.3), updates.damped_update_definition(theta, other, 0.3))
    wanted = updates.gradient_update_definition(theta, other, 0.1)
    close(precision.gradient_update(there, target, 0.1), wanted)
    wanted = updates.clip_spectrum_definition(theta, 0.5, 1.5)
    assert precision.clip_spectrum(there, 0.5, 1.5, out=there) is there
    close(there, wanted)


def test_the_current_stream_is_used():
    eye, columns = torch.eye(512, dtype=torch.float64, device="cuda"), torch.zeros((512, 1), device="cuda")
    with torch.cuda.stream(torch.cuda.Stream()):
        columns.fill_(1.0)  # not waited for: the kernel must come after it
        found = precision.covariance_update(eye, columns)
    torch.cuda.synchronize()
    assert float(found.sum()) == 512 + 512**2
