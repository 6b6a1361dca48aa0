"""The plan of all agents' draws: uniform, without replacement, split over classes, known to all."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from mpidcl.memory.draws import draws, rows_drawn, spans

FILLS = {1: [17], 2: [40, 5], 4: [5, 40, 1, 14]}


def numbers_of(seed, step, sizes, counts):
    """The numbers [agents, m] that all agents draw of all rows."""
    return rows_drawn(seed, step, np.array([sizes.sum()]), len(sizes), counts)[1]


def ids(plans, agent):
    """Every row that an agent draws as (owner, class, number there)."""
    mine, found = plans[agent], []
    came = dict(spans(mine.owners, mine.came))
    for owner, plan in enumerate(plans):
        part = dict(spans(plan.readers, plan.left)).get(agent, slice(0))
        found += [
            (owner, k, n)
            for k, n in zip(plan.classes[part].tolist(), plan.numbers[part].tolist(), strict=True)
        ]
        arrives = came.get(owner, slice(0))
        assert arrives.stop - (arrives.start or 0) == part.stop - (part.start or 0)
        assert (mine.owner[arrives] == owner).all()
    assert sorted(mine.arrival.tolist()) == list(range(len(mine.owner))) and (np.diff(mine.owner) >= 0).all()
    by_arrival = np.empty_like(mine.name)
    by_arrival[mine.arrival] = mine.name
    assert len(found) == len(by_arrival)
    assert (
        len({*zip(found, by_arrival.tolist(), strict=True)}) == len(set(found)) == len({*mine.name.tolist()})
    )
    return found


@pytest.mark.parametrize("agents", FILLS)
def test_every_row_is_drawn_as_often_as_every_other(agents):
    """Chi-square of the counts, with the covariance of draws without replacement."""
    sizes, steps, count = np.array(FILLS[agents])[:, None], 900 // agents, 7
    total, seen = int(sizes.sum()), np.zeros(int(sizes.sum()))
    for step in range(steps):
        numbers = numbers_of(3, step, sizes, [count])
        seen += np.bincount(numbers.ravel(), minlength=total)
    drawn = steps * agents
    variance = drawn * count / total * (1 - count / total) * total / (total - 1)
    statistic = ((seen - drawn * count / total) ** 2).sum() / variance
    assert 0.001 < stats.chi2.sf(statistic, total - 1) < 0.999


@pytest.mark.parametrize("balanced", [False, True])
@pytest.mark.parametrize("count", [1, 4, 9, 30, 200])
def test_no_row_is_twice_in_a_draw_and_readers_and_owners_agree(balanced, count):
    sizes = np.array([[3, 0, 9], [0, 0, 20], [2, 0, 11]])
    for step in range(20):
        plans = [draws(0, step, sizes, [count], agent, balanced=balanced) for agent in range(3)]
        for agent in range(3):
            found = ids(plans, agent)
            assert len(set(found)) == len(found) == min(count, 45)
            where = sizes if balanced else sizes.sum(1, keepdims=True)
            assert all(number < where[owner, label] for owner, label, number in found)


def test_of_fewer_rows_than_a_draw_all_come():
    plans = [draws(0, 1, np.array([[2], [3]]), [8], agent) for agent in range(2)]
    assert sorted(ids(plans, 0)) == [(0, 0, 0), (0, 0, 1), (1, 0, 0), (1, 0, 1), (1, 0, 2)]
    for sizes in (np.zeros((3, 1), np.int64), np.zeros((3, 4), np.int64)):
        assert not any(map(len, draws(0, 1, sizes, [8], 0, balanced=sizes.shape[1] > 1)))


@pytest.mark.parametrize("balanced", [False, True])
def test_who_has_ended_draws_nothing_and_still_sends(balanced):
    """Nothing else of the plan changes: everybody knows it without asking."""
    sizes = np.array([[3, 9], [4, 20], [2, 11]])
    for step in range(20):
        before = [draws(0, step, sizes, [5, 6], agent, balanced=balanced) for agent in range(3)]
        after = [draws(0, step, sizes, [5, 6], agent, np.array([0, 1, 0]), balanced) for agent in range(3)]
        assert not ids(after, 1) and all(1 not in plan.readers for plan in after)
        assert [ids(after, agent) for agent in (0, 2)] == [ids(before, agent) for agent in (0, 2)]


@pytest.mark.parametrize(
    ("count", "least", "most"),
    [(3, [0] * 4, [1] * 4), (9, [2, 2, 2, 2], [3, 2, 3, 3]), (20, [6, 2, 6, 6], [6, 2, 6, 6])],
)
def test_a_balanced_draw_is_split_evenly_and_a_small_class_passes_its_rows_on(count, least, most):
    """Classes of 50, 2, 50 and 30 rows, and one without."""
    sizes = np.array([[50, 2, 0, 0, 30], [0, 0, 50, 0, 0]])
    seen = np.zeros(5)
    for step in range(200):
        classes, _ = rows_drawn(1, step, sizes.sum(0), 2, [count])
        for agent in range(2):
            split = np.bincount(classes[agent], minlength=5)
            assert split[3] == 0 and split.sum() == count
            assert (split[[0, 1, 2, 4]] >= least).all() and (split[[0, 1, 2, 4]] <= most).all()
            seen += split
    if count == 3:
        assert stats.chisquare(seen[[0, 1, 2, 4]]).pvalue > 0.001


@pytest.mark.parametrize(
    ("count", "least", "most"),
    [(3, [0] * 4, [1] * 4), (9, [2, 2, 2, 2], [3, 2, 3, 3]), (20, [6, 2, 6, 6], [6, 2, 6, 6])],
)
def test_one_agent_draws_as_evenly(count, least, most):
    """Rows of a class are as likely, and each comes once."""
    held, seen, of_first = np.array([50, 2, 50, 0, 30]), np.zeros(5), np.zeros(50)
    for step in range(300):
        (classes,), (numbers,) = rows_drawn(1, step, held, 1, [count, 2])
        classes, numbers = classes[:count], numbers[:count]
        split = np.bincount(classes, minlength=5)
        assert (split[[0, 1, 2, 4]] >= least).all() and (split[[0, 1, 2, 4]] <= most).all()
        assert len({*zip(classes.tolist(), numbers.tolist(), strict=True)}) == count
        assert (numbers < held[classes]).all()
        seen += split
        of_first += np.bincount(numbers[classes == 0], minlength=50)
    if count == 3:
        assert stats.chisquare(seen[[0, 1, 2, 4]]).pvalue > 0.001
    assert stats.chisquare(of_first).pvalue > 0.001


def test_draws_of_one_agent_are_a_function_of_seed_and_step():
    held, counts = np.array([1000]), [5, 4000]
    (classes,), (numbers,) = rows_drawn(2, 7, held, 1, counts)
    assert len(numbers) == 1005 and not classes.any()
    assert sorted(numbers[5:].tolist()) == list(range(1000)) and len(set(numbers[:5].tolist())) == 5
    assert np.array_equal(numbers, rows_drawn(2, 7, held, 1, counts)[1][0])
    assert np.array_equal(numbers, draws(2, 7, held[None], counts, 0).numbers)
    for seed, step in ((2, 8), (3, 7)):
        assert not np.array_equal(numbers[:5], rows_drawn(seed, step, held, 1, counts)[1][0, :5])
    assert not rows_drawn(2, 7, np.array([0]), 1, counts)[1].size
    assert not rows_drawn(2, 7, np.array([0, 0]), 1, counts)[1].size


def test_inside_a_class_a_balanced_draw_is_uniform():
    sizes, seen = np.array([[4, 1], [2, 0], [6, 3]]), np.zeros(12)
    for step in range(300):
        classes, numbers = rows_drawn(5, step, sizes.sum(0), 3, [5])
        seen += np.bincount(numbers[classes == 0], minlength=12)
    share = seen.sum() / 300 / 3 / 12
    statistic = ((seen - 900 * share) ** 2).sum() / (900 * share * (1 - share))
    assert 0.001 < stats.chi2.sf(statistic, 11) < 0.999


def test_several_draws_of_a_step_are_independent():
    """Together they hold a row twice as often as chance has it, apart never."""
    both = 0
    for step in range(400):
        numbers = numbers_of(0, step, np.array([[6], [4]]), [3, 2])
        first, second = numbers[0, :3], numbers[0, 3:]
        assert len(set(first)) == 3 and len(set(second)) == 2
        both += len(set(first) & set(second))
    assert abs(both / 400 - 3 * 2 / 10) < 0.15


def test_a_plan_is_a_function_of_seed_step_and_sizes():
    sizes = np.array([[1000], [30], [500]])
    first = draws(2, 7, sizes, [4], 0).name
    assert np.array_equal(first, draws(2, 7, sizes, [4], 0).name)
    assert np.array_equal(first, numbers_of(2, 7, sizes, [4])[0])
    for other in (draws(2, 8, sizes, [4], 0), draws(3, 7, sizes, [4], 0), draws(2, 7, sizes + 1, [4], 0)):
        assert not np.array_equal(first, other.name)


def test_pinned():
    sizes = np.array([[50], [7]])
    assert numbers_of(0, 1, sizes, [3]).tolist() == [[54, 0, 42], [35, 25, 31]]
    assert [draws(0, 1, sizes, [3], agent).name.tolist() for agent in range(2)] == [[54, 0, 42], [35, 25, 31]]
    classes, numbers = rows_drawn(0, 1, np.array([51, 16]), 2, [3])
    assert (classes.tolist(), numbers.tolist()) == (
        [[0, 0, 1], [0, 0, 1]],
        [[49, 0, 10], [20, 46, 14]],
    )
    sizes = np.array([[50, 7], [1, 9]])
    plans = [draws(0, 1, sizes, [3], agent, balanced=True) for agent in range(2)]
    assert [plan.name.tolist() for plan in plans] == [[49, 0, 61], [20, 46, 65]]
    assert ids(plans, 0) == [(0, 0, 49), (0, 0, 0), (1, 1, 3)]


@pytest.mark.parametrize(("sizes", "counts"), [([[-1]], [1]), ([[1]], [-1])])
def test_what_is_no_number_of_rows_is_refused(sizes, counts):
    with pytest.raises(ValueError, match="at least 0"):
        draws(0, 0, np.array(sizes), counts, 0)
