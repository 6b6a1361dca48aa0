"""The experiment file as data: its tables, and what differs for some agents (docs/experiment-file.md)."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Self

from pydantic import Field, ModelWrapValidatorHandler, ValidationError, field_validator
from pydantic_core import InitErrorDetails

from mpidcl.errors import ExperimentError
from mpidcl.experiment import kinds, problems, toml
from mpidcl.experiment.network_table import MOST_AGENTS, Network
from mpidcl.experiment.part import Named, Use
from mpidcl.experiment.problems import Problem
from mpidcl.experiment.sections import (
    AgentRule,
    Checkpoint,
    Clock,
    Evaluation,
    ExchangeTable,
    Learning,
    Memory,
    Model,
    Stream,
    not_used,
    unused_by,
)
from mpidcl.experiment.tables import KindTable, Table

LONGEST_NAME = 60
"""Characters; with four bytes each the name still is one of a file, with a number behind it."""


OPTIONAL_TABLES: dict[str, type[KindTable]] = {"model": Model, "memory": Memory}
"""Tables that a learner may have no use for."""


class Experiment(Table):
    """A whole experiment file, checked and with all defaults filled in."""

    name: str = Field(min_length=1, description="names the run and its folder")
    seed: int = Field(default=0, ge=0, description="of everything that is drawn")
    agents: int = Field(
        ge=1, le=MOST_AGENTS, description="how many learners; one MPI rank each unless fewer are started"
    )
    clock: Clock = Field(
        default_factory=lambda: Clock.model_validate("lockstep"), description="how the schedules fit together"
    )
    network: Network = Field(default_factory=Network, description="the links")
    stream: Stream = Field(default_factory=Stream, description="the data")
    model: Model = Field(default_factory=Model, description="the model")
    memory: Memory = Field(default_factory=Memory, description="the replay memory")
    learning: Learning = Field(default_factory=Learning, description="the learner")
    exchange: Annotated[tuple[ExchangeTable, ...], Field(strict=False)] = Field(
        default=(), description="ways of sharing, served in this order; none: isolated agents"
    )
    evaluation: Evaluation = Field(default_factory=Evaluation, description="measuring")
    checkpoint: Checkpoint = Field(default_factory=Checkpoint, description="saving")
    agent: Annotated[tuple[AgentRule, ...], Field(strict=False)] = Field(
        default=(), description="exceptions for some agents, applied in order"
    )

    @classmethod
    def _finish(
        cls, data: object, handler: ModelWrapValidatorHandler[Self], errors: list[InitErrorDetails]
    ) -> Self:
        if isinstance(data, Mapping):
            learning = data.get("learning", {})
            unused = [name for name in unused_by(learning) if name in OPTIONAL_TABLES]
            given = [name for name in unused if name in data]
            errors = errors + [problems.explained((name,), not_used(name, learning)) for name in given]
            data = {**data, **{name: OPTIONAL_TABLES[name].unused() for name in unused}}
        return super()._finish(data, handler, errors)

    @field_validator("name")
    @classmethod
    def _name_is_that_of_a_folder(cls, name: str) -> str:
        # "." and ".." are folders that are there already, and not ours
        if not re.fullmatch(r"[\w.+-]*\w[\w.+-]*", name) or len(name) > LONGEST_NAME:
            raise ValueError(
                "should name a folder: letters, digits and any of . _ + -, at least one of them a letter or "
                f"digit, at most {LONGEST_NAME} in all. Found {json.dumps(name[:40], ensure_ascii=False)}"
            )
        return name

    def to_toml(self) -> str:
        """All values, defaults included, as TOML; reading it gives an equal experiment."""
        return toml.dumps(self.to_tables())

    def to_tables(self) -> dict[str, object]:
        """All values as nested dicts of TOML types."""
        tables = self.model_dump(mode="json", by_alias=True, exclude_none=True)
        return {name: tables[name] for name in tables if name not in self._unused()}

    def _unused(self) -> list[str]:
        return [name for name in OPTIONAL_TABLES if not getattr(self, name).used]

    def parts(self, whole: Experiment | None = None) -> Iterator[Named]:
        """The classes that it names: clock, stream, model, policy, learner with what it names, exchanges.

        `whole`: the experiment of all agents, when this is that of one.
        """
        for key, table in self._kind_tables():
            part = kinds.resolve(table.room, getattr(table, table.kind_key))
            yield Named(part, Use(key, table.options, self, self if whole is None else whole))

    def _kind_tables(self) -> Iterator[tuple[tuple[str | int, ...], KindTable]]:
        yield ("clock",), self.clock
        for name in ("stream", "model", "memory", "learning"):
            if getattr(self, name).used:
                yield (name,), getattr(self, name)
        if self.learning.objective.used:
            yield ("learning", "objective"), self.learning.objective
        if self.learning.schedule is not None:
            yield ("learning", "schedule"), self.learning.schedule
        for number, term in enumerate(self.learning.terms):
            yield ("learning", "terms", number), term
        for name, value in self.learning.options or ():
            if isinstance(value, KindTable):
                yield ("learning", name), value
        for number, exchange in enumerate(self.exchange):
            yield ("exchange", number), exchange

    def for_agent(self, agent: int) -> Experiment:
        """The experiment as agent number `agent` lives it: the `[[agent]]` rules are applied and gone.

        Raises ExperimentError when an overridden table is wrong.
        """
        tables, wrong = self.tables_of(agent)
        if wrong:
            raise ExperimentError(problems.message(wrong, f"The experiment of agent {agent}"))
        return self.model_copy(update={**tables, "agent": ()})

    def alike(self) -> list[list[int]]:
        """All agents, in groups for which the same `[[agent]]` rules hold; their tables are the same."""
        rules: list[tuple[int, ...]] = [()] * self.agents
        for number, rule in enumerate(self.agent):
            for agent in set(rule.ids):
                if agent < self.agents:
                    rules[agent] += (number,)
        groups: dict[tuple[int, ...], list[int]] = {}
        for agent, holding in enumerate(rules):
            groups.setdefault(holding, []).append(agent)
        return list(groups.values())

    def tables_of(self, agent: int) -> tuple[dict[str, KindTable], list[Problem]]:
        """The tables in which `agent` differs, and what is wrong in the rules for it."""
        tables: dict[str, KindTable] = {}
        wrong: list[Problem] = []
        for number, rule in enumerate(self.agent):
            for name, part in rule.parts().items() if agent in rule.ids else ():
                try:
                    tables[name] = _overridden(tables.get(name, getattr(self, name)), part)
                except ValidationError as error:
                    found = problems.problems_of(error)
                    wrong += [Problem(("agent", number, name, *key), text) for key, text in found]
        return tables, wrong


def _overridden(table: KindTable, part: Mapping[str, object]) -> KindTable:
    values = table.model_dump(mode="json", by_alias=True, exclude_none=True)
    if isinstance(values, str):  # a table that says no more than its kind
        values = {table.kind_key: values}
    if part.get(table.kind_key, values[table.kind_key]) != values[table.kind_key]:
        values = {key: values[key] for key in values if key in table.known_keys()}
        if isinstance(table, Learning):
            values = {key: values[key] for key in values if key not in unused_by(part)}
    return type(table).model_validate({**values, **part})
