"""What a program hands to its replay buffer, made into what the buffer takes, or refused in words."""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from typing import TypeAlias

from mpidcl.base.arrays import Placed, on_host
from mpidcl.errors import ReplayError
from mpidcl.experiment.units import Capacity
from mpidcl.memory.buffer import Column
from mpidcl.memory.replay.settings import Declared, Settings, columns_of, make_policy, options_text
from mpidcl_kernels.base.types import View

Rows: TypeAlias = dict[str, View]
Given: TypeAlias = "Mapping[str, Placed | Sequence[float]]"

MOST_CLASSES = 1_000_000
"""Each has a room and a count of its own: more are a column of something else."""


def settings_of(
    columns: Declared | Sequence[Column],
    capacity: str | Capacity,
    draw: int | Sequence[int],
    policy: str,
    options: Mapping[str, object],
    *,
    label: str | None,
    classes: int | None,
    balanced: bool,
    data_rows: int | None,
    edits: Sequence[str],
    seed: int,
    per_rank: bool = False,
) -> Settings:
    """Checked settings. Raises ReplayError for what is not of the type, or does not fit together."""
    try:
        room = Capacity.parse(capacity)
    except ValueError as error:
        raise ReplayError(f"`capacity` {error}. Found {capacity!r}.") from None
    return Settings(
        columns_of(columns),
        room,
        _draws(draw),
        policy,
        options_text(make_policy(policy, options)),
        label=label,
        classes=None if classes is None else whole("classes", classes, 1, MOST_CLASSES),
        balanced=_flag("balanced", balanced),
        data_rows=None if data_rows is None else whole("data_rows", data_rows, 1),
        per_rank=_flag("per_rank", per_rank),
        edits=_names(edits),
        seed=whole("seed", seed, 0),
    )


def whole(name: str, value: object, least: int, most: int | None = None) -> int:
    """A whole number between both. Raises ReplayError."""
    try:
        found = None if isinstance(value, bool) else operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        found = None
    if found is None or found < least or (most is not None and found > most):
        limit = "" if most is None else f" and at most {most:,}"
        raise ReplayError(f"`{name}` should be a whole number of at least {least}{limit}. Found {value!r}.")
    return found


def is_patience(seconds: object) -> bool:
    """Whether somebody can wait for so long."""
    return isinstance(seconds, (int, float)) and not isinstance(seconds, bool) and seconds > 0


def _draws(draw: object) -> tuple[int, ...]:
    several = isinstance(draw, Sequence) and not isinstance(draw, str)
    counts = draw if several else [draw]
    return tuple(whole("draw", rows, 1) for rows in counts)  # type: ignore[attr-defined]


def _flag(name: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise ReplayError(f"`{name}` should be True or False. Found {value!r}.")
    return value


def _names(edits: object) -> tuple[str, ...]:
    if isinstance(edits, str) or not isinstance(edits, Sequence):
        raise ReplayError(f'`edits` should be a list of columns, such as ("logits",). Found {edits!r}.')
    return tuple(edits)


def hosted(what: str, rows: Given | None) -> Rows | None:
    """Columns as arrays of the host. Raises ReplayError for what are no columns."""
    if rows is None:
        return None
    if not isinstance(rows, Mapping):
        raise ReplayError(
            f'`{what}` should be None, or an array for each column, such as {{"x": x}}.'
            f" Found {type(rows).__name__}."
        )
    return {name: host(f"Column `{name}`", values) for name, values in rows.items()}


def host(what: str, values: object) -> View:
    """A NumPy array of the host; torch tensors on the CPU are not copied. Raises ReplayError."""
    try:
        array: View = on_host(values)
    except (TypeError, ValueError, RuntimeError) as error:  # torch: a tensor without data
        fix = " NumPy has no such type: use `.half()` or `.float()`." if "BFloat16" in str(error) else ""
        raise ReplayError(f"{what} should be an array of numbers. Found {error}.{fix}") from None
    if not array.ndim:
        raise ReplayError(f"{what} should be [n, ...], with a place for each row. Found one value.")
    return array
