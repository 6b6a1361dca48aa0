"""Sets of different numbers: the loop is its definition, and all sets are as likely."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2, chisquare

from mpidcl_kernels.draws import distinct_definition, distinct_numbers

KEY = np.array([2**63 + 5, 7], np.uint64)
WORDS = st.integers(0, 2**64 - 1)
COUNTERS = st.tuples(st.integers(0, 2**40), st.integers(0, 2**40))
TOTALS = st.one_of(st.integers(0, 40), st.sampled_from([2**31, 3 * 2**60, 2**62]))


@settings(max_examples=80)
@given(WORDS, WORDS, COUNTERS, TOTALS, st.integers(0, 4), st.integers(0, 40))
def test_distinct_numbers_are_their_definition(first, second, counter, total, sets, count):
    """Of 3 * 2^60 numbers a quarter of the words is refused, for they would favour some."""
    key, count = np.array([first, second], np.uint64), min(count, total)
    found = distinct_numbers(key, counter, total, sets, count)
    assert found.dtype == np.int64 and found.shape == (sets, count)
    assert found.tolist() == distinct_definition(key, counter, total, sets, count).tolist()
    assert all(len(set(one)) == count and min(one, default=0) >= 0 for one in found.tolist())
    assert (found < max(total, 1)).all()


def test_all_sets_are_as_likely():
    pairs = np.sort(distinct_numbers(KEY, (0, 0), 5, 4000, 2), axis=1)
    _, counts = np.unique(pairs, axis=0, return_counts=True)
    assert len(counts) == 10 and chisquare(counts).pvalue > 0.001


def test_all_numbers_come_as_often_and_each_step_has_others():
    """Chi-square with the covariance of draws without replacement; steps and draws, not sets, differ here."""
    total, count, steps = 50, 9, 3000
    drawn = [distinct_numbers(KEY, (step % 2, step // 2), total, 1, count)[0] for step in range(steps)]
    seen = np.bincount(np.concatenate(drawn), minlength=total)
    variance = steps * count / total * (1 - count / total) * total / (total - 1)
    statistic = ((seen - steps * count / total) ** 2).sum() / variance
    assert 0.001 < chi2.sf(statistic, total - 1) < 0.999
    assert len({tuple(sorted(one.tolist())) for one in drawn}) > steps - 5


def test_sets_of_many_are_found_without_the_others():
    many = distinct_numbers(KEY, (3, 9), 10**6, 7, 20)
    assert np.array_equal(many[:2], distinct_numbers(KEY, (3, 9), 10**6, 2, 20))


def test_pinned():
    assert distinct_numbers(KEY, (3, 9), 10**6, 1, 8).tolist() == [
        [134196, 414289, 316545, 599691, 30018, 689078, 179512, 461627]
    ]


@pytest.mark.parametrize(
    ("key", "counter", "total", "sets", "count", "error", "words"),
    [
        (np.array([1, 2]), (0, 0), 5, 1, 2, TypeError, "`key` should be two words"),
        (KEY[:1], (0, 0), 5, 1, 2, TypeError, "`key` should be two words"),
        (KEY, (0, 0), 5, 1, 6, ValueError, "Found 6 of 5"),
        (KEY, (0, 0), -1, 1, 0, ValueError, "Found 0 of -1"),
        (KEY, (0, 0), 5, -1, 1, ValueError, "-1 sets"),
        (KEY, (0, -2), 5, 1, 1, ValueError, "counter"),
    ],
)
def test_what_is_no_draw_is_refused(key, counter, total, sets, count, error, words):
    with pytest.raises(error, match=words):
        distinct_numbers(key, counter, total, sets, count)
