"""Accuracy against measured bytes: every mode at three budgets."""

from __future__ import annotations

import math
from dataclasses import dataclass

from mpidcl.record.metrics import MeanError
from mpidcl.record.quantities import NOTHING, bytes_text
from mpidcl.reproduce.cells import markdown, number
from mpidcl.reproduce.found import Found
from mpidcl.reproduce.protocol import ROWS

MIB = 2**20


@dataclass(frozen=True)
class Mode:
    """A way of sharing: the row without it, and the rows at a small, a middle and a large budget."""

    name: str
    base: str
    levels: tuple[str, str, str]


MODES = (
    Mode("modules", "modular-isolated", ("modmod-1-int8", "modmod-1", "modmod-3")),
    Mode(
        "parameters",
        "modular-isolated",
        ("modular-parameters-100", "modular-parameters-20", "modular-parameters-5"),
    ),
    Mode("data", "modular-isolated", ("modular-data-10x1", "modular-data", "modular-data-30x10")),
    Mode("all modes", "modular-isolated", ("all-modes-small", "all-modes", "all-modes-large")),
    Mode(
        "parameters, monolithic",
        "monolithic-isolated",
        ("monolithic-parameters-100", "monolithic-parameters-20", "monolithic-parameters-5"),
    ),
    Mode(
        "data, monolithic",
        "monolithic-isolated",
        ("monolithic-data-10x1", "monolithic-data", "monolithic-data-30x10"),
    ),
)


@dataclass(frozen=True)
class Level:
    """One mode at one budget: bytes sent per agent, accuracy [%], paired gain over isolated agents."""

    mode: Mode
    row: str
    sent: float
    accuracy: MeanError
    gain: MeanError | None

    @property
    def per_mib(self) -> float:
        """Points gained per MiB that an agent sent; NaN where that means nothing."""
        return self.gain.mean / (self.sent / MIB) if self.gain and self.sent else math.nan


def levels(found: Found, dataset: str) -> list[Level]:
    """All levels of all modes that were run on a data set."""
    there: list[Level] = []
    for mode in MODES:
        for row in mode.levels:
            accuracy = found.ours(dataset, row, "final_accuracy")
            if accuracy is not None:
                gain = found.difference(dataset, row, mode.base, "final_accuracy")
                there.append(Level(mode, row, found.sent(dataset, row), accuracy, gain))
    return there


def cost_table(found: Found, dataset: str) -> list[str]:
    """One line per mode and budget, then what modules gain per MiB against each other mode."""
    there = levels(found, dataset)
    if not there:
        return []
    header = ("mode", "at", "sent per agent", "final accuracy [%]", "gain [points]", "points per MiB")
    rows = [
        [
            level.mode.name, ROWS[level.row].words, bytes_text(level.sent), number(level.accuracy),
            number(level.gain, sign=True), _rate(level.per_mib),
        ]
        for level in there
    ]  # fmt: skip
    return [*markdown(header, rows), *advantage_lines(there)]


def best_rate(there: list[Level], mode: Mode) -> Level | None:
    """The budget at which a mode gains most per MiB; None where it was not run."""
    known = [level for level in there if level.mode == mode and not math.isnan(level.per_mib)]
    return max(known, key=lambda level: level.per_mib, default=None)


def advantage(there: list[Level], other: Mode) -> float | None:
    """How many times as many points per MiB modules gain, each mode at its best budget.

    Infinite where the other mode gains nothing; None where one of them was not run or modules gain nothing.
    """
    modules, theirs = best_rate(there, MODES[0]), best_rate(there, other)
    if modules is None or theirs is None or modules.per_mib <= 0:
        return None
    return modules.per_mib / theirs.per_mib if theirs.per_mib > 0 else math.inf


def advantage_lines(there: list[Level]) -> list[str]:
    """One sentence per other mode."""
    lines = []
    for mode in MODES[1:]:
        times = advantage(there, mode)
        modules, theirs = best_rate(there, MODES[0]), best_rate(there, mode)
        if times is None or modules is None or theirs is None:
            continue
        said = "which gains nothing" if math.isinf(times) else f"{times:.1f} times as many"
        lines.append(
            f"- modules against {mode.name}: {_rate(modules.per_mib)} points per MiB"
            f" ({ROWS[modules.row].words}) against {_rate(theirs.per_mib)} ({ROWS[theirs.row].words}): {said}"
        )
    return [*lines, ""] if lines else []


def _rate(value: float) -> str:
    return NOTHING if math.isnan(value) else f"{value:+.3g}"
