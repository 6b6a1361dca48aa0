"""What one agent hands over at the end of a run: its evaluations, its traffic, its costs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mpidcl.record.columns import from_columns, to_columns
from mpidcl.record.course import ParallelCourse
from mpidcl.record.steps import StepLog

FRAME = -1
"""Exchange number of the ledger rows that count the frames themselves and the headers of the frames."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Accuracies of one agent at one moment of its schedule.

    `task` and `tick` say when: `tick` ticks of task `task` are done (0: nothing learned of it yet).
    `time` is the schedule time. `accuracy[u]` is the fraction 0..1 on the test rows of task u <= task. With
    parallel tasks `task` is the segment between two ends, and `accuracy` has any number of tasks, NaN for
    those that were not tested.
    `wire_bytes` and `paper_floats` are what this agent has sent since the start of the run.
    """

    task: int
    tick: int
    accuracy: tuple[float, ...]
    time: float = 0.0
    wire_bytes: int = 0
    paper_floats: int = 0

    @property
    def mean(self) -> float:
        """Mean accuracy over the tasks tested: all seen so far, if not said otherwise. NaN: none was."""
        tested = [value for value in self.accuracy if not math.isnan(value)]
        return sum(tested) / len(tested) if tested else math.nan

    @property
    def current(self) -> float:
        """Accuracy on the task that is being learned; NaN where it was not tested."""
        return self.accuracy[self.task] if self.task < len(self.accuracy) else math.nan


@dataclass(frozen=True, slots=True)
class LedgerRow:
    """Traffic of one exchange over the link `source -> target`, summed over the run.

    Sizes in bytes, `simulated_s` in seconds on the described network, `paper_floats` as the
    publication charges them. `exchange` is the index of the `[[exchange]]` table or FRAME; `frames` are
    those that carried something of this exchange. A record holds the rows of its agent's outgoing links.
    """

    source: int
    target: int
    exchange: int
    kind: str
    frames: int
    payload_bytes: int
    header_bytes: int
    paper_floats: int
    simulated_s: float

    @property
    def wire_bytes(self) -> int:
        """Payload and header bytes."""
        return self.payload_bytes + self.header_bytes


@dataclass(frozen=True, slots=True)
class Divergence:
    """Mean absolute parameter difference to one neighbour around one averaging at schedule time `time`."""

    time: float
    neighbour: int
    before: float
    after: float


@dataclass(frozen=True, slots=True)
class ModuleDecision:
    """What became of one candidate module when its task was learned.

    `candidate` counts from 0 among the candidates of the task; `module` is the number that it has in its
    agent from then on, -1 when it was dropped. The accuracies are fractions of the task's validation rows,
    with the candidate and without it. `source` (agent), `source_task` and `source_module` say whose module
    it began as, -1 for one that began at random, and `similarity` how like the two tasks were (NaN: nobody
    said). `modules` is how many modules the agent has after the decision.
    """

    task: int
    candidate: int
    module: int
    with_accuracy: float
    without_accuracy: float
    source: int
    source_task: int
    source_module: int
    similarity: float
    modules: int

    @property
    def kept(self) -> bool:
        """Whether the candidate became a module."""
        return self.module >= 0

    @property
    def received(self) -> bool:
        """Whether it began as a module of another agent."""
        return self.source >= 0

    @property
    def gain(self) -> float:
        """Accuracy that the candidate added, in 0..1."""
        return self.with_accuracy - self.without_accuracy


def no_structures() -> NDArray[np.float64]:
    """The structures of an agent without modules: `[0, 0, 0]`."""
    return np.zeros((0, 0, 0))


@dataclass
class AgentRecord:
    """Everything the run folder keeps of one agent.

    Only `timing` and `peak_rss_bytes` depend on the machine.

    `modules`: what became of every candidate module, by task.
    `structures` [tasks, modules, depth]: the share of each module in each layer, by task; 0: hidden.
    `training_floats`: floats of all its training rows (rows x floats per row), 0 where nobody counted them.
    `combined_bytes`: sent to compare and combine gradients with the other agents, if each has its own rank.

    Of parallel tasks only: `course`, the same in all agents that share one model; `steps`, in the first
    of them; `gallery`, some rows of the memory: `x` and `original` [k, *shape] float32 (pixels 0..1), `y` and
    `task` [k], `displacement` [k] (L2 between the two).

    `timing`: seconds by name (`record.summary.TIMES`).
    `peak_rss_bytes`: of the process the agent lived in.
    `digest`: hex sha256 of its final parameters and buffers.
    """

    agent: int
    joint_tasks: int = 0
    evaluations: list[Evaluation] = field(default_factory=list)
    ledger: list[LedgerRow] = field(default_factory=list)
    divergence: list[Divergence] = field(default_factory=list)
    timing: dict[str, float] = field(default_factory=dict)
    peak_rss_bytes: int = 0
    flops: int = 0
    digest: str = ""
    modules: list[ModuleDecision] = field(default_factory=list)
    # an array has no single answer to `==`; a record that differs here differs in its digest
    structures: NDArray[np.float64] = field(default_factory=no_structures, compare=False)
    training_floats: int = 0
    combined_bytes: int = 0
    course: ParallelCourse | None = field(default=None, compare=False)
    steps: StepLog | None = field(default=None, compare=False)
    gallery: dict[str, NDArray[Any]] | None = field(default=None, compare=False)

    @property
    def model(self) -> int:
        """Number of the agent's model: its own, or the one that it shares with others."""
        return self.agent if self.course is None else self.course.model

    @property
    def tasks(self) -> int:
        """How many tasks were begun."""
        if self.course is not None:
            return self.course.tasks
        return 1 + max((evaluation.task for evaluation in self.evaluations), default=-1)

    def state(self) -> dict[str, Any]:
        """As nested dict of arrays and plain values (leaves as in `record.checkpoint`)."""
        return {
            "agent": self.agent,
            "joint_tasks": self.joint_tasks,
            "evaluations": evaluation_columns(self.evaluations),
            "ledger": to_columns(LedgerRow, self.ledger),
            "divergence": to_columns(Divergence, self.divergence),
            "timing": dict(self.timing),
            "peak_rss_bytes": self.peak_rss_bytes,
            "flops": self.flops,
            "digest": self.digest,
            "modules": to_columns(ModuleDecision, self.modules),
            "structures": self.structures,
            "training_floats": self.training_floats,
            "combined_bytes": self.combined_bytes,
            "course": self.course and self.course.state(),
            "steps": self.steps and self.steps.state(),
            "gallery": self.gallery,
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> AgentRecord:
        """The record that `state` came from."""
        return cls(
            agent=int(state["agent"]),
            joint_tasks=int(state["joint_tasks"]),
            evaluations=evaluations_from_columns(state["evaluations"]),
            ledger=from_columns(LedgerRow, state["ledger"]),
            divergence=from_columns(Divergence, state["divergence"]),
            timing=dict(state["timing"]),
            peak_rss_bytes=int(state["peak_rss_bytes"]),
            flops=int(state["flops"]),
            digest=str(state["digest"]),
            modules=from_columns(ModuleDecision, state["modules"]) if "modules" in state else [],
            structures=state.get("structures", no_structures()),
            training_floats=int(state.get("training_floats", 0)),
            combined_bytes=int(state.get("combined_bytes", 0)),
            course=ParallelCourse.from_state(found) if (found := state.get("course")) else None,
            steps=StepLog.from_state(found) if (found := state.get("steps")) else None,
            gallery=state.get("gallery"),
        )


def evaluation_columns(evaluations: Sequence[Evaluation]) -> dict[str, Any]:
    """All fields as `[n]`; `accuracy` as `[n, tasks]`, NaN where unseen; `tested`: its lengths."""
    columns = to_columns(Evaluation, evaluations)
    tested = [len(evaluation.accuracy) for evaluation in evaluations]
    accuracy = np.full((len(evaluations), max(tested, default=0)), np.nan)
    for row, evaluation in zip(accuracy, evaluations, strict=True):
        row[: len(evaluation.accuracy)] = evaluation.accuracy
    return columns | {"accuracy": accuracy, "tested": np.array(tested, np.int64)}


def evaluations_from_columns(columns: Mapping[str, Any]) -> list[Evaluation]:
    """The evaluations that `evaluation_columns` took apart; without `tested` each has the tasks u <= task."""
    tested = columns.get("tested", np.asarray(columns["task"]) + 1)
    return [
        Evaluation(
            task=int(task),
            tick=int(columns["tick"][row]),
            accuracy=tuple(columns["accuracy"][row, : tested[row]].tolist()),
            time=float(columns["time"][row]),
            wire_bytes=int(columns["wire_bytes"][row]),
            paper_floats=int(columns["paper_floats"][row]),
        )
        for row, task in enumerate(columns["task"])
    ]
