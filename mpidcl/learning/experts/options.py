"""Options of `kind = "experts"`: which experts there are, and for how long they learn."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from mpidcl.learning.gradient.options import GradientOptions
from mpidcl.model.experts.base import MOST_EXPERTS


class ExpertOptions(GradientOptions):
    """Which experts are in use, and which of them learn."""

    first: int | None = Field(
        None, ge=1, le=MOST_EXPERTS, description="experts in use from the first task on; absent: all"
    )
    grow: int = Field(
        0,
        ge=0,
        le=MOST_EXPERTS,
        description="experts that come into use with each later task",
    )
    inherit: Literal["nothing", "similar"] = Field(
        "nothing",
        description="first weights of an expert that comes into use: its own, or a copy of the expert of this"
        " shape that had most of the load",
    )
    freeze_above: float | None = Field(
        None,
        ge=0,
        le=1,
        description="an expert that is more specialised than this when a task ends learns no more; absent:"
        " all learn on",
    )
    retire_below: float | None = Field(
        None,
        ge=0,
        lt=1,
        description="an expert with less than this share of an even load, for `retire_after` tasks, goes out"
        " of use; absent: none does",
    )
    retire_after: int = Field(2, ge=1, le=1000, description="tasks after which an idle expert goes")
    keep: float = Field(
        0.2,
        ge=0,
        le=1,
        description="share of the parameters of an expert that goes, the largest ones, that are put into the"
        " most similar expert of its shape",
    )
    start_from: str | None = Field(
        None,
        description="folder of a run with such a model: encoder, router and experts begin as they ended"
        " there, those that went as well; heads are new",
    )
    start_agent: int | None = Field(
        None, ge=0, description="whose model of that run; absent: that of the agent with this one's number"
    )
    start_frozen: bool = Field(False, description="whether experts that come from there learn no more")
    probe: int = Field(
        50,
        ge=1,
        le=100_000,
        description="most validation rows of each class of a task that specialisation is measured on",
    )
