"""Resolved experiments as flat settings, and the settings in which two of them differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mpidcl.errors import ExperimentError
from mpidcl.experiment import toml as toml_text
from mpidcl.experiment.reading import from_toml

ABSENT = "(absent)"

FREE = ("network.deadline", "checkpoint.every", "checkpoint.keep", "memory.progress")
"""Settings that decide nothing of what comes out, and may change while a run goes on."""


def flat_settings(toml: str) -> dict[str, Any]:
    """`{"learning.lr": 0.001, "exchange.0.kind": "data", ...}` of an experiment's TOML text."""
    return _flatten("", toml_text.loads(toml))


def completed(toml: str) -> dict[str, Any]:
    """Settings of a resolved experiment, with defaults for keys that the code that wrote it did not have.

    As they stand where the code of today cannot read it: then it is another experiment.
    """
    try:
        return flat_settings(from_toml(toml).to_toml())
    except ExperimentError:
        return flat_settings(toml)


def deciding(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that a run cannot go on with other values of."""
    return {key: value for key, value in settings.items() if key not in FREE}


def differences(there: Mapping[str, Any], here: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
    """Keys whose values differ, each with both values as text; of what only one has, its `kind` alone."""
    keys = varying([there, here])
    return {key: (shown(there.get(key, ABSENT)), shown(here.get(key, ABSENT))) for key in keys}


def varying(all_settings: Sequence[Mapping[str, Any]]) -> list[str]:
    """Keys that do not have one value in all of the settings; of what only some have, its `kind` alone."""
    keys = sorted({key for settings in all_settings for key in settings})
    return [key for key in keys if _varies(key, all_settings) and not _follows(key, all_settings)]


def _varies(key: str, all_settings: Sequence[Mapping[str, Any]]) -> bool:
    first, *others = (settings.get(key, ABSENT) for settings in all_settings)
    return any(value != first for value in others)


def _follows(key: str, all_settings: Sequence[Mapping[str, Any]]) -> bool:
    """Whether a key is only there, all with one value, because another kind is there.

    An exchange that one of two runs has would else be listed with every default that it has.
    """
    having = [settings for settings in all_settings if key in settings]
    lacking = [settings for settings in all_settings if key not in settings]
    if not lacking or _varies(key, having):
        return False
    if having[0][key] == []:  # an empty list of tables, where others have tables
        return all(any(other.startswith(f"{key}.") for other in settings) for settings in lacking)
    parts = key.split(".")
    kinds = {".".join([*parts[:end], "kind"]) for end in range(1, len(parts))} - {key}
    return any(
        {settings.get(kind) for settings in having}.isdisjoint(settings.get(kind) for settings in lacking)
        for kind in kinds
    )


def shown(value: Any) -> str:
    """A setting as a short text."""
    return value if isinstance(value, str) else repr(value)


def aligned(rows: Sequence[tuple[str, ...]]) -> str:
    """Rows as lines of left-aligned columns, indented by two spaces."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "\n".join("  " + line.rstrip() for line in lines)


def _flatten(prefix: str, value: Any) -> dict[str, Any]:
    if isinstance(value, list) and any(isinstance(child, dict) for child in value):
        value = dict(enumerate(value))
    if not isinstance(value, dict):
        return {prefix: value}
    flat: dict[str, Any] = {}
    for key, child in value.items():
        flat |= _flatten(f"{prefix}.{key}" if prefix else str(key), child)
    return flat
