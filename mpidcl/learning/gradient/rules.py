"""What does not fit together where all agents train one model."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from mpidcl.experiment.problems import Problem

if TYPE_CHECKING:
    from mpidcl.experiment.file import Experiment


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
