"""What one agent hands over at the end of a run: its evaluations, its traffic, its costs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mpidcl.base.state import State
from mpidcl.errors import RecordError
from mpidcl.record.measures import ACCURACY, Measure
from mpidcl.record.tables import Tables, from_columns, rows_of, to_columns

FRAME = -1
"""Exchange number of the ledger rows that count the frames themselves and the headers of the frames."""
DIVERGED = "diverged"
"""Counter of agents whose parameters are no longer finite numbers: the task in which that was seen first."""
NO_COUNTERS = ("agent", "joint_tasks", "digest")
"""Other columns of `agents` in `results.h5`."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What one agent measured at one moment of its schedule.

    `tick` ticks of task `task` are done (0: nothing learned of it yet); `time` is the schedule time.
    `values[measure][u]` is what was measured on the test of task u, of all measures on the same tasks, NaN
    for those that were not tested. The main measure comes first. `ahead[measure]`: the same of the tasks to
    come, which follow; empty: not tested. `wire_bytes` and `paper_floats`: what it has sent since the start.
    """

    task: int
    tick: int
    values: Mapping[str, tuple[float, ...]]
    time: float = 0.0
    wire_bytes: int = 0
    paper_floats: int = 0
    ahead: Mapping[str, tuple[float, ...]] = field(default_factory=dict)

    @property
    def main(self) -> tuple[float, ...]:
        """Values of the main measure, by task."""
        return next(iter(self.values.values()), ())

    @property
    def mean(self) -> float:
        """Mean of the main measure over the tasks tested: all so far, if not said otherwise. NaN: none."""
        return mean_of(self.main)

    @property
    def current(self) -> float:
        """The main measure on the task that is being learned; NaN where it was not tested."""
        return self.on(self.task)

    def on(self, task: int) -> float:
        """The main measure on any task, also one to come; NaN where it was not tested."""
        known = (*self.main, *next(iter(self.ahead.values()), ()))
        return known[task] if task < len(known) else math.nan


MOMENT = ("task", "tick", "time", "wire_bytes", "paper_floats")
"""Fields of an evaluation but for its values."""


def mean_of(values: Sequence[float]) -> float:
    """Mean of the values that are not NaN; NaN where all are."""
    known = [value for value in values if not math.isnan(value)]
    return sum(known) / len(known) if known else math.nan


@dataclass(frozen=True, slots=True)
class LedgerRow:
    """Traffic of one exchange over the link `source -> target`, summed over the run.

    Sizes in bytes, `simulated_s` in seconds on the described network, `paper_floats` as the publication
    charges them. `exchange`: index of the `[[exchange]]` table, or FRAME. `frames`: those that carried some.
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


@dataclass
class AgentRecord:
    """Everything the run folder keeps of one agent.

    Only `timing`, `peak_rss_bytes` and columns of `tables` whose names end in `_s` depend on the machine.

    `ledger`: of its outgoing links. `tables`: what its parts add, such as what became of each module.
    `counters`: totals, such as `flops`; `model`, `diverged`: see there. `timing`: seconds by name
    (`views.summary.TIMES`). `peak_rss_bytes`: of the process it lived in. `digest`: hex sha256 of its final
    parameters and buffers.
    `measures`: what was measured, the main one first.
    """

    agent: int
    joint_tasks: int = 0
    evaluations: list[Evaluation] = field(default_factory=list)
    ledger: list[LedgerRow] = field(default_factory=list)
    # an array has no single answer to `==`; a record that differs here differs in its digest
    tables: Tables = field(default_factory=dict, compare=False)
    counters: dict[str, int] = field(default_factory=dict)
    timing: dict[str, float] = field(default_factory=dict)
    peak_rss_bytes: int = 0
    digest: str = ""
    measures: tuple[Measure, ...] = (ACCURACY,)

    @property
    def main(self) -> Measure:
        """The main measure."""
        return self.measures[0]

    @property
    def model(self) -> int:
        """Number of its model: its own, or the lowest of the agents that share one (counter `model`)."""
        return self.counters.get("model", self.agent)

    @property
    def diverged(self) -> bool:
        """Whether its parameters were seen to be no finite numbers: what it measured then means nothing."""
        return DIVERGED in self.counters

    @property
    def tasks(self) -> int:
        """How many tasks were tested."""
        return max((len(evaluation.main) for evaluation in self.evaluations), default=0)

    def has(self, table: str) -> bool:
        """Whether there are rows in a table."""
        return any(len(column) for column in self.tables.get(table, {}).values())

    def state(self) -> State:
        """As nested dict of arrays and plain values (leaves as in `record.checkpoint`)."""
        return vars(self) | {
            "evaluations": _evaluation_columns(self.evaluations, self.measures),
            "ledger": to_columns(LedgerRow, self.ledger),
            "measures": to_columns(Measure, self.measures),
        }

    @classmethod
    def from_state(cls, state: State) -> AgentRecord:
        """The record that `state` came from."""
        measures = tuple(from_columns(Measure, state["measures"]))
        evaluations = _evaluations(state["evaluations"], measures)
        ledger = from_columns(LedgerRow, state["ledger"])
        return cls(**{**state, "measures": measures, "evaluations": evaluations, "ledger": ledger})


def counted_by(owner: str, counters: Mapping[str, int]) -> dict[str, int]:
    """The counters of `owner`, a class of learners.

    Raises RecordError where they are not whole numbers from 0 up to 2^63 - 1 by words.
    """
    said = f"{owner}.counters() should give whole numbers from 0 on, by words of letters, digits and _"
    if not isinstance(counters, Mapping):
        raise RecordError(f'{said}, as {{"flops": 0}}. Found {counters!r:.80}.')
    for name, count in counters.items():
        if not isinstance(name, str) or not name.isidentifier() or name in NO_COUNTERS:
            raise RecordError(f"{said}, none agent, joint_tasks or digest. Found {name!r:.80}. Rename it.")
        whole = isinstance(count, int | np.integer) and not isinstance(count, bool)
        if not whole or not 0 <= count < 2**63:
            kind = type(count).__name__
            raise RecordError(
                f"{said}. Found `{name}` = {count!r:.80} ({kind}). Give an int of 0 or more; what is no count"
                " is a column of a table."
            )
    return {name: int(count) for name, count in counters.items()}


def one_per_model(records: Sequence[AgentRecord]) -> list[AgentRecord]:
    """The first agent of each model: agents that share one have equal results, which are one value."""
    found: dict[int, AgentRecord] = {}
    for record in records:
        found.setdefault(record.model, record)
    return list(found.values())


def _evaluation_columns(evaluations: Sequence[Evaluation], measures: Sequence[Measure]) -> dict[str, Any]:
    """All fields as `[n]`; each measure as `[n, tasks]`, NaN where unseen; `tested`: of how many `values`."""
    tested = [len(evaluation.main) for evaluation in evaluations]
    width = max((len(one.main) + len(next(iter(one.ahead.values()), ())) for one in evaluations), default=0)
    columns = to_columns(Evaluation, evaluations, MOMENT)
    for measure in measures:
        values = np.full((len(evaluations), width), np.nan)
        for row, one in zip(values, evaluations, strict=True):
            known = (*one.values[measure.name], *one.ahead.get(measure.name, ()))
            row[: len(known)] = known
        columns[measure.name] = values
    return columns | {"tested": np.array(tested, np.int64)}


def _evaluations(columns: Mapping[str, Any], measures: Sequence[Measure]) -> list[Evaluation]:
    """What `_evaluation_columns` took apart; without `tested` each has the tasks u <= task."""
    tested = columns.get("tested", np.asarray(columns["task"]) + 1)
    return [
        Evaluation(
            values={one.name: tuple(columns[one.name][row, : tested[row]].tolist()) for one in measures},
            ahead=_ahead({one.name: columns[one.name][row, tested[row] :] for one in measures}),
            **own,
        )
        for row, own in enumerate(rows_of(columns, MOMENT))
    ]


def _ahead(rest: Mapping[str, Any]) -> dict[str, tuple[float, ...]]:
    """What follows the tasks seen, without the padding."""
    known = [np.flatnonzero(~np.isnan(values)) for values in rest.values()]
    count = max((int(places[-1]) + 1 for places in known if len(places)), default=0)
    return {name: tuple(values[:count].tolist()) for name, values in rest.items()} if count else {}
