"""Published beside ours: one table of final accuracies and one of learning speeds for each data set."""

from __future__ import annotations

from collections.abc import Sequence

from mpidcl.base.quantities import NOTHING, bytes_text
from mpidcl.record.settings import aligned
from mpidcl.reproduce.cells import markdown, minus, number, ours_cell, published_cell, seeds_cell
from mpidcl.reproduce.found import Found
from mpidcl.reproduce.protocol import DATA_SETS, ROWS
from mpidcl.reproduce.published import published, published_later
from mpidcl.views.mean_error import MeanError, footnote
from mpidcl.views.modules.counts import final_mean

MAIN_ROWS = [row.name for row in ROWS.values() if row.main]
CLOSE = 1.0
"""Points within which a row counts as reproduced."""


def main_tables(found: Found) -> list[str]:
    """Both tables for every data set of the protocol, also where nothing was run."""
    lines: list[str] = []
    for dataset in dict.fromkeys((*DATA_SETS, *found.datasets)):
        lines += [f"### {dataset}", "", *scale_lines(found, dataset)]
        lines += final_table(found, dataset, MAIN_ROWS)
        if dataset in found.datasets:
            lines += speed_table(found, dataset, MAIN_ROWS)
    return lines


def short_lines(found: Found) -> list[str]:
    """For the terminal: final accuracies of the rows that were run, and what to mind."""
    rows: list[tuple[str, ...]] = [("final accuracy [%]", "", "published", "ours", "difference", "seeds")]
    for dataset, row in found.groups:
        ours = found.ours(dataset, row, "final_accuracy")
        first, later = (table("final_accuracy", row, dataset) for table in (published, published_later))
        theirs = first or later
        difference = number(minus(ours, theirs), sign=True) + _which(first, later, theirs)
        cells = (published_cell(theirs), number(ours), difference, seeds_cell(found, dataset, row))
        rows.append((dataset, ROWS[row].words, *cells))
    names = ", ".join(name for name in found.datasets if name in found.departed)
    warning = [f"Not the published protocol, only to see that it works: {names}"] if names else []
    count = len(found.notes)
    notes = (
        [f"{count} run{'s' * (count > 1)} left out or unlike the others: see Notes on the page"]
        if count
        else []
    )
    alone = [footnote()] if any(group.mark for group in found.groups.values()) else []
    return [aligned(rows), *alone, *warning, *notes]


def scale_lines(found: Found, dataset: str) -> list[str]:
    """How large the runs are, and loudly in what they differ from the published ones."""
    if dataset not in found.datasets:
        return []
    size = found.size(dataset)
    text = f"{size.agents} agents, {size.tasks} tasks, {size.epochs} epochs per task"
    if found.as_published(dataset):
        return [f"As published: {text}.", ""]
    return [
        f"**Not the published protocol**: {text}. Different: {found.departed[dataset]}. A difference from a"
        " published number means nothing here.",
        "",
    ]


def final_table(found: Found, dataset: str, rows: Sequence[str]) -> list[str]:
    """Final accuracy in %: published, ours, difference, the later published number, cost."""
    header = (
        "final accuracy [%]", "published", "ours", "difference", f"within {CLOSE:g}", "published later",
        "seeds", "modules", "sent per agent",
    )  # fmt: skip
    return markdown(header, [_final_row(found, dataset, row) for row in rows])


def _final_row(found: Found, dataset: str, row: str) -> list[str]:
    metric = "final_accuracy"
    theirs, later = published(metric, row, dataset), published_later(metric, row, dataset)
    difference = minus(found.ours(dataset, row, metric), theirs or later)
    cells = [ROWS[row].words, published_cell(theirs), ours_cell(found, dataset, row, metric)]
    cells += [number(difference, sign=True) + _which(theirs, later, difference)]
    close = _close(difference) if difference is not None and found.as_published(dataset) else NOTHING
    return [*cells, close, number(later), *_cost_cells(found, dataset, row)]


def _close(difference: MeanError) -> str:
    """Whether the mean is within CLOSE; in brackets where its 95 % interval does not decide."""
    away = abs(difference.mean)
    text = "yes" if away <= CLOSE else "**no**"
    return text if abs(away - CLOSE) > difference.reach else f"({text})"


def _which(theirs: object, later: object, difference: object) -> str:
    return " (from the later)" if theirs is None and later is not None and difference is not None else ""


def _cost_cells(found: Found, dataset: str, row: str) -> list[str]:
    if not found.has(dataset, row):
        return [NOTHING] * 3
    modules = final_mean(found.groups[dataset, row].models)
    shown = NOTHING if modules is None else f"{modules.mean:.1f}"
    return [seeds_cell(found, dataset, row), shown, bytes_text(found.sent(dataset, row))]


def speed_table(found: Found, dataset: str, rows: Sequence[str]) -> list[str]:
    """Areas under the accuracy over 101 epochs, of the seen tasks and of the one being learned."""
    header = (
        "learning speed [area]", "seen: published", "seen: ours", "seen: later", "current: published",
        "current: ours", "current: difference", "seeds",
    )  # fmt: skip
    lines = []
    for row in rows:
        seen, current = "learning_speed", "learning_speed_current"
        theirs = published(current, row, dataset)
        lines.append(
            [
                ROWS[row].words,
                published_cell(published(seen, row, dataset)),
                ours_cell(found, dataset, row, seen),
                number(published_later(seen, row, dataset)),
                published_cell(theirs),
                ours_cell(found, dataset, row, current),
                number(minus(found.ours(dataset, row, current), theirs), sign=True),
                seeds_cell(found, dataset, row),
            ]
        )
    return markdown(header, lines)
