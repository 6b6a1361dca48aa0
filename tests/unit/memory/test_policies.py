"""Insertion policies: a reservoir keeps every row with the same probability, `overwrite` does not."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from mpidcl.memory.buffer import Buffer, Column
from mpidcl.memory.policies import REFUSED, Overwrite, Reservoir

OFFERED, CAPACITY, RUNS = 30, 6, 2000


def inclusion(policy, sizes: list[int]) -> np.ndarray:
    """How often each of the offered rows is in the buffer at the end, over many runs."""
    rng, counts = np.random.default_rng(0), np.zeros(OFFERED)
    for _ in range(RUNS):
        buffer, first = Buffer([Column("x", "int64")], CAPACITY, policy, rng), 0
        for size in sizes:
            buffer.push({"x": np.arange(first, first + size)})
            first += size
        counts[buffer.column("x")] += 1
    return counts


@pytest.mark.parametrize("sizes", [[30], [1] * 30, [4, 1, 20, 5]], ids=["at once", "one by one", "in parts"])
def test_reservoir_inclusion_is_uniform(sizes):
    counts = inclusion(Reservoir(), sizes)
    assert counts.sum() == RUNS * CAPACITY
    # Rows of one run are drawn without replacement, so the true statistic is a little below chi-square's.
    assert chisquare(counts).pvalue > 0.001


def test_overwrite_favours_late_rows_as_the_published_rule_does():
    counts = inclusion(Overwrite(), [30])
    late = RUNS * (1 - 1 / CAPACITY) ** np.arange(OFFERED - 1, -1, -1)
    np.testing.assert_allclose(counts[CAPACITY:], late[CAPACITY:], rtol=0.15, atol=25)
    assert counts[-1] == RUNS and chisquare(counts).pvalue < 1e-6


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 40), st.integers(0, 40), st.integers(0, 12), st.sampled_from([Reservoir, Overwrite]))
def test_slots_are_in_range_and_fill_first(seen, count, capacity, policy):
    slots = policy().slots(count, seen, capacity, np.random.default_rng(0))
    assert slots.shape == (count,) and ((slots >= REFUSED) & (slots < max(capacity, 0))).all()
    free = max(0, min(count, capacity - seen))
    assert slots[:free].tolist() == list(range(seen, seen + free))
