"""Linear ticks: every form against the definition; a list has the bits of its ticks one after the other."""

from __future__ import annotations

import numpy as np
import pytest
from cuda_on_cpu import EmulatedDevice, needs_compiler
from hypothesis import given, settings
from hypothesis import strategies as st

from mpidcl_kernels import linear
from mpidcl_kernels.linear import cuda
from mpidcl_kernels.linear.events import named, prepare
from mpidcl_kernels.linear.node import node_step

SETTINGS = settings(max_examples=50)
KINDS = st.sampled_from([np.float32, np.float64])
SIZES = st.sampled_from([1, 2, 3, 4, 5, 8, 11, 33])


def tick_of(size, others, tasks, seed, dtype=np.float64):
    """(w, x, y, neighbours, weights, lam_local, theta_row, means, lam_global, alpha)."""
    rng = np.random.default_rng(seed)
    x, row = rng.normal(size=size).astype(dtype), rng.normal(size=tasks).astype(dtype)
    seen, means = (rng.normal(size=(n, size)).astype(dtype) for n in (others, tasks))
    weights = rng.random(others).astype(dtype)
    return [rng.normal(size=size), x, float(rng.normal()), seen, weights, 0.7, row, means, 0.3, 0.05]


def job_of(nodes, size, events, seed, dtype=np.float64, groups=3, seen=False, own=False):
    """Models, events, neighbours, relation."""
    rng = np.random.default_rng(seed)
    adjacency = rng.random((nodes, nodes)) * (rng.random((nodes, nodes)) < 0.4)
    np.fill_diagonal(adjacency, 0)
    neighbours = linear.Neighbours.from_matrix(adjacency, 0.8)
    order = rng.integers(0, nodes, events)
    told = versions(order, neighbours, rng) if seen else None
    x, y = rng.normal(size=(events, size)).astype(dtype), rng.normal(size=events).astype(dtype)
    ticks = linear.Events(order, x, y, rng.random(events) * 0.1, told)
    theta, means = rng.normal(size=(groups, groups)), rng.normal(size=(groups, size)).astype(dtype)
    relation = linear.Relation(theta, means, rng.integers(0, groups, nodes), 0.4, own)
    return rng.normal(size=(nodes, size)), ticks, neighbours, relation


def versions(order, neighbours, rng):
    """For each neighbour at each event: an earlier event of that neighbour, or START."""
    most = int(np.diff(neighbours.starts).max(initial=0))
    told = np.full((len(order), most), linear.START)
    for number, node in enumerate(order):
        sources = neighbours.sources[neighbours.starts[node] : neighbours.starts[node + 1]]
        for place, source in enumerate(sources):
            earlier = np.flatnonzero(order[:number] == source)
            told[number, place] = rng.choice([linear.START, *earlier])
    return told


@SETTINGS
@given(SIZES, st.integers(0, 5), st.integers(0, 4), st.integers(0, 99), KINDS, st.booleans())
def test_one_tick_is_the_definition(size, others, tasks, seed, dtype, own):
    tick = tick_of(size, others, tasks, seed, dtype)
    group = tasks - 1 if own and tasks else None
    wanted = linear.linear_step_definition(*tick, group)
    before = [np.copy(part) for part in tick[1:]]
    linear.linear_step(*tick, group)
    np.testing.assert_allclose(
        tick[0],
        wanted,
        rtol=1e-5 if dtype is np.float32 else 1e-11,
        atol=1e-6 if dtype is np.float32 else 1e-12,
    )
    for part, old in zip(tick[1:], before, strict=True):
        np.testing.assert_array_equal(part, old)


@SETTINGS
@given(st.integers(1, 6), SIZES, st.integers(0, 40), st.integers(0, 99), KINDS, st.booleans(), st.booleans())
def test_a_list_is_the_definition_and_has_the_bits_of_its_ticks(nodes, size, events, seed, dtype, seen, own):
    w, ticks, neighbours, relation = job_of(nodes, size, events, seed, dtype, seen=seen, own=own)
    target = np.random.default_rng(seed).normal(size=w.shape)
    wanted, errors = linear.run_events_definition(w, ticks, neighbours, relation, target, 3)
    by_hand = one_after_the_other(w.copy(), ticks, neighbours, relation)
    found = linear.run_events(w, ticks, neighbours, relation, target, 3)
    np.testing.assert_array_equal(w, by_hand)
    tolerance = 1e-5 if dtype is np.float32 else 1e-10
    np.testing.assert_allclose(w, wanted, rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(found, errors, rtol=tolerance, atol=tolerance)


def one_after_the_other(w, ticks, neighbours, relation):
    start, left = w.copy(), []
    for e, (i, alpha) in enumerate(zip(ticks.nodes, ticks.rates(), strict=True)):
        part = slice(neighbours.starts[i], neighbours.starts[i + 1])
        sources = neighbours.sources[part]
        copies = w[sources]
        if ticks.seen is not None:
            told = ticks.seen[e, : len(sources)]
            pairs = zip(told, sources, strict=True)
            copies = np.array([start[j] if v == linear.START else left[v] for v, j in pairs]).reshape(
                -1, w.shape[1]
            )
        k = relation.groups[i]
        across = (relation.theta[k], relation.means, relation.pull, alpha, k if relation.own else None)
        linear.linear_step(
            w[i], ticks.x[e], ticks.y[e], copies, neighbours.weights[part], neighbours.pull, *across
        )
        left.append(w[i].copy())
    return w


@needs_compiler
@settings(max_examples=20)
@given(
    st.integers(1, 5),
    SIZES,
    st.integers(0, 12),
    st.integers(0, 99),
    st.booleans(),
    st.booleans(),
    st.booleans(),
)
def test_the_cuda_form(nodes, size, events, seed, seen, own, bare):
    w, ticks, neighbours, relation = job_of(nodes, size, events, seed, seen=seen, own=own)
    neighbours, relation = (None, None) if bare and not seen else (neighbours, relation)
    target = np.zeros(w.shape)
    wanted, errors = linear.run_events_definition(w, ticks, neighbours, relation, target, 2)
    given_ = {"w": w, **named(ticks, neighbours, relation), "target": target}
    job = prepare(given_, ticks.alpha, neighbours, relation, 2, np.asarray)
    found = cuda.run(EmulatedDevice(), job)
    np.testing.assert_allclose(w, wanted, rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(found, errors, rtol=1e-10, atol=1e-10)


@needs_compiler
@pytest.mark.parametrize("group", [None, 1])
@pytest.mark.parametrize("size", [1, 6, 300])
def test_one_tick_of_the_cuda_form(group, size):
    w, x, y, seen, weights, lam_local, row, means, lam_global, alpha = tick = tick_of(size, 3, 2, 0)
    wanted = linear.linear_step_definition(*tick, group)
    cuda.tick(EmulatedDevice(), w, x, seen, weights, row, means, y, lam_local, lam_global, alpha, group)
    np.testing.assert_allclose(w, wanted, rtol=1e-11, atol=1e-12)


def test_the_direction_of_an_edge():
    adjacency = np.array([[0.0, 1.0], [0.0, 0.0]])  # node 0 hears node 1
    w = np.array([[0.0], [1.0]])
    nobody = linear.Events(np.array([0, 1]), np.zeros((2, 1)), np.zeros(2), 0.5)
    linear.run_events(w, nobody, linear.Neighbours.from_matrix(adjacency, 1.0))
    np.testing.assert_array_equal(w, [[0.5], [1.0]])


def test_what_is_seen_is_what_was_told():
    neighbours = linear.Neighbours.from_matrix(np.array([[0.0, 1.0], [0.0, 0.0]]), 1.0)
    order, x, y = np.array([1, 1, 0]), np.array([[1.0], [1.0], [0.0]]), np.array([1.0, 5.0, 0.0])
    for told, wanted in ((linear.START, 0.0), (0, 0.25), (1, 0.5 * (0.5 + 0.5 * 4.5))):
        w = np.zeros((2, 1))
        seen = np.array([[99], [-7], [told]]) * [[0], [0], [1]]  # places of nodes without neighbours are free
        linear.run_events(w, linear.Events(order, x, y, 0.5, seen), neighbours)
        assert w[0, 0] == wanted


@pytest.mark.parametrize("layout", ["strided", "unaligned", "read-only", "columns"])
def test_any_layout_gives_the_same_bits(layout):
    def laid_out(array):
        if layout == "strided" and array.ndim:
            wide = np.zeros([2 * n for n in array.shape], array.dtype)
            part = wide[tuple(slice(None, None, 2) for _ in array.shape)]
        elif layout == "unaligned":
            part = np.zeros(array.nbytes + 1, np.uint8)[1:].view(array.dtype).reshape(array.shape)
        else:
            part = np.zeros(array.shape, array.dtype, order="F")
        part[...] = array
        return part

    tick = tick_of(6, 3, 2, 0)
    straight = [np.copy(part) for part in tick]
    linear.linear_step(*straight[:2], tick[2], *straight[3:])
    moved = [laid_out(part) if isinstance(part, np.ndarray) else part for part in tick]
    if layout == "read-only":
        for part in moved[1:]:
            if isinstance(part, np.ndarray):
                part.flags.writeable = False
    linear.linear_step(*moved)
    np.testing.assert_array_equal(moved[0], straight[0])
    w, ticks, neighbours, relation = job_of(4, 5, 30, 0)
    there = laid_out(w)
    linear.run_events(w, ticks, neighbours, relation)
    linear.run_events(
        there, linear.Events(ticks.nodes, laid_out(ticks.x), ticks.y, ticks.alpha), neighbours, relation
    )
    np.testing.assert_array_equal(there, w)


def test_tensors_are_changed_in_place():
    torch = pytest.importorskip("torch")
    tick = tick_of(5, 2, 3, 0)
    wanted = [np.copy(part) for part in tick]
    linear.linear_step(*wanted[:2], tick[2], *wanted[3:])
    tensors = [torch.from_numpy(part) if isinstance(part, np.ndarray) else part for part in tick]
    address = tensors[0].data_ptr()
    linear.linear_step(*tensors)
    assert tensors[0].data_ptr() == address
    np.testing.assert_array_equal(tensors[0].numpy(), wanted[0])
    w = torch.zeros((2, 1), dtype=torch.float64)
    ticks = linear.Events(torch.tensor([0, 1]), torch.ones((2, 1)), torch.ones(2), 0.5)
    errors = linear.run_events(w, ticks, target=torch.ones((2, 1)))
    assert isinstance(errors, torch.Tensor) and w.tolist() == [[0.5], [0.5]]
    assert errors.tolist() == [[0.25, 1.0], [0.25, 0.25]]


def test_nothing_to_do():
    w = np.ones((2, 3))
    none = linear.Events(np.zeros(0, np.int64), np.zeros((0, 3)), np.zeros(0), 0.1)
    assert linear.run_events(w, none) is None
    assert linear.run_events(w, none, target=w).shape == (0, 2)
    empty = np.zeros((1, 0))
    linear.run_events(empty, linear.Events(np.zeros(1, np.int64), np.zeros((1, 0)), np.ones(1), 0.1))
    linear.linear_step(empty[0], empty[0], 1.0, empty, np.ones(1), 1.0, np.ones(1), empty, 1.0, 0.1)
    np.testing.assert_array_equal(w, np.ones((2, 3)))


def test_nan_stays_with_its_node_until_somebody_hears_it():
    neighbours = linear.Neighbours.from_matrix(np.array([[0, 1.0, 0], [0, 0, 0], [0, 0, 0]]), 1.0)
    w, x = np.zeros((3, 2)), np.ones((3, 2))
    linear.run_events(w, linear.Events(np.array([1, 2, 0]), x, np.array([np.nan, 1, 1]), 0.1), neighbours)
    assert np.isnan(w).all(1).tolist() == [True, True, False]


def test_pinned():
    w = np.array([1.0, -1.0])
    arguments = (np.array([[0.0, 0.0], [2.0, 1.0]]), np.array([1.0, 0.5]), 2.0)
    across = (np.array([2.0, -1.0]), np.array([[9.0, 9.0], [1.0, 3.0]]), 0.5)
    linear.linear_step(w, np.array([1.0, 2.0]), 3.0, *arguments, *across, 0.1, group=0)
    # residual 3 - (1 - 2) = 4; local (1, -1) + .5 (-1, -2) = (.5, -2); across 2 (1, -1) - (1, 3) = (1, -5)
    # g = -4 (1, 2) + 2 (.5, -2) + .5 (1, -5) = (-2.5, -14.5)
    np.testing.assert_allclose(w, [1.25, 0.45], rtol=1e-14)


@pytest.mark.parametrize("size", [1, 4, 7, 16])
@pytest.mark.parametrize("heard", [0, 1, 3])
def test_the_tick_of_an_agent_has_the_bits_of_linear_step(size, heard):
    rng = np.random.default_rng(size + 10 * heard)
    w, x, pull = rng.normal(size=(3, size))
    seen, weights = rng.normal(size=(heard, size)), rng.random(heard)
    row, pulls = np.array([0.3, 1.0]), np.stack([np.zeros(size), pull])
    wanted, found = w.copy(), w.copy()
    linear.linear_step(wanted, x, 1.5, seen, weights, 0.7, row, pulls, 1.0, 0.05, 0)
    residual = node_step(found, x, 1.5, seen, weights, 0.7, row, pulls, 0.05)
    assert found.tobytes() == wanted.tobytes()
    assert residual == pytest.approx(1.5 - x @ w, rel=1e-12)
