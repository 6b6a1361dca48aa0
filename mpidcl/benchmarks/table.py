"""Rows of `mpidcl bench kernels` for a terminal, a log and a docs page."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import NotRequired, TypedDict

COLUMNS = ("kernel", "size", "threads", "time", "speed", "of the limit", "instead", "to reach")


class Other(TypedDict):
    """What one would call instead: seconds of a call, and how many times as long it takes as ours."""

    seconds: float
    times_ours: float


class KernelRow(TypedDict):
    """What is measured of one case with a number of threads; speeds and limits where they tell something."""

    bench: str
    kernel: str
    size: str
    threads: int
    device: str
    target: str
    seconds: float
    GB_per_s: NotRequired[float]
    rows_per_s: NotRequired[float]
    limit: NotRequired[str | None]
    limit_GB_per_s: NotRequired[float]
    share_of_limit: NotRequired[float]
    others: dict[str, Other]


def time_text(seconds: float) -> str:
    """
    >>> [time_text(s) for s in (0.0000042, 0.00123, 0.0567, 2.5)]
    ['4.20 us', '1.23 ms', '56.7 ms', '2.50 s']
    """
    for unit, scale in (("us", 1e-6), ("ms", 1e-3)):
        if seconds < 1000 * scale:
            return f"{seconds / scale:#.3g} {unit}".replace(". ", " ")
    return f"{seconds:#.3g} s"


def cells(row: KernelRow) -> list[str]:
    """The texts of one row, one for each of `COLUMNS`. "instead": time of the other, times ours."""
    return [
        row["kernel"],
        row["size"],
        str(row["threads"]),
        time_text(row["seconds"]),
        _speed(row),
        _share(row),
        "; ".join(
            f"{name} {time_text(other['seconds'])} ({other['times_ours']:.2f}x)"
            for name, other in row["others"].items()
        ),
        row["target"],
    ]


def _speed(row: KernelRow) -> str:
    if "rows_per_s" in row:
        rows = row["rows_per_s"]
        return f"{rows / 1e6:.1f} M rows/s" if rows >= 1e6 else f"{rows:,.0f} rows/s"
    return f"{row['GB_per_s']:.1f} GB/s" if "GB_per_s" in row else ""


def _share(row: KernelRow) -> str:
    if "share_of_limit" not in row:
        return ""
    return f"{100 * row['share_of_limit']:.0f} % of {row['limit_GB_per_s']:.1f} GB/s ({row['limit']})"


def lines(row: KernelRow) -> str:
    """Text of one row for a terminal or a log: the kernel, then one for each thing to call instead."""
    kernel, size, threads, time, speed, share, *_ = cells(row)
    used = f"{threads} thread{'s' * (threads != '1')}"
    text = f"{kernel:<29} {size:<42} {used:<11}{time:>9}  {speed:<15}{share}"
    others = (
        f"{'':30}instead: {name:<46}{time_text(other['seconds']):>11}  {other['times_ours']:.2f}x"
        for name, other in row["others"].items()
    )
    return "\n".join([text.rstrip(), *others])


def json_line(row: Mapping[str, object]) -> str:
    """The row as one line of JSON."""
    return json.dumps(row) + "\n"


def markdown(rows: Sequence[KernelRow]) -> list[str]:
    """Lines of a table for a docs page."""
    lines = ["| " + " | ".join(COLUMNS) + " |", "|---" * len(COLUMNS) + "|"]
    texts = ([text.replace("|", "\\|") for text in cells(row)] for row in rows)
    return [*lines, *("| " + " | ".join(line) + " |" for line in texts)]
