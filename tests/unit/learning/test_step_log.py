"""The log of the steps: the definitions of its numbers, slots, and that nothing of it is lost."""

from __future__ import annotations

import numpy as np
import pytest
from parallel_records import course, steps

from mpidcl.learning.parallel.steps import COLUMNS, StepLog, cosines

G = np.array([[18.0, -22], [-22, 38]])
"""Gram matrix of (-4, 1, 1) and (6, 1, 1)."""


def test_slack_is_the_smallest_decrease_beyond_what_was_promised() -> None:
    rng = np.random.default_rng(0)
    log = StepLog(4, 200)
    for step in range(200):
        tasks = np.sort(rng.choice(np.arange(-1, 4), rng.integers(1, 6), replace=False))
        rows = rng.standard_normal((len(tasks), 3))
        weights, sigma = rng.random(len(tasks)), rng.random(len(tasks))
        log.add(step, tasks.tolist(), rows @ rows.T, weights, sigma, sigma)
        direction = weights @ rows
        assert log.length[step] == pytest.approx(direction @ direction)
        assert log.slack[step] == pytest.approx(np.min(rows @ direction - sigma * (direction @ direction)))


@pytest.mark.parametrize(
    ("weights", "sigma", "length", "slack"),
    [
        ((0.6, 0.4), (1.0, 1.0), 2.0, 0.0),
        ((1.253012, 0.915663), (0.25, 0.75), 9.638554, 0.0),
        ((0.5, 0.5), None, 3.0, -2.0),
    ],
)
def test_known_steps(
    weights: tuple[float, ...], sigma: tuple[float, ...] | None, length: float, slack: float
) -> None:
    log = StepLog(2, 1)
    log.add(0, (0, 1), G, np.array(weights), None if sigma is None else np.array(sigma), np.ones(2))
    assert log.length[0] == pytest.approx(length, abs=1e-5)
    assert log.slack[0] == pytest.approx(slack, abs=1e-4)


def test_rows_are_in_the_slots_of_their_tasks() -> None:
    log = StepLog(3, 2)
    moved = np.array([1.0, 3.0], np.float32)
    log.add(1, (-1, 2), G, np.array([0.5, 0.25]), None, np.array([7.0, 8.0]), 1, moved, 0.125)
    assert log.count == 2
    assert log.present.tolist() == [[False] * 4, [True, False, False, True]]
    np.testing.assert_array_equal(log.weights[1], [0.5, np.nan, np.nan, 0.25])
    np.testing.assert_array_equal(log.loss[1], [7, np.nan, np.nan, 8])
    np.testing.assert_array_equal(log.gram[1][np.ix_([0, 3], [0, 3])], G)
    assert np.isnan(log.gram[1]).sum() == 12
    assert np.isnan(log.sigma).all()
    assert (log.skipped[1], log.moved_mean[1], log.moved_max[1], log.wall_s[1]) == (1, 2, 3, 0.125)


@pytest.mark.parametrize("wrong", ["gradient", "loss"])
def test_a_row_that_is_not_finite_is_not_present(wrong: str) -> None:
    gram, losses, sigma = np.diag([4.0, 2.0, 1.0]), np.ones(3), np.array([1.0, 0.5, 0.5])
    if wrong == "gradient":
        gram[0, :] = gram[:, 0] = np.nan
    else:
        losses[0] = np.nan
    log = StepLog(3, 1)
    log.add(0, (0, 1, 2), gram, np.array([0, 1, 1]), np.array([np.nan, 0.5, 0.5]), losses, skipped=1)
    rest = StepLog(3, 1)
    rest.add(0, (1, 2), gram[1:, 1:], np.array([1, 1]), sigma[1:], losses[1:], skipped=1)
    for name in ("present", "gram", "weights", "sigma", "slack", "length"):
        np.testing.assert_array_equal(getattr(log, name), getattr(rest, name))
    np.testing.assert_array_equal(log.loss[0, 1:], losses)
    assert log.slack[0] == 1 - 0.5 * 3


def test_a_step_without_any_gradient() -> None:
    log = StepLog(2, 1)
    log.add(0, (0,), np.zeros((1, 1)), np.zeros(1), None, np.array([np.nan]), skipped=1)
    assert np.isnan([log.slack[0], *log.weights[0]]).all()
    assert not log.present.any()


def test_without_weights_there_is_no_slack() -> None:
    log = StepLog(2, 1)
    log.add(0, (0, 1), G, None, None, np.ones(2))
    assert np.isnan([log.slack[0], log.length[0], *log.weights[0]]).all()
    np.testing.assert_array_equal(log.gram[0, 1:, 1:], G)


def test_cosines() -> None:
    log = StepLog(2, 1)
    log.add(0, (0, 1), G, np.ones(2), None, np.ones(2))
    found = log.cosines(0)
    assert found[1, 2] == found[2, 1] == pytest.approx(-22 / np.sqrt(18 * 38))
    np.testing.assert_allclose(found.diagonal(), [np.nan, 1, 1])
    zero = np.array([[0.0, 0], [0, 2]])
    np.testing.assert_allclose(cosines(zero), [[np.nan, np.nan], [np.nan, 1]])


@pytest.mark.parametrize("step", [0, 1, 3])
def test_steps_come_in_order(step: int) -> None:
    log = StepLog(1, 3)
    for earlier in range(2):
        log.add(earlier, (0,), np.eye(1), np.ones(1), None, np.ones(1))
    with pytest.raises(ValueError, match=f"should be 2 to 2.*Found {step}"):
        log.add(step, (0,), np.eye(1), np.ones(1), None, np.ones(1))


def test_a_log_goes_on_from_its_state() -> None:
    whole = steps(course())
    for stop in (0, 1, 50, whole.steps):
        found = StepLog(whole.tasks, whole.steps)
        found.load({name: getattr(whole, name)[:stop] for name in COLUMNS})
        assert (found.tasks, found.steps, found.count) == (whole.tasks, whole.steps, stop)
        for name in COLUMNS:
            np.testing.assert_array_equal(getattr(found, name)[:stop], getattr(whole, name)[:stop])
            assert getattr(found, name).shape == getattr(whole, name).shape
        if stop < whole.steps:
            found.add(stop, (0,), np.eye(1), np.ones(1), None, np.ones(1))
            assert found.loss[stop, 1] == 1


def test_a_state_of_another_run_is_refused() -> None:
    with pytest.raises(ValueError, match="of 4 tasks and at most 9 steps. Found one of 3 tasks and 0"):
        StepLog(4, 9).load(StepLog(3, 9).table())
