"""Lists of flat dataclasses as columns of arrays and back: the form for states and for HDF5."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any, TypeVar

import numpy as np

Row = TypeVar("Row")
_DTYPES = {"int": np.int64, "float": np.float64}


def to_columns(kind: type[Any], rows: Sequence[Any]) -> dict[str, Any]:
    """One array `[n]` for each int or float field of the dataclass `kind`, one list for each str field."""
    columns: dict[str, Any] = {}
    for field in fields(kind):
        values = [getattr(row, field.name) for row in rows]
        dtype = _DTYPES.get(str(field.type))
        columns[field.name] = values if dtype is None else np.array(values, dtype)
    return columns


def from_columns(kind: type[Row], columns: Mapping[str, Any]) -> list[Row]:
    """The rows that `to_columns` took apart, with plain Python values."""
    names = [field.name for field in fields(kind)]  # type: ignore[arg-type]
    lists = [np.asarray(columns[name]).tolist() for name in names]
    return [kind(**dict(zip(names, row, strict=True))) for row in zip(*lists, strict=True)]
