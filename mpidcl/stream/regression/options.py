"""Options of regression streams: how long they are, how noisy, and what ties the tasks of groups."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from mpidcl.experiment.options import Options
from mpidcl.experiment.sections import MOST_TASKS

MOST_SAMPLES = 10**9
"""Of a task: as many ticks as a task may have epochs."""
Relation = Literal["ring", "chain", "independent"]
Regions = Literal["quadrants", "stripes"]
Coordinates = Literal["region", "grid"]


class SampleOptions(Options):
    """What every regression stream may choose."""

    samples: int = Field(
        10_000, ge=1, le=MOST_SAMPLES, description="samples of a task, one at each tick; may differ by agent"
    )


class DrawnOptions(SampleOptions):
    """What streams may choose that are drawn and not read."""

    tasks: int = Field(1, ge=1, le=MOST_TASKS, description="tasks, one after the other: the truth moves")
    move: float = Field(
        1.0,
        ge=0,
        le=1,
        description="how far the truth moves from task to task: W' = sqrt(1 - move^2) W + move x a fresh one",
    )
    noise: float = Field(
        1.0, ge=0, le=1e6, description="nominal standard deviation of the noise: the median of all agents"
    )
    spread: float = Field(
        0.5,
        ge=0,
        le=5,
        description="standard deviation of log s between agents, s the noise of one; 0: all have `noise`",
    )
    correlation: float = Field(
        0.0,
        ge=0,
        le=1,
        description="of the noise of two agents of a group at the same sample number",
    )


class LinearTasksOptions(DrawnOptions):
    """Options of `[stream]` with `kind = "linear-tasks"`."""

    features: int = Field(4, ge=1, le=10_000, description="numbers in a sample, unit Gaussian")
    relation: Relation = Field(
        "ring",
        description="which groups have truths that attract each other: neighbours on a ring or a chain, or"
        " none",
    )
    rho: float = Field(
        0.99, ge=0, lt=1, description="how much neighbours attract: 0 not at all, near 1 nearly as one"
    )
    test_rows: int = Field(200, ge=0, le=100_000, description="rows that a group is tested on in each task")


class FieldOptions(DrawnOptions):
    """Options of `[stream]` with `kind = "field"`."""

    side: int = Field(10, ge=2, le=40, description="cells along a side of the grid")
    rho: float = Field(
        0.99, ge=0, lt=1, description="how much neighbouring cells attract: near 1 the field is smooth"
    )
    regions: Regions = Field(
        "quadrants", description="what a group sees: a quadrant of the grid (4 groups), or a stripe of rows"
    )
    coordinates: Coordinates = Field(
        "region", description="whether u and v go from -1 to 1 across a region, or across the grid"
    )
    sensors: int = Field(
        8,
        ge=1,
        le=1600,
        description="cells that an agent measures, drawn from its region, or all of it",
    )
