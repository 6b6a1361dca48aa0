"""Options of a serial stream."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from mpidcl.experiment.options import Options
from mpidcl.experiment.sections import MOST_TASKS
from mpidcl.stream.tasks import Incremental


class SerialOptions(Options):
    """Options of `[stream]` with `kind = "serial"`."""

    tasks: int = Field(5, ge=1, le=MOST_TASKS, description="tasks per agent")
    classes_per_task: int = Field(2, ge=1, description="classes of each task")
    replacement: bool = Field(False, description="true: a class may come again in a later task")
    class_order: Literal["drawn", "by id"] = Field(
        "drawn",
        description="in which order classes come: drawn, or 0, 1, 2 ... as the data set numbers them, the "
        "same for all agents",
    )
    draw: Literal["independent", "shared", "iid", "dirichlet", "classes"] = Field(
        "independent",
        description="independent: each agent draws its own classes and rows. shared: all agents have the "
        "same classes in the same tasks and draw their own rows. iid, dirichlet, classes: the same classes, "
        "and the training rows are dealt in equal shards, or per class in proportions ~ Dirichlet(alpha), or "
        "whole classes of each task go round the agents; no row goes to two agents",
    )
    alpha: float = Field(
        0.5, ge=1e-3, le=1e6, description="dirichlet: small = unequal shards, large = equal ones"
    )
    least_per_class: int = Field(
        5, ge=0, description="dirichlet: rows of each class that every agent gets before the rest is dealt"
    )
    incremental: Incremental = Field(
        "task",
        description="task: one head per task. class: one head, the classes of all tasks side by side. "
        "domain: one head, the same classes in every task, each of another of `domains`",
    )
    domains: Literal["permute", "rotate", "own"] = Field(
        "permute",
        description="domain-incremental: pixels in another order, or images turned by an angle. own: task t"
        " has the images of domain t of a data set that has domains, such as `folders`",
    )
    first_domain: Literal["plain", "drawn"] = Field(
        "plain", description="domain-incremental: images of task 0 as they are, or changed as in the others"
    )
    remap: bool = Field(
        True, description="labels 0, 1, ... in the order of the draw; false: class ids of the data set"
    )
    validation_share: float = Field(
        0.2, ge=0, lt=1, description="share of an agent's training rows that is kept for validation"
    )
    train_per_class: int | None = Field(
        None, ge=1, description="a task trains on the first (this x classes) rows of its list; absent: all"
    )
    validation_per_class: int | None = Field(
        None, ge=0, description="the same for validation rows; absent or -1: all that are left"
    )
    test_per_class: int | None = Field(
        None, ge=1, description="the first test rows of each class; absent: all"
    )
    augment: tuple[Literal["crop", "flip"], ...] = Field(
        (),
        description="how training images are changed each time they are used. crop: shifted by up to 4 pixels"
        " each way, zeros come in. flip: mirrored left to right, half of the time",
    )
    joint_tasks: int = Field(0, ge=0, description="how many first tasks are learned jointly")
    joint_shared: bool = Field(
        False,
        description="the joint tasks are the same for all agents, learned alike from the same first weights: "
        "all agents leave them with one and the same model, from where averaging makes sense",
    )
    data: dict[str, object] = Field(
        default_factory=dict, description="options of the data set, such as `split` of emnist"
    )

    @field_validator("augment")
    @classmethod
    def _different(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(names)) < len(names):
            raise ValueError(f"should name each change once. Found {', '.join(names)}")
        return names

    @field_validator("train_per_class", "validation_per_class", "test_per_class", mode="before")
    @classmethod
    def _minus_one_is_all(cls, value: object) -> object:
        # TOML has no null, and an override must be able to say "all" again.
        return None if value == -1 else value
