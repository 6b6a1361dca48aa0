"""What does not fit together where all agents train one model, or begin anew at each task."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from mpidcl.experiment import kinds
from mpidcl.experiment.problems import Problem
from mpidcl.learning.gradient.options import GradientOptions

if TYPE_CHECKING:
    from mpidcl.experiment.file import Experiment
    from mpidcl.experiment.part import Use


def one_model_problems(whole: Experiment) -> Iterator[Problem]:
    """Exchanges, and agents whose steps or models would be others."""
    for number, _ in enumerate(whole.exchange):
        yield Problem(
            ("exchange", number),
            "should not be there, because learning.one_model is true: all agents have one model already."
            " Remove it, or set learning.one_model = false",
        )
    for number, rule in enumerate(whole.agent):
        if others := [name for name in rule.parts() if name != "memory"]:
            yield Problem(
                ("agent", number, others[0]),
                "should not be there, because learning.one_model is true: all agents take the same steps."
                ' Deal the rows unequally with stream.draw = "dirichlet" in place of it',
            )


def restart_problems(use: Use) -> Iterator[Problem]:
    """One model that would be another one on each agent."""
    if isinstance(use.options, GradientOptions) and use.options.restart and use.mine.learning.one_model:
        yield Problem(
            ("learning", "restart"),
            "should be false with learning.one_model = true: each agent would draw weights of its own. Found"
            " true",
        )


def shuffled_notes(use: Use) -> Iterator[str]:
    """Joint tasks that are shuffled, where there are none."""
    stream = use.mine.stream
    joint = kinds.resolve("stream", stream.kind).planned(stream.options).joint
    if isinstance(use.options, GradientOptions) and use.options.joint == "shuffled" and joint < 2:
        yield (
            f'note: learning.joint = "shuffled" changes nothing with stream.joint_tasks = {joint}: no tasks'
            " are learned together."
        )
