"""Sharing data: neighbours send each other rows, chosen by one of two published ways (DCL, arXiv 2405.17466).

`choose = "hard-examples"` (alias recv): `hard_examples.py`. `choose = "class-needs"` (alias simp):
`class_needs.py`. A neighbour with nothing to offer says nothing, and nothing is received from it.

Oracle information, that is knowledge of global class ids that a real network would not have, is used
by `prefilter = "oracle"`, by `labels = "groundtruth"` and by all of class-needs. Only then do class
keys travel. `DataExchange.oracles` names what is used, for the run record.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

import numpy as np
from pydantic import BeforeValidator, Field, field_validator

from mpidcl.base.state import Facts, State
from mpidcl.exchange.base import ByteRange, Exchange, LinkUse, Neighbourhood, Received
from mpidcl.exchange.capabilities import SharesRows
from mpidcl.exchange.data.class_needs import ClassNeeds
from mpidcl.exchange.data.hard_examples import HardExamples
from mpidcl.exchange.data.prefilters import Prefilter
from mpidcl.exchange.data.scorers import Scorer
from mpidcl.exchange.facts import compare_inputs
from mpidcl.exchange.knowledge import Knowledge
from mpidcl.exchange.packing.pixels import Pixels
from mpidcl.exchange.packing.rows import Arrivals
from mpidcl.experiment.options import Options
from mpidcl.experiment.units import Capacity
from mpidcl.network.frames.message import Message
from mpidcl.randomness import generator_state, load_generator_state, numpy_generator

_ALIASES = {"recv": "hard-examples", "simp": "class-needs"}


def _full_name(value: object) -> object:
    return _ALIASES.get(value, value) if isinstance(value, str) else value


Choose = Annotated[Literal["hard-examples", "class-needs"], BeforeValidator(_full_name)]


class DataOptions(Options):
    """Options of `kind = "data"`."""

    choose: Choose = Field(
        "hard-examples", description="hard-examples (alias recv) or class-needs (alias simp, oracle)"
    )
    tasks: Literal["all", "current"] = Field(
        "all", description="tasks asked about: all so far, or the current one"
    )
    capacity: Capacity = Field(
        Capacity(32, "rows", "task"), description="received rows kept", validate_default=True
    )
    pixels: Pixels = Field(
        "auto", description="rows as float32 or uint8 on the link; auto: uint8 where lossless"
    )
    duplicates: Literal["drop", "keep"] = Field("drop", description="rows that the agent already has")
    queries: int = Field(20, ge=1, le=1000, description="hard-examples: hardest rows shown per use")
    neighbours: int = Field(5, ge=1, le=60, description="hard-examples: rows returned per query")
    scorer: Scorer = Field("cross-entropy", description="hard-examples: what makes a row hard")
    prefilter: Prefilter = Field("oracle", description="hard-examples: which tasks of the sender may answer")
    prefilter_neighbours: int = Field(
        5, ge=1, le=1000, description="raw-distance: nearest rows whose tasks may answer"
    )
    labels: Literal["groundtruth", "same-as-query"] = Field(
        "groundtruth", description="hard-examples: label of a received row; groundtruth is oracle information"
    )
    rows: int = Field(20, ge=1, le=60_000, description="class-needs: rows sent per use")
    balance: bool = Field(False, description="class-needs: cut what came to equal numbers per class")

    @field_validator("capacity")
    @classmethod
    def _rows_per_task(cls, value: Capacity) -> Capacity:
        if value.unit != "rows" or value.per != "task":
            raise ValueError('should be a number of rows per task such as "32 rows per task"')
        return value


class DataExchange(Exchange):
    """Asks neighbours for rows and answers theirs.

    `rows` counts what came, `accepted` what the learner's memory took, and `matching` the rows whose
    label is that of the question they answer: with ground-truth labels `matching / rows` is the
    retrieval accuracy that the authors of DCL measured.
    """

    Options: ClassVar[type[Options]] = DataOptions
    legs: ClassVar[int] = 2
    clocks = ("lockstep", "virtual", "free")
    kernels: ClassVar[tuple[str, ...]] = ("nearest",)
    options: DataOptions
    learner: SharesRows

    @classmethod
    def needs(cls, options: DataOptions) -> tuple[type, ...]:
        """Rows."""
        return (SharesRows,)

    def __init__(self, options: DataOptions, learner: SharesRows, neighbourhood: Neighbourhood) -> None:
        super().__init__(options, learner, neighbourhood)
        me = neighbourhood.agent
        self.random = numpy_generator(neighbourhood.seed, me, f"exchange data {options.choose}")
        self.known = Knowledge(learner, me)
        way: type[HardExamples] | type[ClassNeeds]
        way = HardExamples if options.choose == "hard-examples" else ClassNeeds
        self.choice: HardExamples | ClassNeeds = way(options, self.known, self.random)
        self.rows = self.matching = self.accepted = 0
        learner.set_received_capacity(options.capacity.count)

    @property
    def oracles(self) -> list[str]:
        """The oracle information that this exchange uses."""
        if self.options.choose == "class-needs":
            return ["class ids of needs"]
        used = {
            "prefilter": self.options.prefilter == "oracle",
            "labels": self.options.labels == "groundtruth",
        }
        return [name for name, is_used in used.items() if is_used]

    def bytes_range(self, target: int, budget: int | None) -> ByteRange:
        """Question and answer of one use: from one row each to all that the options ask for."""
        return self.choice.bytes_range(budget)

    def begin_use(self, task: int) -> None:
        """Look at the validation rows and prepare the question."""
        self.choice.begin(task)

    def ask(self, link: LinkUse) -> Message | None:
        """The question for the neighbour; None when there is none or no room for an answer."""
        return self.choice.ask(link)

    def answer(self, link: LinkUse, message: Message) -> Message | None:
        """Rows for the neighbour; None when there are none or no room."""
        return self.choice.answer(link, message)

    def settle(self, received: list[Received]) -> None:
        """Keep the rows that came, in order of sender, each for the task it was asked for."""
        arrivals = []
        for item in sorted(received, key=lambda r: r.source):
            came, matching = self.choice.read(item.message)
            self.rows += len(came.y)
            self.matching += matching
            arrivals.append(came)
        self._deliver(arrivals)
        self.choice.end()

    def end_use(self) -> None:
        """Rows may come and be learned before the next tick."""
        self.choice.end()

    def _deliver(self, arrivals: list[Arrivals]) -> None:
        if not arrivals:
            return
        tasks, x, y = (np.concatenate(p) for p in zip(*((a.tasks, a.x, a.y) for a in arrivals), strict=True))
        known = y >= 0  # of a class that the task holds
        for task in np.unique(tasks[known]).tolist():
            rows = known & (tasks == task)
            drop = self.options.duplicates == "drop"
            self.accepted += self.learner.receive_rows(task, x[rows], y[rows], reject_duplicates=drop)

    def start_facts(self) -> Facts:
        """The agent and the shape of its rows."""
        return {"agent": self.neighbourhood.agent, "input_shape": list(self.known.input_shape)}

    def compare_facts(self, mine: Facts, theirs: Facts) -> str | None:
        """Why two agents cannot share rows, or None."""
        return compare_inputs(mine, theirs)

    def state(self) -> State:
        """Counts and the generator."""
        counts = {"rows": self.rows, "matching": self.matching, "accepted": self.accepted}
        return {**counts, "generator": generator_state(self.random)}

    def load(self, state: State) -> None:
        """Put back what `state` returned."""
        self.rows, self.matching, self.accepted = (int(state[k]) for k in ("rows", "matching", "accepted"))
        load_generator_state(self.random, state["generator"])
