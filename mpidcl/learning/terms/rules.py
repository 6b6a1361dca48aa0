"""What terms that keep the past say of an experiment before it runs."""

from __future__ import annotations

from collections.abc import Iterator

from mpidcl.errors import ExperimentError
from mpidcl.experiment import kinds
from mpidcl.experiment.part import Use
from mpidcl.experiment.problems import Problem
from mpidcl.learning.objectives.classification import OneVsRest
from mpidcl.learning.terms.base import TermHost
from mpidcl.model.base import Model


def label_problems(use: Use, name: str, why: str) -> Iterator[Problem]:
    """An objective without labels."""
    kind = use.mine.learning.objective.kind
    if not kinds.resolve("objective", kind).classes:
        yield Problem(
            use.key,
            f'should not be there with an objective that has no classes: {why}. Found kind = "{name}" with'
            f' learning.objective = "{kind}". kind = "si" needs no labels',
        )


def check_one_encoder(host: TermHost, name: str) -> None:
    """Raises ExperimentError for a model that encodes the rows of each task in its own way."""
    if type(host.model).encode_rows is not Model.encode_rows:
        raise ExperimentError(
            f'The term "{name}" should have a model that encodes the rows of all tasks alike, such as'
            f' model.kind = "mlp". Found {type(host.model).__name__}, which encodes each task in its own'
            " way. Take it out of [learning] terms."
        )


def silent_notes(use: Use, name: str) -> Iterator[str]:
    """No task comes after the first, or after the joint ones."""
    stream = use.mine.stream
    planned = kinds.resolve("stream", stream.kind).planned(stream.options)
    if planned.tasks is not None and planned.tasks <= max(1, planned.joint):
        there = "there is one task" if planned.tasks == 1 else f"{planned.tasks} tasks are learned together"
        yield f'note: the term "{name}" keeps nothing, because no task comes after another: {there}.'


def exemplar_problems(use: Use) -> Iterator[Problem]:
    """What iCaRL cannot go with."""
    learning = use.mine.learning
    if not issubclass(kinds.resolve("objective", learning.objective.kind), OneVsRest):
        yield Problem(
            ("learning", "objective"),
            'should be of kind = "one-vs-rest" with the term "icarl", which gives old classes other targets'
            f' in its loss. Found "{learning.objective.kind}"',
        )
    if learning.one_model:
        yield Problem(
            use.key,
            "should not be there with learning.one_model = true: each agent would answer by the means of the"
            ' rows in its own memory. Found kind = "icarl"',
        )
    replays = [term for term in learning.terms if (term if isinstance(term, str) else term.kind) == "replay"]
    if any(isinstance(one, str) or one.options.mix == "joined" for one in replays):
        yield Problem(
            ("learning", "terms"),
            'should not have "replay" beside "icarl", with which remembered rows join already. Found both',
        )


def exemplar_notes(use: Use) -> Iterator[str]:
    """Where iCaRL is not that of the paper, and what its tests cannot know."""
    if use.mine.memory.policy != "herding":
        yield 'note: the exemplars of "icarl" are those of the paper with memory.policy = "herding".'
    if use.mine.learning.epochs > 1:
        yield (
            'note: "icarl" knows a class by its rows in memory, which come when a task ends: earlier tests'
            " find none of the classes that the task has brought."
        )
