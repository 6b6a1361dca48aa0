"""The learner of parallel streams where gradients are missing, zero or not finite."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from parallel_fakes import build, finish, live

from mpidcl.errors import CombineError
from mpidcl.learning.parallel.learner import ParallelLearner
from mpidcl.stream.parallel.stream import ParallelStream


def spoil(learner: ParallelLearner, stream: ParallelStream) -> None:
    """Three steps, in the last of which the gradient of task 0 has a NaN."""
    learner.begin_task(stream.task(0))
    for tick in range(2):
        finish(learner.learn(0, tick))
    gradient = learner.rows.gradient

    def spoiled(place: int, number: int, task: int, *rest: Any) -> Any:
        own = gradient(place, number, task, *rest)
        if task == 0:
            own.vector[3] = np.nan
        return own

    learner.rows.gradient = spoiled  # type: ignore[method-assign]
    finish(learner.learn(0, 2))


def test_a_gradient_that_is_left_out_is_not_in_the_mean() -> None:
    learner, stream = build('learning.not_finite="skip"', 'learning.second_moment="mean"')
    spoil(learner, stream)
    assert learner._mean is not None
    np.testing.assert_array_equal(learner._mean, learner._direction)  # one gradient is left
    assert learner.finite()


def test_a_stream_that_ends_early_gives_no_gradient_and_no_error() -> None:
    learner, stream = build("stream.durations=[8, 4, 4, 4]", "stream.timeline=[0, 2, 3, 6]")
    live(learner, stream)
    log = learner.log
    assert log is not None
    dry = [s for s in range(8) if stream.batch_rows(0, s).start == stream.batch_rows(0, s).stop]
    assert dry
    assert not log.present[dry, 1].any() and (log.skipped == 0).all()
    assert learner.finite()


def test_a_step_without_any_gradient_changes_nothing() -> None:
    learner, stream = build(
        "stream.tasks=1", "stream.durations=[6]", "stream.timeline=[0]", "learning.weight_decay=0.1"
    )
    learner.begin_task(stream.task(0))
    for tick in range(4):
        finish(learner.learn(0, tick))
    before = learner.digest()
    finish(learner.learn(0, 4))
    finish(learner.learn(0, 5))
    assert learner.digest() == before


def test_streams_that_end_early_together_leave_steps_without_factors() -> None:
    learner, stream = build(
        "learning.terms=[]", "stream.tasks=2", "stream.durations=[6, 6]", "stream.timeline=[0, 0]"
    )
    live(learner, stream)
    log = learner.log
    assert log is not None and log.count == 6
    assert log.present[:4, 1:].all() and not log.present[4:].any()
    assert np.isfinite(log.sigma[:4, 1:]).all() and np.isnan(log.sigma[4:]).all()


def test_nan_stops_with_task_agent_and_step() -> None:
    learner, stream = build()
    learner.begin_task(stream.task(0))
    for tick in range(2):
        finish(learner.learn(0, tick))
    learner.parameters.data[:] = np.nan
    with pytest.raises(CombineError, match=r"task 0 \(agent 0\) at step 2.*not_finite"):
        finish(learner.learn(0, 2))


def test_nan_may_be_left_out() -> None:
    learner, stream = build('learning.not_finite="skip"')
    spoil(learner, stream)
    log = learner.log
    assert log is not None
    assert log.skipped[2] == 1
    assert np.isnan(log.weights[2, 1]) and log.weights[2, 2] == 1
    assert learner.finite()


def test_zero_gradients_change_nothing_but_momentum() -> None:
    learner, stream = build('learning.optimizer="sgd"')
    learner.begin_task(stream.task(0))
    finish(learner.learn(0, 0))
    gradient = learner.rows.gradient

    def nothing(*arguments: Any) -> Any:
        own = gradient(*arguments)
        own.vector[:] = 0
        return own

    learner.rows.gradient = nothing  # type: ignore[method-assign]
    before = learner.digest()
    for tick in range(1, 4):
        finish(learner.learn(0, tick))
    assert learner.digest() == before
