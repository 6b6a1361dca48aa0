"""Options of a parallel stream."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from mpidcl.experiment.options import Options
from mpidcl.experiment.sections import MOST_TASKS
from mpidcl.stream.parallel.timeline import PUBLISHED


def _numbers(value: object, least: int) -> tuple[int, ...] | None:
    """A list of whole numbers of at least `least` as a tuple; None if `value` is something else."""
    if not isinstance(value, list | tuple) or not value:
        return None
    return tuple(value) if all(type(n) is int and n >= least for n in value) else None


class ParallelOptions(Options):
    """Options of `[stream]` with `kind = "parallel"`."""

    tasks: int = Field(
        5, ge=1, le=MOST_TASKS, description="tasks of the stream, numbered in the order of their starts"
    )
    classes_per_task: int | tuple[int, ...] | None = Field(
        None,
        description="classes of each task, or a list with a number for each; absent: all classes of the data "
        "set, divided as evenly as possible, smaller tasks first",
    )
    label_set: int = Field(
        0,
        ge=0,
        description="which classes go to which task: a fixed random deal for each number, of any seed",
    )
    timeline: str | tuple[int, ...] = Field(
        "random",
        description="first step of each task: drawn, a list, or the name of a published one "
        f"({', '.join(PUBLISHED)})",
    )
    timeline_seed: int = Field(0, ge=0, description='which draw timeline = "random" takes, of any seed')
    durations: tuple[int, ...] | None = Field(
        None, description="steps of each task; absent: as many as its rows need"
    )
    steps_per_task: int | None = Field(
        None, ge=1, description="most steps of a task: rows that would come later are left out; absent: all"
    )
    incremental: Literal["class", "task"] = Field(
        "class",
        description="class: the model tells apart the classes of all tasks that have started. task: it is "
        "told the task, and tells apart its classes",
    )
    spread: Literal["agents", "none"] = Field(
        "agents",
        description="agents: all agents train one model, and the tasks are dealt to them. none: each agent "
        "has all tasks, and a model and a memory of its own",
    )
    memory_agent: Literal["first", "own", "each"] = Field(
        "first",
        description="spread = agents: who keeps the memory: agent 0; the last agent, which has no task; or "
        "each agent the rows of its own tasks, so that no row ever travels",
    )
    draw: Literal["shared", "independent"] = Field(
        "shared",
        description="spread = none: whether all agents have the same classes and starts or draw their own; "
        "the order of rows is each agent's own in both",
    )
    train_per_class: int | None = Field(
        None, ge=1, description="a task has (this x classes) training rows at most; absent: all"
    )
    test_per_class: int | None = Field(
        None, ge=1, description="the first test rows of each class; absent: all"
    )
    evaluate: Literal["started", "just ended"] = Field(
        "started",
        description="which tasks are tested when a task ends: all that have started, or those that ended. "
        "At the end of the run all are",
    )
    data: dict[str, object] = Field(
        default_factory=dict, description="options of the data set, such as `split` of emnist"
    )

    @field_validator("steps_per_task", "train_per_class", "test_per_class", mode="before")
    @classmethod
    def _minus_one_is_absent(cls, value: object) -> object:
        # TOML has no null, and an override must be able to take a number back.
        return None if value == -1 else value

    @field_validator("classes_per_task", mode="before")
    @classmethod
    def _classes_per_task(cls, value: object) -> object:
        if value in (None, -1):
            return None
        if type(value) is int and value >= 1:
            return value
        if numbers := _numbers(value, 1):
            return numbers
        raise ValueError(
            "should be a number of at least 1, or a list with one for each task, such as [12, 12, 13]."
            f" Found {value!r}"
        )

    @field_validator("durations", mode="before")
    @classmethod
    def _durations(cls, value: object) -> object:
        if value in (None, -1):
            return None
        if numbers := _numbers(value, 1):
            return numbers
        raise ValueError(f"should be a list of steps, at least 1 for each task. Found {value!r}")

    @field_validator("timeline", mode="before")
    @classmethod
    def _timeline(cls, value: object) -> object:
        if value == "random" or (isinstance(value, str) and value in PUBLISHED):
            return value
        if numbers := _numbers(value, 0):
            return numbers
        known = ", ".join(f'"{name}"' for name in ("random", *PUBLISHED))
        raise ValueError(
            f"should be a list of first steps, such as [0, 10, 25], or one of {known}. Found {value!r}"
        )
