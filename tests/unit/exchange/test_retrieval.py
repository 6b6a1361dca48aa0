"""Nearest rows, prefilters, class keys, pixels and shares of a budget."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mpidcl.errors import ExperimentError, FrameError
from mpidcl.exchange.classes import class_key, task_classes
from mpidcl.exchange.data import prefilters
from mpidcl.exchange.data.class_needs import balanced
from mpidcl.exchange.data.nearest import best_of, by_rank, flat, nearest
from mpidcl.exchange.packing.apportion import largest_remainder
from mpidcl.exchange.packing.pixels import decode_pixels, encode_pixels
from mpidcl.exchange.packing.rows import Arrivals

from exchange_fakes import FakeDataLearner, FakeTask  # isort: skip


def some_vectors(count, seed, shape=(2, 5)):
    return np.random.default_rng(seed).normal(size=(count, *shape)).astype(np.float32)


LEARNER = FakeDataLearner(0, [(0, 1)])


def cosines(queries, rows):
    q, x = (a.reshape(len(a), 10).astype(np.float64) for a in (queries, rows))
    return q @ x.T / np.linalg.norm(q, axis=1)[:, None] / np.linalg.norm(x, axis=1)


def best(similarity, allowed, count):
    return sorted(np.flatnonzero(allowed), key=lambda j: (-similarity[j], j))[:count]


@given(st.integers(0, 8), st.integers(0, 30), st.integers(1, 7), st.integers(0, 1000))
def test_nearest_allowed_rows_against_brute_force(queries, rows, count, seed):
    q, x = some_vectors(queries, seed), some_vectors(rows, seed + 1)
    allowed = np.random.default_rng(seed).random((queries, rows)) < 0.6
    row, similarity = nearest(LEARNER, q, LEARNER.place(flat(x)), count, allowed)
    exact = cosines(q, x)
    for i in range(queries):
        found = row[i][row[i] >= 0]
        assert found.tolist() == best(exact[i], allowed[i], count)
        assert similarity[i][: len(found)] == pytest.approx(exact[i][found])


@given(st.integers(1, 7), st.integers(0, 1000))
def test_the_best_of_several_searches_are_the_best_of_all(count, seed):
    q, x = some_vectors(3, seed), some_vectors(20, seed + 1)
    found = []
    for part in (np.arange(0, 20, 2), np.arange(1, 20, 2), np.arange(0)):
        row, similarity = nearest(LEARNER, q, LEARNER.place(flat(x[part])), count)
        found.append((part[row] if len(part) else row, similarity))
    everything = nearest(LEARNER, q, LEARNER.place(flat(x)), count)[0]
    np.testing.assert_array_equal(best_of(found, count), everything)


def test_first_choices_of_all_queries_come_before_second_choices():
    query, row = by_rank(np.array([[0, 2, 5], [1, 2, -1], [-1, -1, -1]]))
    assert query.tolist() == [0, 1, 0, 1, 0]
    assert row.tolist() == [0, 1, 2, 2, 5]


def test_zero_vectors_are_similar_to_nothing_and_equal_rows_keep_their_order():
    rows = LEARNER.place(np.array([[0.0, 0.0], [1.0, 1.0], [1.0, 1.0]], np.float32))
    queries = np.array([[2.0, 2.0], [0.0, 0.0]], np.float32)
    row, similarity = nearest(LEARNER, queries, rows, 5)
    assert row.tolist() == [[1, 2, 0], [0, 1, 2]]
    assert similarity[0, 2] == 0 and similarity[1].tolist() == [0, 0, 0]


def test_prefilters_against_brute_force():
    key = [class_key("mnist", c) for c in range(10)]
    tasks = [np.array([key[a], key[b]], np.uint32) for a, b in ((0, 1), (2, 3), (1, 4))]
    queries = np.array([key[1], key[3], key[9], class_key("kmnist", 1)], np.uint32)
    expected = [[1, 0, 1], [0, 1, 0], [0, 0, 0], [0, 0, 0]]
    assert prefilters.oracle(queries, tasks).astype(int).tolist() == expected
    assert prefilters.none(2, 3).all()
    assert prefilters.oracle(queries, []).shape == (4, 0)


@given(st.integers(1, 5), st.integers(0, 100))
def test_raw_distance_allows_the_tasks_of_the_nearest_rows(neighbours, seed):
    queries, rows = some_vectors(4, seed), some_vectors(20, seed + 1)
    tasks = np.arange(20) % 3
    mask = prefilters.raw_distance(LEARNER, queries, LEARNER.place(flat(rows)), tasks, 3, neighbours)
    for i, similarity in enumerate(cosines(queries, rows)):
        near = best(similarity, np.ones(20, bool), neighbours)
        assert set(np.flatnonzero(mask[i])) == {tasks[j] for j in near}


def test_classes_map_between_agents_whatever_their_labels():
    mine = task_classes(FakeTask(0, (7, 3), labels=(1, 0)))
    theirs = task_classes(FakeTask(4, (3, 5, 7)))
    sent = theirs.keys_of(np.array([0, 1, 2, 2]))
    assert mine.labels_of(sent).tolist() == [0, -1, 1, 1]  # classes 3, 5, 7, 7
    other = task_classes(FakeTask(0, (7, 3), dataset="letters"))
    assert other.labels_of(sent).tolist() == [-1] * 4


def test_class_keys_are_pinned():
    assert class_key("mnist", 7) == 1359141841


@pytest.mark.parametrize("pixels", ["auto", "uint8"])
@pytest.mark.parametrize("scale", ["divide", "multiply", "sixteenths"])
def test_pixels_come_back_bit_for_bit_in_a_quarter_of_the_bytes(pixels, scale):
    k = np.arange(256, dtype=np.float32).reshape(4, 8, 8)
    x = {"divide": k / np.float32(255), "multiply": k * np.float32(1 / 255), "sixteenths": (k % 17) / 16}[
        scale
    ]
    wire, coding = encode_pixels(x, pixels)
    assert wire.dtype == np.uint8 and wire.shape == x.shape
    assert np.array_equal(decode_pixels(wire, coding), x)


@given(arrays(np.float32, (2, 3), elements=st.floats(width=32)))
def test_any_row_survives_auto(x):
    wire, coding = encode_pixels(x, "auto")
    assert np.array_equal(decode_pixels(wire, coding), x, equal_nan=True)


def test_rows_that_uint8_cannot_hold_are_refused_and_bad_codings_too():
    x = np.array([[0.1234, 0.5]], np.float32)
    with pytest.raises(ExperimentError, match='pixels = "auto"'):
        encode_pixels(x, "uint8")
    with pytest.raises(FrameError, match="coding 9"):
        decode_pixels(np.zeros((1, 2), np.uint8), 9)
    with pytest.raises(FrameError, match="coding 3"):
        decode_pixels(np.full((1, 2), 17, np.uint8), 3)


@given(st.integers(0, 100), arrays(np.float64, st.integers(1, 8), elements=st.floats(0, 1)))
def test_largest_remainder_shares_are_within_one_of_exact(total, weights):
    shares = largest_remainder(total, weights)
    if weights.sum() == 0 or total == 0:
        assert not shares.any()
        return
    assert shares.sum() == total
    assert np.all(np.abs(shares - total * weights / weights.sum()) < 1 + 1e-6)
    assert not shares[weights == 0].any()


def test_largest_remainder_by_hand():
    assert largest_remainder(20, np.array([0.5, 0.25, 0.25])).tolist() == [10, 5, 5]
    assert largest_remainder(10, np.array([1.0, 1.0, 1.0])).tolist() == [4, 3, 3]
    assert largest_remainder(7, np.array([0.6, 0.3, 0.1])).tolist() == [4, 2, 1]


def test_balance_cuts_every_class_of_a_task_to_the_rarest():
    tasks = np.array([0, 0, 0, 0, 2, 2, 0])
    y = np.array([1, 0, 1, 1, 1, 1, 0])
    kept = balanced(Arrivals(tasks, np.arange(7, dtype=np.float32), y))
    assert kept.x.tolist() == [0, 1, 2, 4, 5, 6]
