"""Insertion policies: which rows each of them keeps, and how likely."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from mpidcl.experiment.kinds import resolve
from mpidcl.experiment.reading import from_toml
from mpidcl.experiment.units import Capacity
from mpidcl.memory.buffer import Buffer, Column
from mpidcl.memory.grouped import Memory
from mpidcl.memory.policies import REFUSED, Candidate, Fifo, Overwrite, Reservoir

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


@settings(max_examples=50)
@given(
    st.integers(0, 40),
    st.integers(0, 40),
    st.integers(0, 12),
    st.sampled_from([Reservoir, Overwrite, Candidate, Fifo]),
)
def test_slots_are_in_range_and_fill_first(seen, count, capacity, policy):
    slots = policy().slots(count, seen, capacity, np.random.default_rng(0))
    assert slots.shape == (count,) and ((slots >= REFUSED) & (slots < max(capacity, 0))).all()
    free = max(0, min(count, capacity - seen))
    assert slots[:free].tolist() == list(range(seen, seen + free))


@pytest.mark.parametrize("accept", [0.25, 0.8])
def test_a_candidate_survives_with_the_published_probability(accept):
    counts = inclusion(Candidate(Candidate.Options(accept=accept)), [4, 1, 20, 5])
    forgets = 1 - accept / CAPACITY
    first = np.full(CAPACITY, forgets ** (OFFERED - CAPACITY))
    late = accept * forgets ** np.arange(OFFERED - CAPACITY - 1, -1, -1)
    wanted = np.concatenate([first, late])
    deviation = np.sqrt(RUNS * wanted * (1 - wanted))
    assert (np.abs(counts - RUNS * wanted) < 4.5 * deviation + 1).all()
    assert counts.sum() == RUNS * CAPACITY


def test_candidates_of_a_class_displace_their_own_class_only():
    rng = np.random.default_rng(0)
    memory = Memory(Capacity.parse("5 rows per class"), [Column("x", "int64")], Candidate(), rng)
    memory.push(0, 0, np.zeros(5, np.int64), {"x": np.arange(5)})
    for first in range(5, 105, 20):
        memory.push(0, 0, np.ones(20, np.int64), {"x": np.arange(first, first + 20)})
    rows = memory.rows()
    assert rows["x"][rows["y"] == 0].tolist() == [0, 1, 2, 3, 4]
    assert (rows["y"] == 1).sum() == 5 and rows["x"].max() > 60


def test_fifo_keeps_the_latest_rows():
    buffer = Buffer([Column("x", "int64")], CAPACITY, Fifo(), np.random.default_rng(0))
    for first, size in ((0, 4), (4, 1), (5, 20), (25, 5)):
        buffer.push({"x": np.arange(first, first + size)})
        assert sorted(buffer.column("x")) == list(range(max(0, first + size - CAPACITY), first + size))
        assert (buffer.column("x") % CAPACITY == np.arange(len(buffer))).all()


def test_policies_are_chosen_by_name_with_their_options():
    text = 'name = "x"\nagents = 1\n[memory]\npolicy = "candidate"\naccept = 0.1\n'
    table = from_toml(text).memory
    policy = resolve("policy", table.policy)(table.options)
    assert isinstance(policy, Candidate) and policy.accept == 0.1
    assert resolve("policy", "fifo") is Fifo
