"""What does not fit together in an experiment whose learner combines gradients of parallel tasks."""

from __future__ import annotations

from collections.abc import Iterator

from mpidcl.experiment import kinds
from mpidcl.experiment.part import Use
from mpidcl.experiment.problems import Problem


def problems(use: Use) -> Iterator[Problem]:
    """Memory, terms and optimiser."""
    mine, learning = use.mine, use.mine.learning
    if mine.memory.policy != "class-quota":
        yield Problem(
            ("memory", "policy"),
            f'should be "class-quota" with parallel streams. Found "{mine.memory.policy}"',
        )
    wrong = [term.kind for term in learning.terms if term.kind != "replay"]
    if wrong:
        yield Problem(
            ("learning", "terms"),
            f'should be empty or ["replay"], which here is the gradient of the memory. Found "{wrong[0]}"',
        )
    if use.options.second_moment == "direction":
        return
    if not kinds.resolve("optimizer", learning.optimizer).second_moment:
        yield Problem(
            ("learning", "second_moment"),
            f'should be "direction" with optimizer = "{learning.optimizer}", which keeps no running square: a'
            f' choice is there with "adam" and "adamw". Found "{use.options.second_moment}"',
        )
