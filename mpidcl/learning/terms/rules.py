"""What terms that keep the past say of an experiment before it runs."""

from __future__ import annotations

from collections.abc import Iterator

from mpidcl.experiment import kinds
from mpidcl.experiment.part import Use
from mpidcl.experiment.problems import Problem


def label_problems(use: Use, name: str, why: str) -> Iterator[Problem]:
    """An objective without labels."""
    kind = use.mine.learning.objective.kind
    if not kinds.resolve("objective", kind).classes:
        yield Problem(
            use.key,
            f'should not be there with an objective that has no classes: {why}. Found kind = "{name}" with'
            f' learning.objective = "{kind}". kind = "si" needs no labels',
        )


def silent_notes(use: Use, name: str) -> Iterator[str]:
    """No task comes after the first, or after the joint ones."""
    stream = use.mine.stream
    planned = kinds.resolve("stream", stream.kind).planned(stream.options)
    if planned.tasks is not None and planned.tasks <= max(1, planned.joint):
        there = "there is one task" if planned.tasks == 1 else f"{planned.tasks} tasks are learned together"
        yield f'note: the term "{name}" keeps nothing, because no task comes after another: {there}.'
