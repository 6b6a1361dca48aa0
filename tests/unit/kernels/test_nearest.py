"""Nearest rows: the CPU search and the CUDA sources against the float64 definition; ties, masks, NaN."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from cuda_on_cpu import EmulatedDevice, needs_compiler
from hypothesis import given, settings
from hypothesis import strategies as st

from mpidcl_kernels.base import threads
from mpidcl_kernels.nearest import cpu, cuda, nearest_definition, nearest_rows

SETTINGS = settings(max_examples=60)
METRICS = ("cosine", "euclidean")
DTYPES = st.sampled_from([np.float32, np.float64])


@pytest.fixture(autouse=True)
def one_thread():
    before = threads._chosen.copy()
    threads.set_threads(1)
    yield
    threads._chosen[:] = before


def on_gpu_sources(queries, rows, k, metric="cosine", allowed=None):
    index, score = cuda.search(EmulatedDevice(), queries, rows, k, metric == "cosine", allowed)
    return index, score if metric == "cosine" else -score


FORMS = [nearest_rows, pytest.param(on_gpu_sources, marks=needs_compiler)]


@st.composite
def problems(draw, largest=300):
    """Queries, rows, k and a mask or none. Whole numbers give many equal scores, and zero rows."""
    q, n, d = draw(st.integers(0, 9)), draw(st.integers(1, largest)), draw(st.integers(0, 40))
    rng, dtype = np.random.default_rng(draw(st.integers(0, 999))), draw(DTYPES)
    if draw(st.booleans()):
        queries, rows = (rng.integers(-1, 2, (m, d)).astype(dtype) for m in (q, n))
    else:
        scale = draw(st.sampled_from([1e-18, 1e-6, 1.0, 1e6, 1e18]))
        queries, rows = ((rng.normal(size=(m, d)) * scale).astype(dtype) for m in (q, n))
    allowed = rng.random((q, n)) < draw(st.sampled_from([0.02, 0.5])) if draw(st.booleans()) else None
    return queries, rows, draw(st.integers(1, n)), allowed


def check(found, expected):
    np.testing.assert_allclose(found[1], expected[1], rtol=1e-11, atol=1e-14)
    assert found[0].dtype == np.int64 and found[1].dtype == np.float64
    # Rounding may swap two rows whose scores differ in the last bits only.
    for query, place in np.argwhere(found[0] != expected[0]):
        scores = expected[1][query]
        near = np.abs(scores - scores[place]) <= 1e-11 * np.abs(scores[place]) + 1e-14
        assert set(found[0][query][near]) == set(expected[0][query][near]) or near[-1]


@pytest.mark.parametrize("metric", METRICS)
@SETTINGS
@given(problem=problems())
def test_search_is_its_definition(metric, problem):
    queries, rows, k, allowed = problem
    check(
        nearest_rows(queries, rows, k, metric, allowed),
        nearest_definition(queries, rows, k, metric, allowed),
    )


@needs_compiler
@pytest.mark.parametrize("metric", METRICS)
@settings(max_examples=12)
@given(problem=problems(largest=60))
def test_gpu_sources_are_the_definition(metric, problem):
    queries, rows, k, allowed = problem
    check(
        on_gpu_sources(queries, rows, k, metric, allowed),
        nearest_definition(queries, rows, k, metric, allowed),
    )


@pytest.mark.parametrize("metric", METRICS)
@settings(max_examples=30)
@given(st.integers(0, 999), st.integers(1, 20), DTYPES)
def test_whole_numbers_are_ranked_exactly_with_ties_by_index(metric, seed, k, dtype):
    rng = np.random.default_rng(seed)
    queries, rows = (rng.integers(-2, 3, (m, 3)).astype(dtype) for m in (5, 200))
    expected = nearest_definition(queries, rows, k, metric)
    np.testing.assert_array_equal(nearest_rows(queries, rows, k, metric)[0], expected[0])


@needs_compiler
def test_gpu_sources_over_several_blocks_and_segments(monkeypatch):
    monkeypatch.setattr(cuda, "BLOCK", 96)
    monkeypatch.setattr(cuda, "SEGMENT", 40)
    monkeypatch.setattr(cuda, "GROUP", 2)
    rng = np.random.default_rng(0)
    queries, rows = (rng.integers(-2, 3, (m, 3)).astype(np.float32) for m in (5, 230))
    allowed = rng.random((5, 230)) < 0.5
    for k in (1, 7, 60):
        index, score = on_gpu_sources(queries, rows, k, "euclidean", allowed)
        expected = nearest_definition(queries, rows, k, "euclidean", allowed)
        np.testing.assert_array_equal(index, expected[0])
        np.testing.assert_array_equal(score, expected[1])


@pytest.mark.parametrize("metric", METRICS)
def test_threads_blocks_and_layout_do_not_change_a_bit(metric, monkeypatch):
    rng = np.random.default_rng(0)
    queries, rows = (rng.normal(size=(m, 21)).astype(np.float32) for m in (6, 3001))
    rows[5::7] = rows[3] * 2  # many rows that are equally good
    expected = nearest_rows(queries, rows, 9, metric)
    monkeypatch.setattr(cpu, "PIECE", 500)
    monkeypatch.setattr(cpu, "GROUP", 4)
    for count in (1, 2, 3):
        threads.set_threads(count)
        for block in (1 << 6, 1 << 11):
            monkeypatch.setattr(cpu, "BLOCK", block)
            for layout in (rows, np.asfortranarray(rows), np.repeat(rows, 2, 1)[:, ::2], unaligned(rows)):
                found = nearest_rows(queries, layout, 9, metric)
                np.testing.assert_array_equal(found[0], expected[0])
                np.testing.assert_array_equal(found[1], expected[1])


def unaligned(array):
    bytes_ = np.zeros(array.nbytes + 1, np.uint8)
    view = bytes_[1:].view(array.dtype).reshape(array.shape)
    view[:] = array
    assert not view.flags.aligned
    return view


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("width", [1023, 1024, 2500])
def test_long_rows_far_from_the_origin(metric, width):
    # The products are nearly equal, so rounding them decides nothing.
    rng = np.random.default_rng(0)
    queries, rows = ((100 + rng.normal(size=(m, width))).astype(np.float32) for m in (3, 300))
    index, score = nearest_rows(queries, rows, 5, metric)
    expected = nearest_definition(queries, rows, 5, metric)
    np.testing.assert_array_equal(index, expected[0])
    np.testing.assert_allclose(score, expected[1], rtol=1e-9)


def test_rows_that_differ_by_one_part_in_a_million_are_told_apart():
    rows = np.zeros((2000, 64), np.float32)
    rows[:, 0] = 1
    rows[:, 1] = np.random.default_rng(0).permutation(2000) * 1e-7
    index, _ = nearest_rows(rows[rows[:, 1] == 0], rows, 4)
    assert np.allclose(rows[index[0], 1], [0, 1e-7, 2e-7, 3e-7])


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("metric", METRICS)
def test_what_is_not_finite_is_nobodys_neighbour(form, metric):
    rng = np.random.default_rng(0)
    queries, rows = (rng.normal(size=(m, 6)).astype(np.float32) for m in (4, 100))
    rows[::9, 2], rows[1::9, 3], rows[2::9, 0] = np.nan, np.inf, -np.inf
    queries[1, 0], queries[3, 5] = np.nan, -np.inf
    index, score = form(queries, rows, 100, metric)
    finite = np.isfinite(rows).all(1)
    for i in (0, 2):
        assert sorted(index[i][index[i] >= 0]) == np.flatnonzero(finite).tolist()
    missing = -np.inf if metric == "cosine" else np.inf
    for i in (1, 3):
        assert (index[i] == -1).all() and (score[i] == missing).all()
    np.testing.assert_array_equal(index, nearest_definition(queries, rows, 100, metric)[0])


@pytest.mark.parametrize("form", FORMS)
def test_zero_vectors_are_similar_to_nothing(form):
    rows = np.array([[0, 0], [-1, 1], [0, 0], [1, 1], [1, 1]], np.float32)
    index, score = form(np.array([[2, 2], [0, 0]], np.float32), rows, 5)
    assert index.tolist() == [[3, 4, 0, 1, 2], [0, 1, 2, 3, 4]]
    np.testing.assert_allclose(score, [[1, 1, 0, 0, 0], [0, 0, 0, 0, 0]], atol=1e-15)


@pytest.mark.parametrize("form", FORMS)
def test_a_row_too_long_to_measure_is_not_near_a_zero_query(form):
    rows = np.array([[1e200, 1e200], [1.0, 0.0]])
    assert form(np.zeros((1, 2)), rows, 2)[0].tolist() == [[1, -1]]


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("scale", [1e-44, 1e-30, 1e30, 3e38])
def test_float32_may_be_as_small_and_large_as_it_can(metric, scale):
    # Squares and products of such numbers are 0 or infinite in float32.
    rng = np.random.default_rng(0)
    rows = (rng.uniform(-1, 1, (500, 5)) * scale).astype(np.float32)
    rows[::50] = rng.normal(size=(10, 5))
    queries = np.concatenate([rows[:3], rng.normal(size=(3, 5)).astype(np.float32)])
    expected = nearest_definition(queries, rows, 4, metric)
    np.testing.assert_array_equal(nearest_rows(queries, rows, 4, metric)[0], expected[0])


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("metric", METRICS)
def test_a_mask_that_leaves_too_few_rows(form, metric):
    rows = np.arange(1, 9, dtype=np.float64).reshape(4, 2)
    allowed = np.array([[False, True, False, True], [False] * 4])
    index, score = form(rows[:2].copy(), rows, 3, metric, allowed)
    assert sorted(index[0].tolist()) == [-1, 1, 3] and index[1].tolist() == [-1] * 3
    assert np.isinf(score[0, 2]) and np.isinf(score[1]).all()


@pytest.mark.parametrize("form", FORMS)
def test_pinned_values(form):
    rows = np.array([[3, 4], [4, 3], [-3, -4], [0, 0], [6, 8], [1, 0]], np.float32)
    queries = np.array([[3, 4], [0, 5]], np.float32)
    index, score = form(queries, rows, 4)
    assert index.tolist() == [[0, 4, 1, 5], [0, 4, 1, 3]]
    np.testing.assert_allclose(score, [[1, 1, 0.96, 0.6], [0.8, 0.8, 0.6, 0]], rtol=1e-15)
    index, score = form(queries, rows, 4, "euclidean")
    assert index.tolist() == [[0, 1, 5, 3], [0, 1, 3, 5]]
    root = np.sqrt
    np.testing.assert_allclose(score, [[0, root(2), root(20), 5], [root(10), root(20), 5, root(26)]])


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("metric", METRICS)
def test_no_queries_one_row_and_no_columns(form, metric):
    assert [a.shape for a in form(np.zeros((0, 3)), np.ones((4, 3)), 2, metric)] == [(0, 2)] * 2
    assert form(np.ones((2, 3)), np.ones((1, 3)), 1, metric)[0].tolist() == [[0], [0]]
    index, score = form(np.zeros((1, 0)), np.ones((4, 0)), 3, metric)
    assert index.tolist() == [[0, 1, 2]] and score.tolist() == [[0, 0, 0]]


def test_torch_tensors_are_read_where_they_are():
    rows = torch.randn(50, 8)
    index, score = nearest_rows(rows[:3], rows, 2)
    assert isinstance(index, torch.Tensor) and isinstance(score, torch.Tensor)
    assert index[:, 0].tolist() == [0, 1, 2] and index.dtype == torch.int64
    allowed = torch.ones(3, 50, dtype=torch.bool)
    allowed[:, :3] = False
    assert nearest_rows(rows[:3], rows, 2, "euclidean", allowed)[0].min() >= 3


def test_few_pairs_are_scored_exactly(monkeypatch):
    scored = []
    exact = cpu.loops.cosine
    monkeypatch.setattr(cpu.loops, "cosine", lambda *a: (scored.append(a[-1].size), exact(*a)))
    rng = np.random.default_rng(0)
    nearest_rows(rng.normal(size=(4, 64)), rng.normal(size=(20_000, 64)), 5)
    assert 4 * 5 <= sum(scored) < 0.02 * 4 * 20_000


def test_arguments_are_left_alone():
    rows = np.random.default_rng(0).normal(size=(40, 5)).astype(np.float32)
    before = rows.copy()
    rows.flags.writeable = False
    nearest_rows(rows[:2], rows, 3)
    np.testing.assert_array_equal(rows, before)


ROWS = np.ones((100, 4), np.float32)


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ((ROWS, ROWS, 250), ValueError, "`k` should be between 1 and 100. Found 250."),
        ((ROWS, ROWS, 0), ValueError, "`k` should be between 1 and 100. Found 0."),
        ((ROWS, ROWS[:0], 1), ValueError, r"`rows` should be \[n, d\] with n at least 1. Found \[0, 4\]."),
        ((ROWS[:, :3], ROWS, 1), ValueError, r"`queries` should be \[q, 4\], as wide as `rows`. Found"),
        ((ROWS[0], ROWS, 1), ValueError, r"`queries` should be \[q, 4\]"),
        ((ROWS, ROWS[0], 1), ValueError, r"`rows` should be \[n, d\]"),
        (
            (ROWS.astype(np.float64), ROWS, 1),
            TypeError,
            "`queries` should be float32, like `rows`. Found float64.",
        ),
        ((ROWS, ROWS.astype(int), 1), TypeError, "`rows` should be float32 or float64. Found int64."),
        ((ROWS, ROWS.astype(">f4"), 1), TypeError, "`rows` should be float32 or float64. Found >f4."),
        ((ROWS, ROWS, 1.5), TypeError, "`k` should be a whole number. Found 1.5."),
        ((ROWS, ROWS, 1, "manhattan"), ValueError, "`metric` should be .* Found 'manhattan'."),
        (
            (ROWS, ROWS, 1, "cosine", np.ones((100, 99), bool)),
            ValueError,
            r"`allowed` should be \[q, n\] = \[100, 100\]",
        ),
        (
            (ROWS, ROWS, 1, "cosine", np.ones((100, 100))),
            TypeError,
            "`allowed` should be bool. Found float64.",
        ),
        ((ROWS.tolist(), ROWS, 1), TypeError, "`queries` should be a NumPy or CuPy array"),
    ],
)
def test_bad_input(arguments, error, text):
    with pytest.raises(error, match=text):
        nearest_rows(*arguments)
