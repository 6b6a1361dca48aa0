"""The tables of the experiment file, from [stream] to [[agent]]; [network] has a file of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, ModelWrapValidatorHandler, field_validator
from pydantic_core import InitErrorDetails

from mpidcl.errors import ExperimentError
from mpidcl.experiment import kinds, problems
from mpidcl.experiment.network_table import AgentIds
from mpidcl.experiment.tables import KindTable, Table
from mpidcl.experiment.units import (
    Cadence,
    Capacity,
    Epochs,
    SaveEvery,
    Share,
    TestEvery,
)

When = Literal["task start", "before", "after", "task end"]
MOST_TASKS = 10_000
"""Of an agent: it keeps the accuracy on each task at the end of each, 800 MB with so many."""
MOST_ACCURACIES = 200_000_000
"""Of all agents on all tasks at all evaluations: 8 bytes each, on disk and in memory."""
MOST_MEETINGS = 1_000_000
"""Of an agent by one exchange: it keeps how far each neighbour was at each of them, about 150 bytes."""
MOST_STEPS = 1_000_000
"""Of a parallel stream: a run keeps what each of them did."""
MOST_THREADS = 1024
Rate = Annotated[float, Field(ge=0, lt=1)]


class Stream(KindTable):
    """Where an agent's batches come from."""

    room: ClassVar[str] = "stream"
    kind: str = Field(default="serial", description="kind of stream")
    dataset: str = Field(default="digits", description='data set; "mpidcl data list" shows them')

    def written(self, values: dict[str, object]) -> object:
        """Without the default data set where the stream reads none."""
        unread = values["dataset"] == "digits" and kinds.resolve("stream", self.kind).makes_data
        return {key: values[key] for key in values if key != "dataset" or not unread}

    @field_validator("dataset")
    @classmethod
    def _dataset_is_known(cls, name: str) -> str:
        return _known("dataset", name)


class Model(KindTable):
    """The network that an agent trains."""

    room: ClassVar[str] = "model"
    kind: str = Field(default="mlp", description="kind of model")


class Memory(KindTable):
    """An agent's replay memory."""

    room: ClassVar[str] = "policy"
    kind_key: ClassVar[str] = "policy"
    capacity: Capacity = Field(
        default_factory=lambda: Capacity(32, "rows", "task"),
        description="room for rows",
    )
    policy: str = Field(default="reservoir", description="which rows stay when there are more than fit")
    scope: Literal["local", "global"] = Field(
        default="local",
        description="whose rows a term draws: the agent's own, or those of all agents, as if of one memory",
    )
    draw: Literal["uniform", "class-balanced"] = Field(
        default="uniform",
        description="which rows a term draws: each one as likely, or as many of each class",
    )
    progress: Literal["auto", "none", "hooks", "thread"] = Field(
        default="auto",
        description="of a global memory, who moves rows on their way while a step computes: nobody, calls"
        ' between the layers of the model, a thread; "auto": hooks',
    )
    insert: Literal["task end", "each step"] = Field(
        default="task end",
        description="when rows are offered: all of a task at its end, or those of a batch after its step",
    )


class NamedKind(KindTable):
    """A table of one method; a bare word, such as `"replay"`, stands for `{kind = "replay"}`."""

    kind: str = Field(description="kind of method")

    @classmethod
    def from_word(cls, data: object) -> object:
        """The table of a method with its defaults."""
        return {"kind": data} if isinstance(data, str) else data


class Clock(NamedKind):
    """How the schedules of all agents fit together."""

    room: ClassVar[str] = "clock"

    def written(self, values: dict[str, object]) -> object:
        """As a bare word where that says all."""
        return self.kind if values.keys() == {"kind"} else values


class Term(NamedKind):
    """One summand of the loss."""

    room: ClassVar[str] = "term"


class Objective(NamedKind):
    """What is learned, and how it is measured."""

    room: ClassVar[str] = "objective"

    def written(self, values: dict[str, object]) -> object:
        """As a bare word where that says all."""
        return self.kind if values.keys() == {"kind"} else values


class Schedule(NamedKind):
    """How the step size changes while a task is learned."""

    room: ClassVar[str] = "schedule"


class Combiner(NamedKind):
    """How several gradients become one direction."""

    room: ClassVar[str] = "combiner"


class Editor(NamedKind):
    """How stored rows are edited."""

    room: ClassVar[str] = "editor"


class Learning(KindTable):
    """How an agent learns from its batches."""

    room: ClassVar[str] = "learner"
    kind: str = Field(default="gradient", description="kind of learner")
    optimizer: str = Field(default="adam", description="rule that turns gradients into steps")
    lr: float = Field(default=1e-3, gt=0, description="step size")
    schedule: Schedule | None = Field(
        default=None, description="how the step size changes in a task; not given: it does not"
    )
    momentum: float = Field(default=0.0, ge=0, lt=1, description="of sgd")
    betas: Annotated[tuple[Rate, Rate], Field(strict=False)] = Field(
        default=(0.9, 0.999), description="decay of the two averages of adam and adamw"
    )
    eps: float = Field(default=1e-8, ge=1e-37, description="added to the denominator of adam and adamw")
    weight_decay: float = Field(default=0.0, ge=0, description="L2 penalty; of adamw: decoupled decay")
    epochs: Epochs = Field(default=20, description="passes over the rows of each task; one epoch is one tick")
    batch: int = Field(default=64, ge=1, le=10**9, description="rows per optimiser step")
    objective: Objective = Field(
        default_factory=lambda: Objective.model_validate("classification"),
        description="what is learned, and how it is measured: classification, regression or images",
    )
    terms: Annotated[tuple[Term, ...], Field(strict=False, max_length=20)] = Field(
        default_factory=lambda: (Term.model_validate("replay"),),
        description="what is added to the loss of the current task",
    )
    precision: Literal["bfloat16"] | None = Field(
        default=None,
        description="bfloat16: forward and backward passes in mixed precision, for GPUs; not given: float32",
    )
    device: Literal["cpu", "cuda", "auto"] = Field(
        default="cpu", description="where the model lives; auto: cuda if present"
    )
    threads: int = Field(
        default=1,
        ge=1,
        le=MOST_THREADS,
        description="threads that each process computes with; the same for all agents",
    )
    reset_optimizer: bool = Field(default=False, description="forget the averages at each new task")
    one_model: bool = Field(
        default=False,
        description="all agents train one model: each gives the gradient of its own rows to every step",
    )

    @classmethod
    def _finish(
        cls, data: object, handler: ModelWrapValidatorHandler[Self], errors: list[InitErrorDetails]
    ) -> Self:
        if isinstance(data, Mapping):
            nothing = {"terms": (), "objective": Objective.unused()}
            unused = [name for name in unused_by(data) if name in nothing]
            given = [name for name in unused if data.get(name)]
            errors = errors + [problems.explained((name,), not_used(name, data)) for name in given]
            data = {**data, **{name: nothing[name] for name in unused}}
        return super()._finish(data, handler, errors)

    def written(self, values: dict[str, object]) -> object:
        """Without the objective where the learner has no use for one."""
        return {key: values[key] for key in values if key != "objective" or self.objective.used}

    @field_validator("optimizer")
    @classmethod
    def _optimizer_is_known(cls, name: str) -> str:
        return _known("optimizer", name)


class ExchangeTable(KindTable):
    """One way of sharing and when it happens."""

    room: ClassVar[str] = "exchange"
    kind: str = Field(description="kind of exchange")
    when: When = Field(
        description="at the start or end of a task, or before or after each chunk of `every` epochs"
    )
    every: Cadence = Field(
        default_factory=lambda: Cadence(1, "task"),
        description='tasks between exchanges ("1 task"), or the length of a chunk ("5 epochs", "20 ticks")',
    )
    share: Share | None = Field(
        default=None,
        gt=0,
        description="in place of `every`, by `virtual` and `free`: probability of an exchange after a tick",
    )
    from_task: int | None = Field(
        default=None,
        ge=0,
        lt=MOST_TASKS,
        description="first task with an exchange, from 0; not given: the first after the joint tasks",
    )
    links: str = Field(default="all", description="all, or the class of the links that are used")

    def written(self, values: dict[str, object]) -> object:
        """Without `every` where a share stands in its place."""
        return {key: values[key] for key in values if key != "every" or self.share is None}


class Evaluation(Table):
    """When the accuracy on the tests of all tasks so far is measured."""

    every: TestEvery = Field(
        default=10,
        description="epochs between evaluations: 0, 1, 1 + every, ..., last; or virtual time between those of"
        ' all agents, "100 s"',
    )
    ahead: bool = Field(
        default=False,
        description="test the tasks to come, too: what is known before they begin, for the metric fwt",
    )


class Checkpoint(Table):
    """When the run is saved so that it can be resumed."""

    every: SaveEvery = Field(
        default_factory=lambda: Cadence(1, "task"),
        description='between checkpoints: "1 task", "10 epochs", or by the clock "10 min"',
    )
    keep: int = Field(default=2, ge=1, le=1000, description="how many complete checkpoints stay on disk")


class AgentRule(Table):
    """What differs for some agents: parts of the tables of the same name."""

    ids: AgentIds = Field(description="the agents")
    clock: dict[str, object] | None = Field(default=None, description="keys of [clock] that differ")
    stream: dict[str, object] | None = Field(default=None, description="keys of [stream] that differ")
    model: dict[str, object] | None = Field(default=None, description="keys of [model] that differ")
    memory: dict[str, object] | None = Field(default=None, description="keys of [memory] that differ")
    learning: dict[str, object] | None = Field(default=None, description="keys of [learning] that differ")

    def parts(self) -> dict[str, dict[str, object]]:
        """The partial tables that are not empty, by name."""
        names = ("clock", "stream", "model", "memory", "learning")
        return {name: part for name in names if (part := getattr(self, name))}


OPTIONAL = ("model", "memory", "terms", "objective")
"""What a learner may have no use for. It says so: then nothing is imported for it."""


def unused_by(learning: object) -> tuple[str, ...]:
    """Those of OPTIONAL that a table [learning] has no use for; none of a kind that cannot be found."""
    kind = learning.get("kind", "gradient") if isinstance(learning, Mapping) else None
    try:
        uses = kinds.resolve("learner", kind).uses if isinstance(kind, str) else OPTIONAL
    except ExperimentError:
        return ()  # whoever reads the kind says what is wrong
    return tuple(name for name in OPTIONAL if name not in uses)


def not_used(name: str, learning: Mapping[str, object]) -> str:
    """The sentence about a table that is there in vain."""
    return f'should not be there: learning.kind = "{learning["kind"]}" uses none. Remove it'


def _known(room: str, name: str) -> str:
    try:
        kinds.resolve(room, name) if ":" in name else kinds.import_path(room, name)
    except ExperimentError as error:
        raise ValueError(str(error)) from None
    return name
