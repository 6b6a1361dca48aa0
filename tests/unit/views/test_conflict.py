"""Numbers of conflict and descent, from gradients that are known."""

from __future__ import annotations

import numpy as np
import pytest
from parallel_records import course, steps

from mpidcl.learning.parallel.steps import StepLog
from mpidcl.views.parallel.conflict import binned, descent, mean_cosines, pairs, relative_slack


def angles(*degrees: float) -> np.ndarray:
    """Unit gradients in the plane."""
    turned = np.radians(degrees)
    return np.stack([np.cos(turned), np.sin(turned)], axis=1)


def logged(*found: tuple[tuple[int, ...], np.ndarray, np.ndarray, np.ndarray | None]) -> StepLog:
    log = StepLog(3, len(found) + 2)
    for step, (tasks, rows, weights, sigma) in enumerate(found):
        log.add(step, tasks, rows @ rows.T, weights, sigma, np.ones(len(tasks)))
    return log


def test_pairs_of_known_gradients() -> None:
    log = logged(
        ((0,), angles(0), np.ones(1), None),
        ((0, 1, 2), 7 * angles(0, 60, 180), np.ones(3), None),
    )
    found = pairs(log)
    assert np.isnan([found.mean[0], found.smallest[0], found.share[0]]).all()
    assert found.mean[1] == pytest.approx((0.5 - 1 - 0.5) / 3)
    assert found.smallest[1] == pytest.approx(-1)
    assert found.share[1] == pytest.approx(2 / 3)


def test_mean_cosines_are_over_the_steps_that_two_shared() -> None:
    log = logged(
        ((-1, 0), angles(0, 60), np.ones(2), None),
        ((-1, 0, 2), angles(0, 90, 120), np.ones(3), None),
    )
    found = mean_cosines(log)
    np.testing.assert_allclose(found, found.T)
    assert found[0, 1] == pytest.approx(0.25)
    assert found[0, 3] == pytest.approx(-0.5)
    assert found[1, 3] == pytest.approx(np.cos(np.radians(30)))
    assert np.isnan(found[2]).all()


def test_descent_is_the_worst_cosine_to_the_direction() -> None:
    rng = np.random.default_rng(0)
    found = []
    expected = []
    for _ in range(30):
        rows, weights = rng.standard_normal((3, 5)), rng.random(3)
        direction = weights @ rows
        cosines = rows @ direction / np.linalg.norm(rows, axis=1) / np.linalg.norm(direction)
        expected.append(cosines.min())
        found.append(((-1, 0, 2), rows, weights, None))
    np.testing.assert_allclose(descent(logged(*found)), expected, rtol=1e-9)


def test_no_direction_has_no_worst_cosine() -> None:
    log = logged(((0, 1), angles(0, 180), np.ones(2), np.ones(2)), ((0, 1), angles(0, 9), None, None))
    assert np.isnan(descent(log)).all()
    assert np.isnan(relative_slack(log)).all()


def test_relative_slack_has_no_unit() -> None:
    rows, weights, sigma = angles(0, 100), np.array([0.8, 0.6]), np.array([0.3, 0.7])
    log = logged(
        ((0, 1), rows, weights, sigma), ((0, 1), 5 * rows, weights, sigma), ((0, 1), rows, weights, None)
    )
    found = relative_slack(log)
    assert found[0] == pytest.approx(found[1])
    assert np.isnan(found[2])


@pytest.mark.parametrize("steps", [0, 1, 7, 80, 81, 1000])
def test_pieces_keep_sum_and_extremes(steps: int) -> None:
    values = np.random.default_rng(steps).standard_normal(steps)
    found = binned(values, 80)
    assert len(found.step) == min(steps, 80)
    assert np.all(np.diff(found.step) > 0)
    if steps:
        assert found.low.min() == values.min()
        assert found.high.max() == values.max()
        assert np.all((found.low <= found.mean) & (found.mean <= found.high))


def test_pieces_without_a_number_are_left_out() -> None:
    values = np.full(100, np.nan)
    values[40:60] = 2.0
    found = binned(values, 10)
    assert found.step.tolist() == [44.5, 54.5]
    assert found.mean.tolist() == [2, 2]


def test_a_whole_run_has_numbers_where_it_should() -> None:
    found = course()
    log = steps(found)
    alone = log.present.sum(axis=1) == 1
    np.testing.assert_array_equal(np.isnan(pairs(log).mean), alone)
    assert not np.isnan(descent(log)).any()
    np.testing.assert_allclose(descent(log)[alone], 1)
