"""`--set learning.lr=0.01`: change one value of an experiment from the command line."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from mpidcl.errors import ExperimentError
from mpidcl.experiment import toml

_DIGITS = 9


def parse_value(text: str) -> object:
    """A TOML value; a bare word or anything unquoted with a unit ("10 epochs") is text.

    Raises ExperimentError when a list, table or quoted text is not closed or not valid.
    """
    stripped = text.strip()
    try:
        values = toml.loads(f"value = {stripped}")
    except ValueError:
        return _bare(stripped)
    value = values["value"]
    # Other keys: the text held a line break. Dates mean nothing here: a run may be named 2026-11-20.
    return (
        value
        if len(values) == 1 and isinstance(value, (str, bool, int, float, list, dict))
        else _bare(stripped)
    )


def _bare(text: str) -> str:
    if text[:1] in ('"', "'", "[", "{"):
        raise ExperimentError(
            f"--set: should be a TOML value, such as [1, 2] or {{a = 1}}. Found {text[:60]}"
        )
    return text


def apply(tables: Mapping[str, object], assignments: Sequence[str]) -> dict[str, object]:
    """A copy of `tables` with every `key=value` of `assignments` put in, in order.

    Keys are joined by dots; a number picks an entry of a list (`exchange.0.every`), the number
    after the last adds one. Raises ExperimentError when a text is no assignment or a key leads nowhere.
    """
    changed = {key: _copy(entry) for key, entry in tables.items()}
    for assignment in map(_as_typed, assignments):
        key, equals, value = assignment.partition("=")
        parts = key.strip().split(".")
        if not equals or not all(parts):
            raise ExperimentError(
                f"--set should be KEY=VALUE, such as learning.lr=0.01. Found {assignment!r}"
            )
        _put(changed, parts, parse_value(value), assignment)
    return changed


def _as_typed(text: str) -> str:
    """What was typed. In the locale C, Python hands over each byte that is not ASCII as a surrogate."""
    with suppress(UnicodeError):
        return os.fsencode(text).decode("utf-8")
    return text


def _copy(value: object) -> object:
    if isinstance(value, dict):
        return {key: _copy(entry) for key, entry in value.items()}
    return [_copy(entry) for entry in value] if isinstance(value, list) else value


def _put(tables: dict[str, object], parts: list[str], value: object, assignment: str) -> None:
    place: object = tables
    for part, following in zip(parts, [*parts[1:], ""], strict=True):
        if isinstance(place, dict):
            index: Any = part
            place.setdefault(part, [] if following.isdecimal() else {})
        elif isinstance(place, list):
            index = _entry(place, part, assignment)
        else:
            raise ExperimentError(
                f"--set {assignment}: `{part}` leads nowhere; what stands before it is a plain value"
            )
        if not following:
            place[index] = value
        place = place[index]


def _entry(entries: list[object], part: str, assignment: str) -> int:
    if not part.isdecimal() or len(part) > _DIGITS or int(part) > len(entries):
        raise ExperimentError(
            f"--set {assignment}: should have a number between 0 and {len(entries)} for the entry of the list"
            f" ({len(entries)} adds one). Found {part}"
        )
    if int(part) == len(entries):
        entries.append({})
    return int(part)
