"""Gradients that come in parts are folded into what a combiner sees, and its answer spread over the parts."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpidcl.errors import CombineError
from mpidcl.learning.combiners.base import MEMORY
from mpidcl.learning.parallel.compared import StepGradients
from mpidcl.learning.parallel.parts import StepRows, shares_of
from mpidcl.network.requests import Compared

PARTED = StepRows((MEMORY, 2, 4), ((0, 3), (1, 4), (3, 1)), (2, 0))


def vectors(rows: int) -> np.ndarray:
    return np.random.default_rng(1).standard_normal((rows, 50)).astype(np.float32)


def compared(rows: np.ndarray) -> Compared:
    wide = rows.astype(np.float64)
    return Compared(wide @ wide.T, np.arange(2.0 * len(rows), dtype=np.float32).reshape(-1, 2))


def test_rows_have_owners_and_tasks() -> None:
    assert PARTED.row_owners == (0, 1, 3, 2, 0) and PARTED.parts == 3
    assert [PARTED.task_of(row) for row in range(5)] == [MEMORY, MEMORY, MEMORY, 2, 4]
    without = StepRows((2, 4), (), (2, 0))
    assert without.row_owners == (2, 0) and [without.task_of(row) for row in range(2)] == [2, 4]


def test_inner_products_and_losses_of_the_parts_add_up() -> None:
    rows = vectors(5)
    whole = np.stack([rows[:3].astype(np.float64).sum(0), *rows[3:]])
    found = PARTED.fold(compared(rows))
    np.testing.assert_allclose(found.gram, whole @ whole.T, rtol=1e-12)
    np.testing.assert_array_equal(found.facts, [[0 + 2 + 4, 1 + 3 + 5], [6, 7], [8, 9]])


def test_nan_in_a_part_is_nan_in_the_whole() -> None:
    rows = vectors(5)
    rows[1, 0] = np.nan
    gram = PARTED.fold(compared(rows)).gram
    assert np.isnan(gram[0]).all() and np.isfinite(gram[1:, 1:]).all()


@pytest.mark.filterwarnings("error")
def test_parts_that_are_infinite_in_opposite_ways_are_nan_without_a_warning() -> None:
    rows = vectors(5)
    rows[0, 3], rows[1, 3] = np.inf, -np.inf
    with np.errstate(invalid="ignore"):
        found = compared(rows)
    assert np.isnan(PARTED.fold(found).gram[0]).all()
    summed = []
    PARTED.rule(lambda slices, start: summed.append(slices[0]) or slices[1])(list(rows), 0)
    assert np.isnan(summed[0][3])


def test_the_error_names_the_part_and_tells_the_loss_of_the_whole() -> None:
    rows = vectors(5)
    rows[1, 0] = np.nan
    found = Compared(compared(rows).gram, np.array([[0.25], [0.5], [0.75], [2], [3]], np.float32))
    with pytest.raises(
        CombineError, match=r"that of the memory \(agent 1\) at step 9; its loss is 1\.5\. Lower"
    ):
        StepGradients(9, PARTED, found).refuse_nan()


def test_a_weight_is_that_of_every_part() -> None:
    rows = vectors(5)
    weights = np.array([0.5, -1.0, 2.0])
    whole = np.stack([rows[:3].sum(0), *rows[3:]])
    np.testing.assert_allclose(PARTED.rule(weights) @ rows, weights @ whole, rtol=1e-5, atol=1e-6)


def test_a_rule_per_coordinate_sees_the_sum_of_the_parts() -> None:
    rows = vectors(5)
    seen = []

    def rule(slices, start):
        seen.append((slices, start))
        return np.sign(slices[0]) * slices[2]

    found = PARTED.rule(rule)(list(rows), 7)
    ((slices, start),) = seen
    assert start == 7 and len(slices) == 3
    np.testing.assert_allclose(slices[0], rows[:3].sum(0), rtol=1e-6)
    np.testing.assert_array_equal(found, np.sign(slices[0]) * rows[4])
    np.testing.assert_array_equal(rows, vectors(5))  # the rows themselves are left alone


@pytest.mark.parametrize("rows", [StepRows((MEMORY, 1), ((2, 5),), (0,)), StepRows((0, 1), (), (0, 1))])
def test_nothing_is_done_where_nothing_is_parted(rows: StepRows) -> None:
    both, weights = compared(vectors(2)), np.ones(2)
    assert rows.fold(both) is both and rows.rule(weights) is weights
    assert rows.rule(len) is len  # type: ignore[arg-type,comparison-overlap]


@given(st.lists(st.integers(0, 30), min_size=1, max_size=6), st.integers(1, 60), st.integers(0, 99))
def test_shares_are_a_draw_without_replacement(held: list[int], rows: int, seed: int) -> None:
    shares = shares_of(held, rows, np.random.default_rng(seed))
    assert sum(count for _, count in shares) == min(rows, sum(held))
    assert all(1 <= count <= held[agent] for agent, count in shares)
    assert [agent for agent, _ in shares] == sorted({agent for agent, _ in shares})
    assert shares == shares_of(held, rows, np.random.default_rng(seed))


def test_shares_are_fair() -> None:
    rng, held = np.random.default_rng(0), [10, 0, 30, 60]
    totals = np.zeros(4)
    for _ in range(2000):
        for agent, count in shares_of(held, 20, rng):
            totals[agent] += count
    np.testing.assert_allclose(totals / totals.sum(), np.array(held) / 100, atol=0.01)
