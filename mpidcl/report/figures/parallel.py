"""The pictures of parallel learning that a report has."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from matplotlib.figure import Figure

from mpidcl.record.course import ParallelCourse
from mpidcl.record.parallel_metrics import one_per_model
from mpidcl.record.records import AgentRecord
from mpidcl.record.steps import StepLog
from mpidcl.report.figures import conflict, gallery, parallel_readings, timeline, weights

Sheet = tuple[str, str, str, Callable[[], Figure]]


def parallel_sheets(records: Sequence[AgentRecord]) -> list[Sheet]:
    """The figures of the model that the agents share; of the first where each has its own."""
    models = [record for record in one_per_model(records) if record.course is not None]
    course = models[0].course
    assert course is not None
    mine = [record for record in records if record.model == models[0].model]
    more = f" (agent {models[0].agent})" if len(models) > 1 else ""
    sheets = _course_sheets(course, models[0])
    for record in mine:
        if record.steps is not None and record.steps.count:
            sheets += _step_sheets(record.steps, course)
    rows = gallery.together([record.gallery for record in mine if record.gallery is not None])
    if rows is not None and gallery.can_draw(rows):
        draw = partial(gallery.gallery, rows)
        sheets.append(("edited-rows", "Edited rows of the memory", parallel_readings.GALLERY, draw))
    return [(name, title + more, reading, draw) for name, title, reading, draw in sheets]


def _course_sheets(course: ParallelCourse, record: AgentRecord) -> list[Sheet]:
    accuracies = partial(timeline.task_accuracies, course, record.evaluations)
    return [
        ("timeline", "Timeline", parallel_readings.TIMELINE, partial(timeline.timeline, course)),
        ("task-accuracy", "Accuracy of every task", parallel_readings.ACCURACY, accuracies),
    ]


def _step_sheets(log: StepLog, course: ParallelCourse) -> list[Sheet]:
    table = [
        ("gradient-weights", "Weights of the gradients", parallel_readings.WEIGHTS, weights.weights),
        ("pareto-slack", "Was every step good for all?", parallel_readings.SLACK, weights.slack),
        ("task-loss", "Losses while learning", parallel_readings.LOSS, weights.losses),
    ]
    if (log.present.sum(axis=1) > 1).any():
        words = "Do the gradients agree?"
        table.insert(0, ("gradient-conflict", words, parallel_readings.CONFLICT, conflict.conflict))
    if (log.moved_max[: log.count] > 0).any():
        words = "How far edits moved"
        table.append(("edit-distance", words, parallel_readings.DISPLACEMENT, weights.displacement))
    return [(name, title, reading, partial(draw, log, course)) for name, title, reading, draw in table]
