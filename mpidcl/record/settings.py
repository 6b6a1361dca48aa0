"""Resolved experiments as flat settings, and the settings in which two of them differ."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from mpidcl import toml as toml_text

ABSENT = "(absent)"


def flat_settings(toml: str) -> dict[str, Any]:
    """`{"learning.lr": 0.001, "exchange.0.kind": "data", ...}` of an experiment's TOML text."""
    return _flatten("", toml_text.loads(toml))


def differences(there: Mapping[str, Any], here: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
    """Keys whose values differ, each with both values as text."""
    keys = sorted(set(there) | set(here))
    pairs = {key: (there.get(key, ABSENT), here.get(key, ABSENT)) for key in keys}
    return {key: (shown(one), shown(other)) for key, (one, other) in pairs.items() if one != other}


def varying(all_settings: Collection[Mapping[str, Any]]) -> list[str]:
    """Keys that do not have one value in all of the settings."""
    keys = sorted({key for settings in all_settings for key in settings})
    return [key for key in keys if len({shown(settings.get(key, ABSENT)) for settings in all_settings}) > 1]


def shown(value: Any) -> str:
    """A setting as a short text."""
    return value if isinstance(value, str) else repr(value)


def aligned(rows: Sequence[tuple[str, ...]]) -> str:
    """Rows as lines of left-aligned columns, indented by two spaces."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "\n".join("  " + line.rstrip() for line in lines)


def _flatten(prefix: str, value: Any) -> dict[str, Any]:
    if isinstance(value, dict):
        items = [(str(key), child) for key, child in value.items()]
    elif isinstance(value, list) and any(isinstance(child, dict) for child in value):
        items = [(str(index), child) for index, child in enumerate(value)]
    else:
        return {prefix: value}
    flat: dict[str, Any] = {}
    for key, child in items:
        flat |= _flatten(f"{prefix}.{key}" if prefix else key, child)
    return flat
