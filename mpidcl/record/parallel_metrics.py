"""Metrics of parallel tasks, and of any record; agents that share one model count once (docs/metrics.md).

a_t(b) is the accuracy on task t after optimiser step b, e_t the last step of t, E the last of the run:
first accuracy mean_t a_t(e_t), final accuracy mean_t a_t(E), forgetting mean_t (a_t(e_t) - a_t(E)). Each
under the mask of the mode at that step, and again under the mask of all classes: where the model must tell
apart the classes of all tasks started so far, forgetting of the first kind also counts that there are more of
them at the end. Publications on parallel continual learning print the negative of this forgetting.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from mpidcl.record.course import ParallelCourse
from mpidcl.record.metrics import Metrics, agent_metrics
from mpidcl.record.records import AgentRecord

SERIAL = tuple(Metrics.__dataclass_fields__)
_NAMES = ("first_accuracy", "final_accuracy", "forgetting")
_SUFFIXES = ("", "_all_classes")
"""Of a metric's name, for the two masks."""
PARALLEL = tuple(name + end for name in _NAMES for end in _SUFFIXES)
ONE_MASK = _NAMES
"""Those under the mask of the mode alone."""


def course_metrics(course: ParallelCourse) -> dict[str, float]:
    """The metrics PARALLEL, by name; NaN before a task has ended. Tasks without a number are left out."""
    values = (course.first, course.final, course.first - course.final)
    return {
        name + end: _mean(found[:, column])
        for name, found in zip(_NAMES, values, strict=True)
        for column, end in enumerate(_SUFFIXES)
    }


def record_metrics(record: AgentRecord) -> dict[str, float]:
    """The metrics of one agent by name; NaN for those that its kind of stream does not have."""
    if record.course is None:
        return agent_metrics(record.evaluations, record.joint_tasks).as_dict()
    return dict.fromkeys(SERIAL, np.nan) | course_metrics(record.course)


def metric_names(records: Iterable[AgentRecord]) -> tuple[str, ...]:
    """Names of all metrics that these agents may have."""
    parallel = any(record.course is not None for record in records)
    return tuple(dict.fromkeys((*SERIAL, *PARALLEL))) if parallel else SERIAL


def one_per_model(records: Sequence[AgentRecord]) -> list[AgentRecord]:
    """The first agent of each model: agents that share one have equal results, which are one value."""
    found: dict[int, AgentRecord] = {}
    for record in records:
        found.setdefault(record.model, record)
    return list(found.values())


def _mean(values: Iterable[float]) -> float:
    known = [value for value in values if not np.isnan(value)]
    return float(np.mean(known)) if known else np.nan
