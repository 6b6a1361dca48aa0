"""Tables: what a part of an agent adds to the record, and rows of flat dataclasses as such columns."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import MISSING, fields
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from mpidcl.errors import RecordError

Row = TypeVar("Row")
_DTYPES = {"int": np.int64, "float": np.float64}
Table = dict[str, NDArray[np.generic]]
"""Columns by name, arrays of numbers `[rows, ...]` with one number of rows.

A column whose name ends in `_s` came from a clock: it is kept apart from what the experiment determines.
"""
Tables = dict[str, Table]
"""Tables by name."""
AGENT = "agent"
"""Column of a file's tables: whose a row is."""
SHAPE = ".shape"
"""Behind the name of a column whose rows are not of one shape in all agents: the shape of each row."""
ABSENT = -1
"""A counter that an agent does not have."""


def to_columns(kind: type[Any], rows: Sequence[Any], names: Iterable[str] = ()) -> dict[str, Any]:
    """One array `[n]` for each int or float field of the dataclass `kind`, one list for each str field.

    `names`: of these fields alone.
    """
    types = {field.name: str(field.type) for field in fields(kind)}
    columns: dict[str, Any] = {}
    for name in names or types:
        values, dtype = [getattr(row, name) for row in rows], _DTYPES.get(types[name])
        columns[name] = values if dtype is None else np.array(values, dtype)
    return columns


def from_columns(kind: type[Row], columns: Mapping[str, Any]) -> list[Row]:
    """The rows that `to_columns` took apart, with plain Python values.

    A field with a default may have no column: whoever wrote these did not know it.
    """
    known = fields(kind)  # type: ignore[arg-type]
    names = [field.name for field in known if field.name in columns or field.default is MISSING]
    return [kind(**row) for row in rows_of(columns, names)]


def rows_of(columns: Mapping[str, Any], names: Sequence[str]) -> Iterator[dict[str, Any]]:
    """The values of each row by these names, as plain Python values."""
    lists = [np.asarray(columns[name]).tolist() for name in names]
    return (dict(zip(names, row, strict=True)) for row in zip(*lists, strict=True))


def checked(tables: Mapping[str, Table], owner: str) -> Tables:
    """The tables of `owner`, a class. Raises RecordError where columns of one table differ in length."""
    for name, table in tables.items():
        if not isinstance(name, str) or not isinstance(table, Mapping):
            raise RecordError(
                f"{owner}.tables() should be tables by name, each with columns by name. Found {name!r}:"
                f" {table!r:.80}."
            )
        for word in (name, *table):
            if not word.isidentifier() or word == AGENT:
                raise RecordError(
                    f"{owner}.tables(): tables and columns should be words of letters, digits and _, and"
                    f' no column "{AGENT}", which says whose a row is. Found "{word}" in `{name}`.'
                )
        lengths = {column: len(values) for column, values in table.items()}
        if len(set(lengths.values())) > 1:
            found = ", ".join(f"`{column}` {length}" for column, length in lengths.items())
            raise RecordError(
                f"{owner}.tables(): the columns of a table should have one number of rows. Found in `{name}`:"
                f" {found}. Make a table of its own of what has another length."
            )
        for column, values in table.items():
            if not isinstance(values, np.ndarray) or values.ndim == 0 or values.dtype.kind not in "biuf":
                raise RecordError(
                    f"{owner}.tables(): `{name}.{column}` should be an array of numbers [rows, ...]. "
                    f"Found {values!r:.80}."
                )
    return dict(tables)


def joined(parts: Iterable[tuple[str, Mapping[str, Table]]]) -> Tables:
    """All tables of several parts, (class, tables). Raises RecordError when two have one name."""
    found: Tables = {}
    owners: dict[str, str] = {}
    for owner, tables in parts:
        for name, table in checked(tables, owner).items():
            if name in found:
                again = owners[name] == owner
                advice = "Use one of this class" if again else "Rename one of them"
                raise RecordError(
                    f"{owner}.tables(): every table of a run should have a name of its own. Found `{name}`,"
                    f" which {'another' if again else owners[name]} has, too. {advice}."
                )
            found[name], owners[name] = table, owner
    return found


def owned_by(agent: int, columns: Mapping[str, NDArray[Any]]) -> Table:
    """Those of one agent, without the column that says whose they are; empty: it has none."""
    mine = columns[AGENT] == agent
    names = [name for name in columns if name != AGENT and not name.endswith(SHAPE)] if mine.any() else []
    table = {name: columns[name][mine] for name in names}
    for name in table:
        if name + SHAPE in columns:
            shape = columns[name + SHAPE][mine][0]
            table[name] = table[name][(slice(None), *map(slice, shape))]
    return table
