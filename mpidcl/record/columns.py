"""Lists of flat dataclasses as columns of arrays and back: the form for states and for HDF5."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import fields
from typing import Any, TypeVar

import numpy as np

Row = TypeVar("Row")
_DTYPES = {"int": np.int64, "float": np.float64}


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
    """The rows that `to_columns` took apart, with plain Python values."""
    names = [field.name for field in fields(kind)]  # type: ignore[arg-type]
    return [kind(**row) for row in rows_of(columns, names)]


def rows_of(columns: Mapping[str, Any], names: Sequence[str]) -> Iterator[dict[str, Any]]:
    """The values of each row by these names, as plain Python values."""
    lists = [np.asarray(columns[name]).tolist() for name in names]
    return (dict(zip(names, row, strict=True)) for row in zip(*lists, strict=True))
