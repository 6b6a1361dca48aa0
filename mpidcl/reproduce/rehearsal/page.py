"""Writes what was found: reproduction.md, numbers.csv and the figure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import mpidcl
from mpidcl.base.quantities import NOTHING
from mpidcl.record.atomic import make_folder, write_bytes, write_text
from mpidcl.record.settings import aligned
from mpidcl.reproduce.cells import csv_text, markdown, number
from mpidcl.reproduce.outcomes import Found
from mpidcl.reproduce.rehearsal.figures import figure
from mpidcl.reproduce.rehearsal.found import NUMBERS, judged
from mpidcl.reproduce.rehearsal.rows import WAYS, Way

ORDER = (
    "incremental", "local-30", "global-2.5", "global-10", "global-30", "derpp-30", "from-scratch",
)  # fmt: skip
"""From what remembers least to what remembers most."""
HEADER = (
    "method", "buffer", "top-1", "top-5", "in task", "first task", "last task", "s per epoch", "CPU s",
    "of incremental", "GFLOP", "MiB drawn", "seeds",
)  # fmt: skip


def write_page(found: Found, out: Path) -> Path:
    """Everything into the folder `out`; gives the path of reproduction.md. The same runs, the same bytes."""
    make_folder(out)
    write_bytes(out / "accuracy-buffer.png", figure(found))
    write_text(out / "numbers.csv", csv_text(found.numbers(ORDER, NUMBERS)))
    page = out / "reproduction.md"
    write_text(page, "\n".join(page_lines(found)))
    return page


def page_lines(found: Found) -> list[str]:
    """The page, line by line."""
    lines = [
        "# One replay buffer across all agents: Split CIFAR-100",
        "",
        f"Written by `scripts/reproduce rehearsal` of mpidcl {mpidcl.__version__} from the finished runs in"
        " `runs/`. How to read it: docs/reproduce.md of the repository.",
        "",
        "Final accuracy in percent, mean over seeds ± standard error over seeds: top-1 and top-5 among all"
        " 100 classes, in task among the 25 of the task; top-1 of the first and of the last task. Buffer in"
        " percent of all training rows. Seconds and MiB are those of one agent, GFLOP of all.",
        "",
        *markdown(HEADER, rows(found)),
        "![Accuracy against the size of the buffer](accuracy-buffer.png)",
        "",
        "Differences in points, paired by seed; a verdict is by their 95 % interval:",
        "",
        *orderings(found),
    ]
    return [*lines, *(f"- {note}" for note in found.notes), ""]


def short_lines(found: Found) -> list[str]:
    """For the terminal: the same table, aligned."""
    return [aligned([HEADER, *map(tuple, rows(found))])]


def rows(found: Found) -> list[list[str]]:
    """The lines of the table, from what remembers least to what remembers most."""
    return [_row(found, WAYS[name]) for name in ORDER if name in found.outcomes]


def _row(found: Found, way: Way) -> list[str]:
    name = way.name
    base = found.mean("incremental", "cpu_s").mean
    epoch, cpu, flops, drawn = (
        found.mean(name, one).mean for one in ("epoch_s", "cpu_s", "flops", "drawn_bytes")
    )
    return [
        way.words,
        "all" if way.share > 100 else f"{way.share:g} %" if way.share else NOTHING,
        *(number(found.mean(name, one)) for one in ("final", "top5", "task", "first", "last")),
        f"{epoch:.2f}",
        f"{cpu:.1f}",
        NOTHING if math.isnan(base) else f"{cpu / base:.2f}",
        f"{flops / 1e9:,.0f}",
        f"{drawn / 2**20:,.1f}" if drawn else NOTHING,
        found.seeds(name),
    ]


def orderings(found: Found) -> list[str]:
    """What was claimed, and what the runs say."""
    lines: list[Sequence[str]] = [
        [words, measure, number(difference, sign=True), said]
        for words, measure, difference, said in judged(found)
    ]
    header = ("claim", "accuracy", "difference", "verdict")
    return markdown(header, lines) if lines else ["No two rows yet.", ""]
