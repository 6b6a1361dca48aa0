"""Options of a parallel stream."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from mpidcl.options import Options
from mpidcl.stream.timeline import PUBLISHED

Count = Annotated[int, Field(ge=1)]


class ParallelOptions(Options):
    """Options of `[stream]` with `kind = "parallel"`."""

    tasks: int = Field(5, ge=1, description="tasks of the stream, numbered in the order of their starts")
    classes_per_task: Count | tuple[Count, ...] | None = Field(
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
    durations: tuple[Count, ...] | None = Field(
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
    memory_agent: Literal["first", "own"] = Field(
        "first",
        description="spread = agents: who keeps the memory: agent 0, or the last agent, which has no task",
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
    data: dict[str, Any] = Field(
        default_factory=dict, description="options of the data set, such as `split` of emnist"
    )

    @field_validator(
        "classes_per_task", "durations", "steps_per_task", "train_per_class", "test_per_class", mode="before"
    )
    @classmethod
    def _minus_one_is_absent(cls, value: Any) -> Any:
        # TOML has no null, and an override must be able to take a number back.
        return None if value == -1 else value

    @field_validator("timeline")
    @classmethod
    def _timeline_is_known(cls, value: Any) -> Any:
        if isinstance(value, str) and value != "random" and value not in PUBLISHED:
            known = ", ".join(f'"{name}"' for name in ("random", *PUBLISHED))
            raise ValueError(f'should be a list of steps or one of {known}. Found "{value}"')
        return value
