"""Options of `kind = "gradient"`: how tasks are taken up."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from mpidcl.experiment.options import Options


class GradientOptions(Options):
    """How tasks are taken up. A learner of another kind has these where its own options derive from them."""

    joint: Literal["in turn", "shuffled"] = Field(
        default="in turn",
        description="how joint tasks are learned: a batch of each in turn, or all of their rows shuffled",
    )
    restart: bool = Field(
        default=False, description="draw all weights anew when a task begins, and forget the averages"
    )
