"""Metrics of parallel tasks; agents that share one model count once (docs/metrics.md).

a_t(b) is the accuracy on task t after optimiser step b, e_t the last step of t, E the last of the run:
first accuracy mean_t a_t(e_t), final accuracy mean_t a_t(E), forgetting mean_t (a_t(e_t) - a_t(E)). Each
under the mask of the mode at that step, and again under the mask of all classes: where the model must tell
apart the classes of all tasks started so far, forgetting of the first kind also counts that there are more of
them at the end. Publications on parallel continual learning print the negative of this forgetting.
"""

from __future__ import annotations

from collections.abc import Iterable

from mpidcl.learning.parallel.course import COURSE, ParallelCourse
from mpidcl.learning.parallel.steps import STEPS, StepLog
from mpidcl.record.records import AgentRecord
from mpidcl.views.base import Metric
from mpidcl.views.mean_error import mean_error
from mpidcl.views.units import PERCENT

METRICS = (
    Metric("first_accuracy", "first accuracy", PERCENT, "first accuracy", "first accuracy [%]"),
    Metric("first_accuracy_all_classes", "first accuracy, all classes", PERCENT),
    Metric("final_accuracy", "final accuracy", PERCENT, "final accuracy", "final accuracy [%]", True),
    Metric(
        "final_accuracy_all_classes", "final accuracy, all classes", PERCENT, "final, all classes",
        "… all classes [%]", True, beside="final_accuracy",
    ),
    Metric("forgetting", "forgetting", PERCENT, "forgetting", "forgetting [points]", True),
    Metric(
        "forgetting_all_classes", "forgetting, all classes", PERCENT, "forgetting, all classes",
        "… all classes [points]",
    ),
)  # fmt: skip
"""In the order of a table: under the mask of the mode, and of all classes."""
PARALLEL = tuple(one.name for one in METRICS)


def course_of(record: AgentRecord) -> ParallelCourse | None:
    """When each of its tasks was learned, and how well; None where its tasks are not parallel."""
    return ParallelCourse.from_table(record.tables[COURSE]) if record.has(COURSE) else None


def steps_of(record: AgentRecord) -> StepLog | None:
    """What every step did; None in agents that keep no log."""
    return StepLog.from_table(record.tables[STEPS]) if record.has(STEPS) else None


def first_log(records: Iterable[AgentRecord]) -> StepLog | None:
    """The log of the first model that has one."""
    return next((log for record in records if (log := steps_of(record)) is not None), None)


def course_metrics(course: ParallelCourse) -> dict[str, float]:
    """The metrics PARALLEL, by name; NaN before a task has ended. Tasks without a number are left out."""
    values = (course.first, course.final, course.first - course.final)
    means = [mean_error(column).mean for found in values for column in found.T]
    return dict(zip(PARALLEL, means, strict=True))
