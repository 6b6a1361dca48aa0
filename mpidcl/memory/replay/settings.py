"""What all agents of a shared replay buffer must agree on, and how its room is dealt to them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import NoReturn

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ValidationError

from mpidcl.errors import ExperimentError, ReplayError
from mpidcl.experiment.kinds import options_type, resolve
from mpidcl.experiment.problems import sentence
from mpidcl.experiment.units import Capacity
from mpidcl.memory.buffer import Column, row_type
from mpidcl.memory.policies import Policy

Declared = Mapping[str, npt.DTypeLike | tuple[npt.DTypeLike, Sequence[int]]]
"""Name of each column -> its dtype, or (dtype, shape of one row)."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Checked where it is made. `capacity` and everything else is the same for all agents."""

    columns: tuple[Column, ...]
    capacity: Capacity
    draws: tuple[int, ...]
    policy: str = "reservoir"
    options: str = "{}"
    label: str | None = None
    classes: int | None = None
    balanced: bool = False
    data_rows: int | None = None
    per_rank: bool = False
    edits: tuple[str, ...] = ()
    seed: int = 0

    def __post_init__(self) -> None:
        _check_columns(self.columns, self.label)
        policy = self.make_policy()
        strange = set(self.edits) - {column.name for column in self.columns} | set(self.edits) & {self.label}
        if strange:
            _refuse(
                "`edits` should name columns, and not the label",
                ", ".join(map(str, sorted(strange, key=str))),
            )
        if not self.draws or min(self.draws) < 1:
            _refuse("`draw` should be a number of rows of at least 1, or several", self.draws)
        if self.capacity.per == "task":
            _refuse("`capacity` should be rows, bytes or percent, or rows per class", self.capacity)
        if self.capacity.unit == "percent" and not self.data_rows:
            _refuse("`data_rows` should say of how many rows the capacity is a share", self.data_rows)
        if self.classes is None and (self.balanced or self.capacity.per == "class"):
            why = "a draw that is balanced" if self.balanced else "a capacity per class"
            _refuse(f"`classes` should say how many classes there are, for {why}", None)
        if self.classes is not None and self.classes < 1:
            _refuse("`classes` should be at least 1", self.classes)
        if self.label is None and (self.classes is not None or policy.needs_classes):
            _refuse("`label` should name the column of class numbers", None)
        if self.total(1) < (self.classes or 1):
            of = f"{self.classes} rows, one for each class" if self.classes else "1 row"
            found = f"{self.capacity}, room for {self.total(1)} rows of {self.row_bytes:,} bytes"
            _refuse(f"`capacity` should be at least {of}", found)

    @property
    def row_bytes(self) -> int:
        """Bytes of one row, with all columns."""
        return row_type(self.columns).itemsize

    @property
    def parted(self) -> bool:
        """Whether every class has a room of its own: else the policy sees one room for all."""
        return self.classes is not None and not self.make_policy().needs_classes

    @property
    def counted(self) -> int:
        """Classes whose rows are counted apart: 1 where nobody asks for them."""
        return self.classes or 1

    def make_policy(self) -> Policy:
        """A policy of this kind with these options."""
        return make_policy(self.policy, json.loads(self.options))

    def total(self, agents: int) -> int:
        """Rows that fit into the rooms of all agents together."""
        rows = self.capacity.rows(self.row_bytes, self.data_rows or 0)
        times = (self.classes or 1) if self.capacity.per == "class" else 1
        return rows * times * (agents if self.per_rank else 1)

    def rooms(self, agents: int, agent: int) -> list[int]:
        """Rows that fit into each room of an agent: one room for each class, or one for all."""
        total = self.total(agents)
        if not self.parted:
            return [dealt(total, agents)[agent]]
        of_class = dealt(total, self.counted)
        return [dealt(rows, agents, first=label)[agent] for label, rows in enumerate(of_class)]

    def texts(self) -> dict[str, str]:
        """Every setting as a text: what agents compare."""
        return {field.name: _text(getattr(self, field.name)) for field in fields(self)}

    def differs(self, other: Mapping[str, str]) -> tuple[str, str, str] | None:
        """The first setting in which other `texts` differ: its name, the text here, the text there."""
        return first_difference(self.texts(), other)


def first_difference(mine: Mapping[str, str], other: Mapping[str, str]) -> tuple[str, str, str] | None:
    """The first setting that is another one there: its name, the text of `mine`, that of `other`."""
    wrong = (name for name in mine if mine[name] != other.get(name, "nothing"))
    return next(((name, mine[name], other.get(name, "nothing")) for name in wrong), None)


def columns_of(declared: Declared | Sequence[Column]) -> tuple[Column, ...]:
    """Columns as they may be declared: {"x": ("float32", (3, 32, 32)), "y": "int64"}. Raises ReplayError."""
    if isinstance(declared, Sequence) and all(isinstance(one, Column) for one in declared):
        return tuple(declared)
    if not isinstance(declared, Mapping):
        _refuse(
            '`columns` should say the type of each: {"x": ("float32", (3, 32, 32)), "y": "int64"}', declared
        )
    found = []
    for name, what in declared.items():
        if not isinstance(name, str):
            _refuse("`columns` should have names that are texts", repr(name))
        dtype, shape = what if isinstance(what, tuple) and len(what) == 2 else (what, ())
        try:
            found.append(Column(name, np.dtype(dtype).str, tuple(int(size) for size in shape)))
        except (TypeError, ValueError):
            _refuse(f'column `{name}` should be a dtype, or one and a shape: ("float32", (3, 32, 32))', what)
    return tuple(found)


def make_policy(kind: str, options: Mapping[str, object]) -> Policy:
    """A policy by its name, with its options. Raises ReplayError."""
    if not isinstance(kind, str):
        _refuse("`policy` should be the name of one", repr(kind))
    try:
        policy = resolve("policy", kind)
        given = options_type("policy", kind)(**options)
    except ValidationError as error:
        found = "; ".join(f"{'.'.join(map(str, e['loc']))} {sentence(e)}" for e in error.errors())
        raise ReplayError(f'Options of the policy "{kind}" should be mended: {found}.') from None
    except ExperimentError as error:
        raise ReplayError(f"`policy` {error}") from None
    made: object = policy(given)
    if not isinstance(made, Policy) or made.by_features:
        _refuse("`policy` should take rows as they come, as reservoir, candidate and fifo do", kind)
    return made


def options_text(policy: Policy) -> str:
    """The options of a policy, defaults included, as JSON."""
    options = policy.options
    return options.model_dump_json() if isinstance(options, BaseModel) else "{}"


def dealt(count: int, parts: int, first: int = 0) -> list[int]:
    """`count` things in as equal parts as can be; what is left over goes to parts `first`, `first` + 1, ...

    >>> dealt(10, 4), dealt(10, 4, first=3)
    ([3, 3, 2, 2], [3, 2, 2, 3])
    """
    each, rest = divmod(count, parts)
    return [each + ((part - first) % parts < rest) for part in range(parts)]


def _check_columns(columns: Sequence[Column], label: str | None) -> None:
    if not columns:
        _refuse("`columns` should name at least one column", "none")
    for column in columns:
        if np.dtype(column.dtype).kind not in "biufc" or min(column.shape, default=0) < 0:
            _refuse(f"column `{column.name}` should be numbers of a fixed shape", column)
    try:
        row_type(columns)
    except ValueError as error:
        raise ReplayError(str(error)) from None
    named = {column.name: column for column in columns}
    if label is not None and (not isinstance(label, str) or label not in named):
        _refuse(f"`label` should name one of the columns {', '.join(named)}", label)
    if label is not None and (named[label].shape or np.dtype(named[label].dtype).kind not in "iu"):
        _refuse(f"column `{label}` should be one whole number for each row: it is the label", named[label])


def _text(value: object) -> str:
    if isinstance(value, tuple):
        return "; ".join(_text(one) for one in value)
    return f"{value.name} {value.dtype} {list(value.shape)}" if isinstance(value, Column) else str(value)


def _refuse(should: str, found: object) -> NoReturn:
    raise ReplayError(f"{should}. Found {found}.")
