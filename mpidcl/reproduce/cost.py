"""Accuracy against measured bytes: every mode at three budgets."""

from __future__ import annotations

import math
from dataclasses import dataclass

from mpidcl.base.quantities import NOTHING, bytes_text
from mpidcl.reproduce.cells import markdown, number, seeds_cell
from mpidcl.reproduce.found import Found
from mpidcl.reproduce.protocol import ROWS
from mpidcl.views.cost.view import MIB
from mpidcl.views.mean_error import MeanError, paired_mean

MODULAR, MONOLITHIC = "modular-isolated", "monolithic-isolated"


@dataclass(frozen=True)
class Mode:
    """A way of sharing: the row without it, and the rows at a small, a middle and a large budget.

    `alike`: the row without it whose agents begin with the same tasks, where that is another one.
    """

    name: str
    base: str
    levels: tuple[str, str, str]
    alike: str | None = None


def _averaging(base: str) -> tuple[str, str, str]:
    return (f"{base}-parameters-100", f"{base}-parameters-20", f"{base}-parameters-5")


MODES = (
    Mode("modules", MODULAR, ("modmod-1-int8", "modmod-1", "modmod-3"), f"{MODULAR}-joint"),
    Mode("parameters", MODULAR, _averaging("modular"), f"{MODULAR}-joint"),
    Mode("data", MODULAR, ("modular-data-10x1", "modular-data", "modular-data-30x10")),
    Mode("all modes", MODULAR, ("all-modes-small", "all-modes", "all-modes-large"), f"{MODULAR}-joint"),
    Mode("parameters, monolithic", MONOLITHIC, _averaging("monolithic"), f"{MONOLITHIC}-joint"),
    Mode(
        "data, monolithic",
        MONOLITHIC,
        ("monolithic-data-10x1", "monolithic-data", "monolithic-data-30x10"),
    ),
)


@dataclass(frozen=True)
class Level:
    """One mode at one budget: bytes sent per agent, accuracy [%], paired gains over isolated agents [points].

    `gain_alike`: over isolated agents that begin with the same tasks; None where those were not run.
    """

    mode: Mode
    row: str
    sent: float
    accuracy: MeanError
    gain: MeanError | None
    gain_alike: MeanError | None

    @property
    def per_mib(self) -> float:
        """Points gained per MiB that an agent sent; NaN where that means nothing."""
        return self.gain.mean / (self.sent / MIB) if self.gain and self.sent else math.nan

    @property
    def clear(self) -> bool:
        """Whether the 95 % interval of the gain stays clear of nothing."""
        return self.gain is not None and self.gain.clear


def levels(found: Found, dataset: str) -> list[Level]:
    """All levels of all modes that were run on a data set."""
    rows = [(mode, row) for mode in MODES for row in mode.levels]
    return [_level(found, dataset, mode, row) for mode, row in rows if found.has(dataset, row)]


def _level(found: Found, dataset: str, mode: Mode, row: str) -> Level:
    final = "final_accuracy"
    accuracy = paired_mean(found.values(dataset, row, final))
    gain = found.difference(dataset, row, mode.base, final)
    alike = found.difference(dataset, row, mode.alike or mode.base, final)
    return Level(mode, row, found.sent(dataset, row), accuracy, gain, alike)


def cost_lines(found: Found, dataset: str) -> list[str]:
    """One line per mode and budget, then what modules gain per MiB against each other mode."""
    there = levels(found, dataset)
    if not there:
        return []
    header = (
        "mode", "at", "sent per agent", "final accuracy [%]", "gain [points]", "gain, same first tasks",
        "points per MiB", "seeds",
    )  # fmt: skip
    rows = [
        [
            level.mode.name, ROWS[level.row].words, bytes_text(level.sent), number(level.accuracy),
            number(level.gain, sign=True), number(level.gain_alike, sign=True), _rate(level),
            seeds_cell(found, dataset, level.row),
        ]
        for level in there
    ]  # fmt: skip
    return [*markdown(header, rows), *_advantage_table(there)]


def at_best(there: list[Level], mode: Mode) -> Level | None:
    """The budget at which a mode gains most per MiB; None where it was not run."""
    known = [level for level in there if level.mode == mode and not math.isnan(level.per_mib)]
    return max(known, key=lambda level: level.per_mib, default=None)


def at_middle(there: list[Level], mode: Mode) -> Level | None:
    """The middle budget, that of the published rows; None where it was not run."""
    return next((level for level in there if level.row == mode.levels[1]), None)


def advantage(modules: Level | None, other: Level | None) -> float | None:
    """How many times as many points per MiB modules gain.

    Infinite where the other mode gains nothing; None where one of them was not run or modules gain nothing.
    """
    if modules is None or other is None or not modules.per_mib > 0 or math.isnan(other.per_mib):
        return None
    return modules.per_mib / other.per_mib if other.per_mib > 0 else math.inf


def _advantage_table(there: list[Level]) -> list[str]:
    rows = []
    for mode in MODES[1:]:
        cells = [
            _advantage_cell(place(there, MODES[0]), place(there, mode)) for place in (at_best, at_middle)
        ]
        if any(cell != NOTHING for cell in cells):
            rows.append([mode.name, *cells])
    if not rows:
        return []
    header = (
        "points per MiB of modules, as a multiple of",
        "each at its best budget",
        "each at its middle budget",
    )
    note = "In brackets: the 95 % interval of one of the two gains holds 0, or there is one seed only."
    return [*markdown(header, rows), note, ""]


def _advantage_cell(modules: Level | None, other: Level | None) -> str:
    times = advantage(modules, other)
    if times is None or modules is None or other is None:
        return NOTHING
    text = (
        "the other gains nothing"
        if math.isinf(times)
        else (f"{times:,.0f}x" if times >= 100 else f"{times:.3g}x")
    )
    return text if modules.clear and other.clear else f"({text})"


def _rate(level: Level) -> str:
    return NOTHING if math.isnan(level.per_mib) else f"{level.per_mib:+.3g}"
