"""The way from the name of a data set to the data set."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import ValidationError

from mpidcl.errors import ExperimentError
from mpidcl.experiment import kinds, problems

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mpidcl.stream.datasets.base import DataSet


def names() -> list[str]:
    """The data sets that are known by a short name."""
    return list(kinds.known_kinds("dataset"))


def make(name: str, options: Mapping[str, object] | None = None, called: str = "`stream.dataset`") -> DataSet:
    """The data set `name` (or "package.module:Class") with the options of `[stream.data]`.

    Reads no file. Raises ExperimentError for an unknown name, as what it is `called`, or a wrong option.
    """
    try:
        kind: type[DataSet] = kinds.resolve("dataset", name)
    except ExperimentError as reason:
        raise ExperimentError(f"{called} {reason}") from None
    try:
        return kind(kind.Options(**(options or {})))
    except ValidationError as reason:
        raise ExperimentError(_say(name, kind, reason)) from reason


def _say(name: str, kind: type[DataSet], reason: ValidationError) -> str:
    known = ", ".join(kind.Options.model_fields) or "none"
    wrong = "; ".join(
        f"`stream.data.{'.'.join(map(str, key))}` {sentence}"
        for key, sentence in problems.problems_of(reason)
    )
    return f"{wrong}. Options of {name}: {known}."
