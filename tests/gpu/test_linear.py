"""Linear ticks on a GPU: CuPy arrays and torch tensors against the definition."""

from __future__ import annotations

import numpy as np
import pytest

from mpidcl_kernels import linear

pytestmark = pytest.mark.gpu
cupy = pytest.importorskip("cupy")
torch = pytest.importorskip("torch")
THERE = {"cupy": lambda a: cupy.asarray(a), "torch": lambda a: torch.from_numpy(a).cuda()}


def back(array):
    return array.get() if isinstance(array, cupy.ndarray) else array.cpu().numpy()


@pytest.mark.parametrize("kind", THERE)
@pytest.mark.parametrize(("nodes", "size", "events"), [(2, 3, 5), (40, 300, 2000)])
def test_a_list_of_ticks(kind, nodes, size, events):
    rng, to = np.random.default_rng(0), THERE[kind]
    ring = linear.Neighbours.from_matrix(np.roll(np.eye(nodes), 1, 1), 0.5)
    order, x, y = (
        rng.integers(0, nodes, events),
        rng.normal(size=(events, size)) / size**0.5,
        rng.normal(size=events),
    )
    theta, means, groups = np.eye(3), rng.normal(size=(3, size)), rng.integers(0, 3, nodes)
    w, target = rng.normal(size=(nodes, size)), np.zeros((nodes, size))
    wanted, errors = linear.run_events_definition(
        w, linear.Events(order, x, y, 0.1), ring, linear.Relation(theta, means, groups, 0.2, True), target, 5
    )
    there = to(w)
    found = linear.run_events(
        there,
        linear.Events(to(order), to(x), to(y), 0.1),
        linear.Neighbours(to(ring.starts), to(ring.sources), to(ring.weights), 0.5),
        linear.Relation(to(theta), to(means), to(groups), 0.2, True),
        to(target),
        5,
    )
    np.testing.assert_allclose(back(there), wanted, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(back(found), errors, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("kind", THERE)
def test_one_tick(kind):
    rng, to = np.random.default_rng(0), THERE[kind]
    w, x, seen, weights = rng.normal(size=6), rng.normal(size=6), rng.normal(size=(3, 6)), rng.random(3)
    row, means = rng.normal(size=2), rng.normal(size=(2, 6))
    wanted = linear.linear_step_definition(w, x, 1.0, seen, weights, 0.5, row, means, 0.2, 0.1, 1)
    there = to(w)
    linear.linear_step(there, to(x), 1.0, to(seen), to(weights), 0.5, to(row), to(means), 0.2, 0.1, 1)
    np.testing.assert_allclose(back(there), wanted, rtol=1e-12)
