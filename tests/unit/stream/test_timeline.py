"""Timelines of parallel streams: the arrival rule, active sets, segments, and the published lists."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpidcl.errors import ExperimentError
from mpidcl.stream.parallel.timeline import PUBLISHED, PUBLISHED_DURATIONS, Timeline, draw_starts

durations = st.lists(st.integers(1, 30), min_size=1, max_size=12)
seeds = st.integers(0, 2**32)


def drawn(lengths: list[int], seed: int) -> Timeline:
    return Timeline(draw_starts(lengths, np.random.default_rng(seed)), tuple(lengths))


def published(name: str) -> Timeline:
    starts = PUBLISHED[name]
    return Timeline(starts, PUBLISHED_DURATIONS[name.rpartition("-")[0]])


@given(durations, seeds)
def test_starts_are_ordered_and_no_step_is_idle(lengths: list[int], seed: int) -> None:
    line = drawn(lengths, seed)
    assert line.starts[0] == 0 and list(line.starts) == sorted(line.starts)
    assert all(start <= max(line.ends[:t]) for t, start in enumerate(line.starts) if t)
    assert all(line.active(step) for step in range(line.steps)) and not line.active(line.steps)


@given(durations, seeds)
def test_tasks_are_active_for_their_duration_in_one_piece(lengths: list[int], seed: int) -> None:
    line = drawn(lengths, seed)
    active = [line.active(step) for step in range(line.steps)]
    for task, length in enumerate(lengths):
        steps = [step for step, tasks in enumerate(active) if task in tasks]
        assert steps == list(range(line.starts[task], line.starts[task] + length))


@given(durations, seeds)
def test_segments_cover_all_steps_and_end_where_tasks_do(lengths: list[int], seed: int) -> None:
    line = drawn(lengths, seed)
    assert [s.index for s in line.segments] == list(range(len(line.segments)))
    assert [step for s in line.segments for step in range(s.first, s.stop)] == list(range(line.steps))
    assert sorted(t for s in line.segments for t in s.ended) == list(range(len(lengths)))
    for segment in line.segments:
        assert segment.ended and {line.ends[t] + 1 for t in segment.ended} == {segment.stop}
    assert line.memory_from == line.segments[0].stop


@given(durations, seeds)
def test_started_counts_the_starts_up_to_a_step(lengths: list[int], seed: int) -> None:
    line = drawn(lengths, seed)
    for step in range(line.steps):
        assert line.started(step) == sum(start <= step for start in line.starts)


@given(durations, seeds)
def test_more_tasks_do_not_change_the_starts_of_earlier_ones(lengths: list[int], seed: int) -> None:
    all_starts = drawn(lengths, seed).starts
    assert drawn(lengths[:-1] or lengths, seed).starts == all_starts[: max(1, len(lengths) - 1)]


def test_a_start_may_be_at_both_ends_of_its_range_and_is_uniform_between() -> None:
    starts = [drawn([4, 4], seed).starts[1] for seed in range(4000)]
    counts = np.bincount(starts, minlength=4)
    assert len(counts) == 4 and np.abs(counts / 4000 - 0.25).max() < 0.04


@pytest.mark.parametrize(
    ("name", "steps", "mean", "most"),
    [
        ("emnist-0", 4877, 1.1185, 2),
        ("emnist-1", 1839, 2.9663, 5),
        ("emnist-2", 3363, 1.6221, 3),
        ("cifar100-0", 257, 1.5564, 3),
        ("cifar100-1", 166, 2.4096, 4),
        ("cifar100-2", 279, 1.4337, 3),
        ("tiny-0", 2129, 1.4702, 3),
        ("tiny-1", 1929, 1.6226, 3),
        ("tiny-2", 1279, 2.4472, 5),
    ],
)
def test_the_published_lists_have_their_published_totals(
    name: str, steps: int, mean: float, most: int
) -> None:
    line = published(name)
    counts = [len(line.active(step)) for step in range(line.steps)]
    assert line.steps == steps and max(counts) == most
    assert np.mean(counts) == pytest.approx(mean, abs=5e-5)


def test_the_example_of_two_tasks_that_end_together() -> None:
    line = Timeline((0, 2, 5), (6, 4, 1))
    assert line.ends == (5, 5, 5) and line.steps == 6 and line.memory_from == 6
    assert [(s.first, s.stop, s.ended) for s in line.segments] == [(0, 6, (0, 1, 2))]
    assert [line.active(step) for step in (0, 1, 2, 4, 5)] == [(0,), (0,), (0, 1), (0, 1), (0, 1, 2)]
    assert [line.started(step) for step in (0, 2, 5)] == [1, 2, 3]


def test_tasks_one_after_the_other_are_a_timeline_too() -> None:
    line = Timeline((0, 3, 7), (3, 4, 2))
    assert [line.active(step) for step in range(line.steps)] == [(0,)] * 3 + [(1,)] * 4 + [(2,)] * 2


@pytest.mark.parametrize(
    ("starts", "lengths", "message"),
    [
        ((), (), "one task at least"),
        ((0, 1), (3,), "Found 2 starts and 1 durations"),
        ((0,), (0,), "Task 0 should last at least 1 step. Found 0"),
        ((1,), (3,), "Task 0 should start at step 0. Found 1"),
        ((0, 2, 1), (3, 3, 3), "task 2 should start at step 2, where task 1 does, or later. Found 1"),
        ((0, 4), (3, 3), "task 1 should start at step 3, where the tasks before it are over.*Found 4"),
        ((0, 1, 13), (10, 2, 1), "task 2 should start at step 10"),
    ],
)
def test_timelines_that_cannot_be_are_refused(starts: tuple, lengths: tuple, message: str) -> None:
    with pytest.raises(ExperimentError, match=message):
        Timeline(starts, lengths)
