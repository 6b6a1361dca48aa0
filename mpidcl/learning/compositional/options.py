"""Options of `kind = "compositional"`: how modules are added."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from pydantic import Field

from mpidcl.experiment.options import Options
from mpidcl.experiment.units import MOST_EPOCHS


class CompositionalOptions(Options):
    """How modules are added."""

    candidates: int = Field(
        1,
        ge=0,
        le=64,
        description="candidate modules per task; received ones come first, others are random",
    )
    candidate: Literal["trainable", "frozen"] = Field(
        "trainable", description="whether candidates learn in assimilation"
    )
    threshold: float = Field(
        0.05, ge=-1, description="relative gain on validation rows above which a candidate stays"
    )
    max_modules: int | None = Field(
        None,
        ge=1,
        le=100_000,
        description="most modules of an agent, the basis included; absent: one per task more",
    )
    accommodate: int | None = Field(
        None,
        ge=1,
        le=MOST_EPOCHS,
        description="epochs between accommodation epochs; absent: only the last of each task",
    )

    def notes(self, epochs: int) -> Iterator[str]:
        """What is hardly meant with so many epochs per task."""
        if (self.accommodate or epochs) == 1:
            yield (
                "note: every epoch of a later task is an accommodation epoch, in which its head and its"
                " structure do not learn: set [learning] epochs (and accommodate) above 1."
            )
