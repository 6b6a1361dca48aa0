"""Sets of different numbers, and plans: loops are their definitions, and all sets are as likely."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2, chisquare

from mpidcl_kernels.draws import (
    distinct_definition,
    distinct_numbers,
    plan_definition,
    plan_draws,
    plan_uniform,
    plan_uniform_definition,
)

KEY = np.array([2**63 + 5, 7], np.uint64)
WORDS = st.integers(0, 2**64 - 1)
COUNTERS = st.tuples(st.integers(0, 2**40), st.integers(0, 2**40))
TOTALS = st.one_of(st.integers(0, 40), st.sampled_from([2**31, 3 * 2**60, 2**62]))
SETS = st.lists(TOTALS.flatmap(lambda n: st.tuples(st.just(n), st.integers(0, min(n, 40)))), max_size=5)


def alike(counter, total, sets, count):
    """Some sets of as many numbers each, [sets, count]."""
    return distinct_numbers(KEY, counter, np.full(sets, total), np.full(sets, count)).reshape(sets, count)


@settings(max_examples=80)
@given(WORDS, WORDS, COUNTERS, SETS)
def test_distinct_numbers_are_their_definition(first, second, counter, sets):
    """Of 3 * 2^60 numbers a quarter of the words is refused, for they would favour some."""
    key = np.array([first, second], np.uint64)
    totals, counts = np.array(sets, np.int64).reshape(-1, 2).T
    found = distinct_numbers(key, counter, totals, counts)
    assert found.dtype == np.int64
    assert found.tolist() == distinct_definition(key, counter, totals, counts).tolist()
    parts = np.split(found, np.cumsum(counts))[:-1]
    for one, total in zip(parts, totals, strict=True):
        assert len(set(one.tolist())) == len(one) and ((one >= 0) & (one < total)).all()


def test_all_sets_are_as_likely():
    _, counts = np.unique(np.sort(alike((0, 0), 5, 4000, 2), axis=1), axis=0, return_counts=True)
    assert len(counts) == 10 and chisquare(counts).pvalue > 0.001


def test_all_numbers_come_as_often_and_each_step_has_others():
    """Chi-square with the covariance of draws without replacement; steps and draws, not sets, differ here."""
    total, count, steps = 50, 9, 3000
    drawn = [alike((step % 2, step // 2), total, 1, count)[0] for step in range(steps)]
    seen = np.bincount(np.concatenate(drawn), minlength=total)
    variance = steps * count / total * (1 - count / total) * total / (total - 1)
    statistic = ((seen - steps * count / total) ** 2).sum() / variance
    assert 0.001 < chi2.sf(statistic, total - 1) < 0.999
    assert len({tuple(sorted(one.tolist())) for one in drawn}) > steps - 5


def test_a_set_is_found_whatever_the_others_are():
    many = alike((3, 9), 10**6, 7, 20)
    assert np.array_equal(many[:2], alike((3, 9), 10**6, 2, 20))


def test_pinned():
    wanted = [[134196, 414289, 316545, 599691, 30018, 689078, 179512, 461627]]
    assert alike((3, 9), 10**6, 1, 8).tolist() == wanted


@pytest.mark.parametrize(
    ("key", "counter", "totals", "counts", "error", "words"),
    [
        (np.array([1, 2]), (0, 0), [5], [2], TypeError, "`key` should be two words"),
        (KEY[:1], (0, 0), [5], [2], TypeError, "`key` should be two words"),
        (KEY, (0, 0), [9, 5], [1, 6], ValueError, r"Found \[1 6\] of \[9 5\]"),
        (KEY, (0, 0), [-1], [0], ValueError, "`counts` should be between 0 and `totals`"),
        (KEY, (0, 0), [5], [-1], ValueError, "`counts` should be between 0 and `totals`"),
        (KEY, (0, 0), [5, 5], [1], ValueError, "one for each"),
        (KEY, (0, -2), [5], [1], ValueError, "`counter` should be at least 0"),
    ],
)
def test_what_is_no_draw_is_refused(key, counter, totals, counts, error, words):
    with pytest.raises(error, match=words):
        distinct_numbers(key, counter, np.array(totals), np.array(counts))


# --- plans ------------------------------------------------------------------------------------------


@st.composite
def worlds(draw):
    """Sizes [agents, classes], some of them 0, an agent, and who has ended."""
    agents, classes = draw(st.integers(1, 5)), draw(st.integers(1, 3))
    size = st.integers(0, 9)
    sizes = draw(
        st.lists(st.lists(size, min_size=classes, max_size=classes), min_size=agents, max_size=agents)
    )
    ended = draw(st.lists(st.sampled_from([0, 0, 1]), min_size=agents, max_size=agents))
    return np.array(sizes, np.int64), draw(st.integers(0, agents - 1)), np.array(ended, np.int64)


def assert_same(found, wanted):
    for name, one, other in zip(found._fields, found, wanted, strict=True):
        assert one.dtype == np.int64 and one.tolist() == other.tolist(), name


@settings(max_examples=80)
@given(WORDS, st.integers(0, 2**40), worlds(), st.lists(st.integers(0, 12), min_size=1, max_size=3))
def test_a_uniform_plan_is_its_definition(word, step, world, counts):
    key, (sizes, agent, ended) = np.array([word, 3], np.uint64), world
    found = plan_uniform(key, step, sizes, np.array(counts), agent, ended)
    assert_same(found, plan_uniform_definition(key, step, sizes, counts, agent, ended))


@settings(max_examples=80)
@given(worlds(), st.integers(0, 8), st.randoms(use_true_random=False))
def test_a_plan_is_its_definition(world, rows, random):
    """Also where one row is drawn more than once."""
    sizes, agent, ended = world
    able = np.flatnonzero(sizes.sum(0)).tolist()
    pairs = [
        (label := random.choice(able), random.randrange(sizes[:, label].sum()))
        for _ in range(rows * len(sizes) if able else 0)
    ]
    classes, numbers = np.array(pairs, np.int64).reshape(len(sizes), -1, 2).transpose(2, 0, 1)
    found = plan_draws(classes, numbers, sizes, agent, ended)
    assert_same(found, plan_definition(classes, numbers, sizes, agent, ended))


def test_plans_of_all_agents_fit_together():
    sizes, nobody = np.array([[300], [0], [700]]), np.zeros(3, np.int64)
    plans = [plan_uniform(KEY, 4, sizes, np.array([20, 9]), agent, nobody) for agent in range(3)]
    for reader, mine in enumerate(plans):
        for owner, came in zip(mine.owners.tolist(), np.diff(mine.came, prepend=0).tolist(), strict=True):
            theirs = plans[owner]
            left = dict(zip(theirs.readers.tolist(), np.diff(theirs.left, prepend=0).tolist(), strict=True))
            assert left[reader] == came
    assert sum(len(plan.numbers) for plan in plans) == 3 * 29 and not len(plans[1].numbers)


@pytest.mark.parametrize(
    ("classes", "numbers"),
    [([[0]], [[5]]), ([[0]], [[-1]]), ([[1]], [[0]]), ([[-1]], [[0]]), ([[0]], [[1, 2]])],
)
def test_numbers_of_no_row_are_refused(classes, numbers):
    with pytest.raises(ValueError, match="`numbers` should be"):
        plan_draws(np.array(classes), np.array(numbers), np.array([[5]]), 0, np.array([0]))


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"key": np.array([1, 2])}, TypeError, "`key` should be two words"),
        ({"step": -1}, ValueError, "`step` should be at least 0"),
        ({"sizes": np.array([[3], [-1]])}, ValueError, "`sizes` should be at least 0"),
        ({"counts": np.array([-1])}, ValueError, "`sizes` should be at least 0, and so should `counts`"),
        ({"agent": 2}, ValueError, "`ended` should be"),
        ({"agent": -1}, ValueError, "`ended` should be"),
        ({"ended": np.array([0])}, ValueError, "`ended` should be"),
    ],
)
def test_what_is_no_plan_is_refused(change, error, words):
    given = {
        "key": KEY, "step": 1, "sizes": np.array([[3], [4]]), "counts": np.array([2]), "agent": 0,
        "ended": np.zeros(2, np.int64),
    }  # fmt: skip
    with pytest.raises(error, match=words):
        plan_uniform(**{**given, **change})
