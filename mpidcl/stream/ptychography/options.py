"""Options of a ptychography stream."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from mpidcl.experiment.options import Options
from mpidcl.experiment.sections import MOST_TASKS

Share = Annotated[float, Field(ge=0.01, le=10)]
"""Of the side of a pattern."""
Drift = Annotated[tuple[Share, Share], Field(strict=False)]
"""Values of the first and of the last task."""


class PtychographyOptions(Options):
    """Options of `[stream]` with `kind = "ptychography"`."""

    tasks: int = Field(5, ge=1, le=MOST_TASKS, description="objects, one after the other; each is a task")
    size: int = Field(32, ge=4, le=512, description="pixels along a side of a pattern, and of a patch")
    positions: int = Field(
        10, ge=1, le=200, description="patches along a side of the raster: an object has positions^2 rows"
    )
    overlap: float = Field(
        0.6, ge=0, lt=1, description="share of a patch's side that the next one has in common with it"
    )
    correlation: Drift = Field(
        (0.8, 1.2),
        description="correlation length of the first and the last object, as shares of `size`; between them"
        " it changes by one factor from task to task",
    )
    probe_width: Drift = Field(
        (0.15, 0.185),
        description="width of the beam at the first and the last object, as shares of `size`, changed alike",
    )
    curvature: float = Field(
        2.0, ge=0, le=100, description="phase of the beam at its width, in half radians: how far out of focus"
    )
    draw: Literal["independent", "shared", "iid"] = Field(
        "independent",
        description="independent: each agent has objects of its own. shared: all agents have all rows of the"
        " same objects. iid: the same objects, their training rows dealt in equal shards, none to two agents",
    )
    test_share: float = Field(
        0.1,
        gt=0,
        lt=1,
        description="share of an object's rows that are for tests, those of all agents",
    )
    validation_share: float = Field(
        0.0, ge=0, lt=1, description="share of an agent's training rows that is kept for validation"
    )
