"""Where our protocol itself leaves the publication: true of every run, whatever its settings.

`departures.py` compares a run with our example files. What these files, and the method, do differently from
the public code (github.com/vlongle/learning-hive) stands here, so that no page leaves it out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from mpidcl.reproduce.protocol import ROWS, Row


@dataclass(frozen=True)
class Choice:
    """One departure: what it is about, which rows have it, what we do, and what the public code does."""

    about: str
    concerns: Callable[[Row], bool]
    ours: str
    published: str


def _all(row: Row) -> bool:
    return True


def _modular(row: Row) -> bool:
    return row.modular


def _shares_data(row: Row) -> bool:
    return row.file in ("modular-data", "monolithic-data", "all-modes")


def _all_modes(row: Row) -> bool:
    return row.file == "all-modes"


CHOICES = (
    Choice(
        "memory",
        _all,
        'a true reservoir (`memory.policy = "reservoir"`): each row of a task is kept with equal chance',
        "a random slot is overwritten by every row once the buffer is full, which favours late rows"
        ' (`memory.policy = "overwrite"`)',
    ),
    Choice(
        "evaluation",
        _all,
        "after epochs 0, 1, 11, ..., 91 and 100",
        "after epochs 0, 1, 11, ..., 91 and 101",
    ),
    Choice(
        "hidden candidate",
        _modular,
        "without the candidate the other modules share its weight, so that what is measured is what stays",
        "its share of the softmax stays unused while it is hidden",
    ),
    Choice(
        "which net answers",
        _modular,
        "while a task is learned, the better of the nets with and without candidate on *validation* rows",
        "the better of the two on the test rows, which is optimistic",
    ),
    Choice(
        "modules without a gradient",
        _modular,
        "a module that a joint task does not use takes no step of Adam",
        "it takes one with a gradient of zero, so that it moves by what Adam remembers",
    ),
    Choice(
        "labels of received rows",
        _shares_data,
        "modular rows `groundtruth`, the monolithic row `same-as-query`; the rows named after the other"
        " labels are run beside them",
        "one table for both kinds of nets, so both had the same labels: `same_as_query` in the first table,"
        " `groundtruth` in the later one, we believe. The script's default was the former until April 2024,"
        " and our monolithic rows agree with both tables only so",
    ),
    Choice(
        "rows that validate",
        _shares_data,
        "a received row that the agent validates on is dropped",
        "it is kept, trained on, and then decides about modules",
    ),
    Choice(
        "accommodation with all modes",
        _all_modes,
        "the last epoch of a task, as in all other rows",
        "none: its period is 101 of 100 epochs there, so basis and kept modules do not change any more",
    ),
)


def choices(rows: list[str]) -> list[Choice]:
    """The departures that concern at least one of these rows of the protocol."""
    return [choice for choice in CHOICES if any(choice.concerns(ROWS[name]) for name in rows)]


def choice_lines(rows: list[str]) -> list[str]:
    """Those departures as a part of the page; nothing without rows."""
    found = choices(rows)
    if not found:
        return []
    told = [f"- **{one.about}**. Ours: {one.ours}. The public code: {one.published}." for one in found]
    return ["## What is not as published, in every run", "", *told, ""]
