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
from mpidcl.reproduce.dmkd.figures import figure
from mpidcl.reproduce.dmkd.found import NUMBERS, judged
from mpidcl.reproduce.dmkd.rows import FASHION, WAYS
from mpidcl.reproduce.outcomes import Found

HEADER = (
    "row", "accuracy", "in task", "forgetting", "MiB sent", "information [nats]", "of shuffled", "CPU s",
    "GFLOP", "seeds",
)  # fmt: skip


TITLES = {
    "fashion": "Fashion-MNIST, five tasks of two classes, four agents",
    "quick": "digits, five tasks of two classes, four agents",
    "cifar100": "split CIFAR-100, ten tasks of ten classes, a fifth of the rows, four agents",
}
"""By scale."""


def write_page(found: Found, out: Path, scale: str = FASHION) -> Path:
    """Everything into the folder `out`; gives the path of reproduction.md. The same runs, the same bytes."""
    make_folder(out)
    write_bytes(out / "accuracy-bytes.png", figure(found))
    write_text(out / "numbers.csv", csv_text(found.numbers(WAYS, NUMBERS)))
    page = out / "reproduction.md"
    write_text(page, "\n".join(page_lines(found, scale)))
    return page


def page_lines(found: Found, scale: str = FASHION) -> list[str]:
    """The page, line by line."""
    lines = [
        f"# Networks of experts: {TITLES[scale]}",
        "",
        f"Written by `scripts/reproduce dmkd` of mpidcl {mpidcl.__version__} from the finished runs in"
        " `runs/`. How to read it: docs/dmkd.md of the repository.",
        "",
        "Mean over seeds ± standard error over seeds. Accuracy at the end in percent, among all classes and"
        " among those of the task; forgetting in points; MiB and CPU seconds are those of one agent, GFLOP"
        " of all. Information is that of class and expert.",
        "",
        *markdown(HEADER, rows(found)),
        "![Accuracy against bytes](accuracy-bytes.png)",
        "",
        "Differences in points, paired by seed; a verdict is by their 95 % interval:",
        "",
        *orderings(found),
    ]
    return [*lines, *(f"- {note}" for note in found.notes), ""]


def short_lines(found: Found) -> list[str]:
    """For the terminal: the same table, aligned, and the claims."""
    claims = [(words, name, number(one, sign=True), said) for words, name, one, said in judged(found)]
    return [aligned([HEADER, *map(tuple, rows(found))]), "", *([aligned(claims)] if claims else [])]


def rows(found: Found) -> list[list[str]]:
    """The lines of the table."""
    return [_row(found, name) for name in WAYS if name in found.outcomes]


def _row(found: Found, name: str) -> list[str]:
    sent, inside, shuffled, cpu, flops = (
        found.mean(name, one).mean for one in ("sent_mib", "information", "shuffled", "cpu_s", "gflop")
    )
    return [
        WAYS[name].words,
        *(number(found.mean(name, one)) for one in ("final", "task", "forgetting")),
        f"{sent:,.1f}" if sent else NOTHING,
        *(NOTHING if math.isnan(one) else f"{one:.3f}" for one in (inside, shuffled)),
        f"{cpu:.1f}",
        f"{flops:,.0f}",
        found.seeds(name),
    ]


def orderings(found: Found) -> list[str]:
    """What is claimed, and what the runs say."""
    lines: list[Sequence[str]] = [
        [words, name, number(difference, sign=True), said] for words, name, difference, said in judged(found)
    ]
    header = ("claim", "number", "difference", "verdict")
    return markdown(header, lines) if lines else ["No two rows yet.", ""]
