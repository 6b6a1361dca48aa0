"""Which slot takes a row: the loops against their definitions, and what each rule promises."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from mpidcl_kernels import slots
from mpidcl_kernels.gather import insert_rows

SETTINGS = settings(max_examples=80)
SEEDS = st.integers(0, 99)


def generator(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


@SETTINGS
@given(st.integers(0, 60), st.integers(0, 60), st.integers(0, 20), SEEDS)
def test_reservoir_is_its_definition(count, seen, capacity, seed):
    found = slots.reservoir_slots(count, seen, capacity, generator(seed))
    wanted = slots.reservoir_definition(generator(seed).random(count), seen, capacity)
    assert found.dtype == np.int64 and found.tolist() == wanted.tolist()
    assert ((found >= slots.REFUSED) & (found < max(capacity, 0))).all()


@SETTINGS
@given(
    st.integers(0, 60), st.integers(1, 4), st.integers(0, 5), st.sampled_from([0.0, 1e-300, 0.3, 1.0]), SEEDS
)
def test_candidate_is_its_definition(count, classes, per_class, accept, seed):
    labels = generator(seed + 1).integers(0, classes, count)
    held = generator(seed + 2).integers(0, per_class + 1, classes)
    wanted, after = slots.candidate_definition(generator(seed).random(count), labels, held, per_class, accept)
    found = slots.candidate_slots(labels, held, per_class, accept, generator(seed))
    assert found.tolist() == wanted.tolist() and held.tolist() == after.tolist()
    taken = found != slots.REFUSED
    assert (found[taken] // max(per_class, 1) == labels[taken]).all()


@SETTINGS
@given(st.lists(st.integers(-1, 12), max_size=60))
def test_last_of_each_is_its_definition(numbers):
    given = np.array(numbers, np.int64)
    assert slots.last_of_each(given).tolist() == slots.last_of_each_definition(given).tolist()


@SETTINGS
@given(st.lists(st.lists(st.integers(0, 9), max_size=12), max_size=4))
def test_a_list_without_repeats_grows_by_what_is_new(lists):
    table = np.full(10, -1)
    for base in (0, 40, 80):  # lists that begin anew
        known: list[int] = []
        for numbers in lists:
            places, new = slots.first_of_each(np.array(numbers, np.int64), table, base, len(known))
            known += [numbers[k] for k in new]
            assert len(set(known)) == len(known) and [known[place] for place in places] == numbers


def test_a_number_outside_of_the_table_is_named():
    with pytest.raises(ValueError, match="9"):
        slots.first_of_each(np.array([1, 9]), np.full(9, -1), 0, 0)


def test_last_of_each_of_numbers_that_are_far_apart():
    spread = np.concatenate([np.arange(1000) << 40, np.arange(1000) << 40])
    assert slots.last_of_each(spread).tolist() == list(range(1000, 2000))


@SETTINGS
@given(st.integers(0, 30), st.integers(0, 100), st.integers(1, 12))
def test_fifo_overwrites_the_oldest(count, seen, capacity):
    assert slots.fifo_slots(count, seen, capacity).tolist() == [(seen + i) % capacity for i in range(count)]
    assert slots.fifo_slots(count, seen, 0).tolist() == [slots.REFUSED] * count


def test_pinned_slots():
    labels = np.array([0, 1, 0, 1, 0, 1, 2, 0])
    pinned = {
        "reservoir": slots.reservoir_slots(8, 2, 4, generator(0)).tolist(),
        "candidate": slots.candidate_slots(labels, np.zeros(3, np.int64), 1, 0.5, generator(0)).tolist(),
        "balanced": slots.class_balanced_slots(labels, slots.ClassTable(4), generator(0)).tolist(),
    }
    assert pinned == {
        "reservoir": [2, 3, 0, 0, -1, -1, -1, -1],
        "candidate": [0, 1, 0, 1, -1, -1, 2, -1],
        "balanced": [0, 1, 2, 3, -1, -1, 2, -1],
    }


# --- what the rules promise ---------------------------------------------------------------------------

RUNS = 1500


def kept_rows(choose: Callable[[np.random.Generator], np.ndarray], capacity: int, offered: int) -> np.ndarray:
    """How often each of the offered rows is in the store at the end, over many runs."""
    counts, rng = np.zeros(offered), generator(0)
    for _ in range(RUNS):
        store = np.full(capacity, -1)
        insert_rows(store, np.arange(offered), choose(rng))
        counts[store[store >= 0]] += 1
    return counts


def test_reservoir_keeps_every_row_with_the_same_probability():
    counts = kept_rows(lambda rng: slots.reservoir_slots(30, 0, 6, rng), 6, 30)
    assert counts.sum() == RUNS * 6 and chisquare(counts).pvalue > 0.001


def test_a_candidate_survives_with_the_published_probability():
    accept, per_class, later = 0.4, 5, 12
    labels = np.zeros(per_class + later, np.int64)

    def choose(rng: np.random.Generator) -> np.ndarray:
        return slots.candidate_slots(labels, np.zeros(1, np.int64), per_class, accept, rng)

    counts = kept_rows(choose, per_class, labels.size)
    survival = (1 - accept / per_class) ** later
    deviation = np.sqrt(survival * (1 - survival) / (RUNS * per_class))
    assert abs(counts[:per_class].sum() / (RUNS * per_class) - survival) < 4 * deviation
    # A later row must first be accepted, and survive those after it.
    wanted = accept * (1 - accept / per_class) ** np.arange(later - 1, -1, -1)
    np.testing.assert_allclose(counts[per_class:] / RUNS, wanted, atol=4 * np.sqrt(0.25 / RUNS))


def owners(labels: np.ndarray, table: slots.ClassTable, found: np.ndarray) -> np.ndarray:
    """Class of the row in each slot; -1 where none is."""
    store = np.full(table.capacity, -1)
    insert_rows(store, labels, found)
    return store


@SETTINGS
@given(st.lists(st.integers(0, 6), max_size=150), st.integers(0, 12), SEEDS)
def test_the_class_table_knows_what_the_store_holds(labels, capacity, seed):
    labels, table = np.array(labels, np.int64), slots.ClassTable(capacity)
    store = owners(labels, table, slots.class_balanced_slots(labels, table, generator(seed)))
    assert sorted(table.order.tolist()) == list(range(capacity))
    for k in range(table.seen.size):
        assert (store[table.order[table.starts[k] : table.starts[k + 1]]] == k).all()
    assert (store[table.order[table.starts[-1] :]] == -1).all()
    assert table.sizes.sum() == min(capacity, labels.size) == (store >= 0).sum()
    assert table.seen.tolist() == np.bincount(labels, minlength=table.seen.size).tolist()


@pytest.mark.parametrize("order", ["one class after the other", "mixed", "unequal"])
@pytest.mark.parametrize("classes", [1, 3, 5, 8])
def test_classes_get_equal_quotas(order, classes):
    amounts = np.full(classes, 200) if order != "unequal" else 100 * np.arange(1, classes + 1)
    labels = np.repeat(np.arange(classes), amounts)
    if order != "one class after the other":
        labels = generator(1).permutation(labels)
    table = slots.ClassTable(23)
    for part in np.array_split(labels, 7):
        slots.class_balanced_slots(part, table, generator(2))
    assert table.sizes.sum() == 23 and np.ptp(table.sizes) <= 1


def test_a_small_class_keeps_all_its_rows():
    labels = generator(1).permutation(np.repeat([0, 1, 2], [500, 3, 500]))
    table = slots.ClassTable(20)
    store = owners(np.arange(labels.size), table, slots.class_balanced_slots(labels, table, generator(0)))
    assert set(np.flatnonzero(labels == 1)) <= set(store.tolist()) and np.ptp(table.sizes[[0, 2]]) <= 1


def test_rows_of_a_class_are_a_uniform_sample_of_it():
    labels = np.repeat([0, 1], 24)
    counts = kept_rows(lambda rng: slots.class_balanced_slots(labels, slots.ClassTable(8), rng), 8, 48)
    assert counts[:24].sum() == counts[24:].sum() == 4 * RUNS
    assert chisquare(counts[:24]).pvalue > 0.001 and chisquare(counts[24:]).pvalue > 0.001


@SETTINGS
@given(st.lists(st.integers(0, 20), max_size=5), SEEDS)
def test_batches_of_any_size_take_the_same_slots(sizes, seed):
    total = sum(sizes)
    labels, ends = generator(seed).integers(0, 3, total), np.cumsum([0, *sizes])

    def rules() -> list[Callable[[int, int], np.ndarray]]:
        rngs, held, table = [generator(seed) for _ in range(3)], np.zeros(3, np.int64), slots.ClassTable(5)
        return [
            lambda a, b: slots.reservoir_slots(b - a, a, 5, rngs[0]),
            lambda a, b: slots.candidate_slots(labels[a:b], held, 4, 0.5, rngs[1]),
            lambda a, b: slots.class_balanced_slots(labels[a:b], table, rngs[2]),
            lambda a, b: slots.fifo_slots(b - a, a, 5),
        ]

    for whole, parts in zip(rules(), rules(), strict=True):
        in_parts = [parts(a, b) for a, b in zip(ends[:-1], ends[1:], strict=True)]
        assert np.concatenate([np.empty(0), *in_parts]).tolist() == whole(0, total).tolist()


def test_a_saved_class_table_goes_on_like_the_first():
    labels, first = generator(0).integers(0, 4, 300), slots.ClassTable(11)
    slots.class_balanced_slots(labels[:150], first, generator(1))
    state = first.state()
    second = slots.ClassTable(**state)
    after = [
        slots.class_balanced_slots(labels[150:], table, generator(2)).tolist() for table in (first, second)
    ]
    assert after[0] == after[1] and state["seen"].sum() == 150


def test_the_rarest_candidate_has_a_slot_of_its_class():
    found, zero = np.empty(1, np.int64), np.zeros(1)
    slots.loops.candidate(zero, np.array([1]), np.array([5, 5]), 5, 1e-320, found)
    assert found == [5]


# --- bad input ------------------------------------------------------------------------------------------

ONE, RNG = np.zeros(1, np.int64), np.random.default_rng(0)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: slots.reservoir_slots(-1, 0, 3, RNG), ValueError, "`count` should be at least 0. Found -1."),
        (lambda: slots.fifo_slots(1, 0, -3), ValueError, "`capacity` should be at least 0. Found -3."),
        (lambda: slots.ClassTable(2, order=np.array([0, 0])), ValueError, "each of the 2 slots once"),
        (lambda: slots.ClassTable(2, starts=np.array([0, 3])), ValueError, "increasing from 0 to at most 2"),
        (lambda: slots.ClassTable(2, starts=np.array([0, 2])), ValueError, "a number for each of 1 classes"),
        (lambda: slots.ClassTable(-1), ValueError, "`capacity` should be at least 0 rows. Found -1."),
        (
            lambda: slots.candidate_slots(ONE, ONE.copy(), 1, 1.5, RNG),
            ValueError,
            "`accept` should be between",
        ),
        (lambda: slots.candidate_slots(ONE + 7, ONE, 1, 1.0, RNG), ValueError, "between 0 and 0. Found 7."),
        (
            lambda: slots.candidate_slots(ONE, ONE + 2, 1, 1.0, RNG),
            ValueError,
            "`held` should be between 0 and 1. Found 2.",
        ),
        (
            lambda: slots.candidate_slots(ONE, ONE * 0.0, 1, 1.0, RNG),
            TypeError,
            "`held` should be a vector of",
        ),
        (
            lambda: slots.candidate_slots(ONE, ONE.copy(), -1, 1.0, RNG),
            ValueError,
            "`per_class` should be at least 0. Found -1.",
        ),
        (
            lambda: slots.candidate_slots(np.array([2**64 - 1], np.uint64), ONE, 1, 1.0, RNG),
            ValueError,
            "`classes` should be between 0 and 0. Found 9223372036854775807.",
        ),
        (
            lambda: slots.ClassTable(1, starts=np.array([0, 1]), seen=-5 + ONE, full=ONE),
            ValueError,
            "`seen` should be at least the slots",
        ),
        (lambda: slots.class_balanced_slots(ONE - 1, slots.ClassTable(1), RNG), ValueError, "Found -1."),
        (
            lambda: slots.class_balanced_slots(ONE * 0.5, slots.ClassTable(1), RNG),
            TypeError,
            "Found float64.",
        ),
        (lambda: slots.class_balanced_slots([0], slots.ClassTable(1), RNG), TypeError, "vector of integers"),
    ],
)
def test_what_does_not_fit_is_refused(call, error, message):
    with pytest.raises(error, match=message.replace(".", r"\.")):
        call()
