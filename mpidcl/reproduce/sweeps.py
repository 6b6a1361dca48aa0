"""The sweeps of the publication, and the settings that decide something, a table each."""

from __future__ import annotations

from dataclasses import dataclass

from mpidcl.base.quantities import bytes_text
from mpidcl.reproduce.cells import markdown, number, ours_cell, published_cell, seeds_cell
from mpidcl.reproduce.found import Found
from mpidcl.reproduce.protocol import ROWS, TOPOLOGIES
from mpidcl.reproduce.published import published


@dataclass(frozen=True)
class Sweep:
    """Rows that differ in one thing; differences are paired, from the first row."""

    title: str
    rows: tuple[str, ...]
    note: str = ""


_PERIODS = (100, 50, 20, 10, 5)
SWEEPS = (
    Sweep("How often modular nets average", tuple(f"modular-parameters-{p}" for p in _PERIODS)),
    Sweep("How often monolithic nets average", tuple(f"monolithic-parameters-{p}" for p in _PERIODS)),
    Sweep(
        "How many modules a neighbour sends",
        ("modmod-1", "modmod-2", "modmod-3", "modmod-4", "modmod-3-trust"),
        "From k = 2 on the receiver tries the modules out: one that trusts the similarities takes the most"
        " similar of all, which every neighbour sends already with k = 1.",
    ),
    Sweep(
        "How much data is asked for",
        tuple(f"modular-data-{q}x{n}" for n in (1, 5, 10) for q in (10, 20, 30)),
        "q hardest rows, n times per task as charged (one more happens where n + 1 chunks fit), room for"
        " max(32, q n) rows.",
    ),
    Sweep(
        "Topologies, averaging", ("modular-parameters-5", *(f"modular-parameters-5-{t}" for t in TOPOLOGIES))
    ),
    Sweep(
        "Topologies, modules",
        ("modmod-1", *(f"modmod-1-{t}" for t in TOPOLOGIES)),
        "erdos-renyi p: the probability that an edge is dropped, as published; such a network may fall"
        " apart.",
    ),
    Sweep(
        "What travels with a module",
        ("modmod-1-module-only", "modmod-1-structure", "modmod-1-head", "modmod-1"),
    ),
    Sweep(
        "Where agents begin",
        ("modular-isolated", "modular-isolated-joint", "monolithic-isolated", "monolithic-isolated-joint"),
        "Modules, averaging and all modes begin with joint tasks that all agents share; isolated agents and"
        " data do not. These are isolated agents that begin like the former: what sharing gains beyond that"
        " is what it gains.",
    ),
    Sweep("Labels of received rows, modular", ("modular-data", "modular-data-same-as-query")),
    Sweep("Labels of received rows, monolithic", ("monolithic-data", "monolithic-data-groundtruth")),
)


def sweep_lines(found: Found, dataset: str) -> list[str]:
    """The tables of all sweeps of which at least two rows were run on a data set."""
    lines: list[str] = []
    for sweep in SWEEPS:
        if sum(found.has(dataset, row) for row in sweep.rows) >= 2:
            lines += [f"#### {sweep.title}", "", *([sweep.note, ""] if sweep.note else [])]
            lines += _table(found, dataset, sweep)
    return lines


def _table(found: Found, dataset: str, sweep: Sweep) -> list[str]:
    header = (
        "row", "final [%]: published", "ours", "difference from the first", "seen [area]: ours",
        "current [area]: published", "ours", "seeds", "sent per agent",
    )  # fmt: skip
    there = [row for row in sweep.rows if found.has(dataset, row)]
    return markdown(header, [_row(found, dataset, row, there[0]) for row in there])


def _row(found: Found, dataset: str, row: str, first: str) -> list[str]:
    final, seen, current = "final_accuracy", "learning_speed", "learning_speed_current"
    difference = None if row == first else found.difference(dataset, row, first, final)
    return [
        ROWS[row].words,
        published_cell(published(final, row, dataset)),
        ours_cell(found, dataset, row, final),
        number(difference, sign=True),
        ours_cell(found, dataset, row, seen),
        published_cell(published(current, row, dataset)),
        ours_cell(found, dataset, row, current),
        seeds_cell(found, dataset, row),
        bytes_text(found.sent(dataset, row)),
    ]
