"""Texts of table cells, and tables in Markdown."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence

from mpidcl.base.quantities import NOTHING
from mpidcl.record.settings import ABSENT
from mpidcl.reproduce.found import Found
from mpidcl.reproduce.plan import no_data
from mpidcl.reproduce.published import Number
from mpidcl.views.mean_error import MeanError

NOT_PUBLISHED = "not published"


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of a table and an empty one; the first column is left-aligned, numbers right."""
    lines = ["| " + " | ".join(header) + " |", "|---|" + "---:|" * (len(header) - 1)]
    return [*lines, *("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows), ""]


def number(found: MeanError | Number | None, *, sign: bool = False, absent: str = NOTHING) -> str:
    """`93.47 ± 0.21`, without the error where there is none; with `sign`, `+0.61 ± 0.10`.

    An error over the agents of one seed is marked.
    """
    if found is None or math.isnan(found[0]):
        return absent
    text = f"{found[0]:+.2f}" if sign else f"{found[0]:.2f}"
    mark = found.mark if isinstance(found, MeanError) else ""
    return text if math.isnan(found[1]) else f"{text} ± {found[1]:.2f}{mark}"


def published_cell(found: Number | None) -> str:
    """The published number, or that there is none."""
    return number(found, absent=NOT_PUBLISHED)


def ours_cell(found: Found, dataset: str, row: str, metric: str) -> str:
    """Our number, or why there is none."""
    return number(found.ours(dataset, row, metric), absent=no_data(dataset) or "not run")


def seeds_cell(found: Found, dataset: str, row: str) -> str:
    """The seeds of our runs."""
    return seeds_text(found.seeds(dataset, row)) if found.has(dataset, row) else NOTHING


def minus(ours: MeanError | None, published: Number | None) -> MeanError | None:
    """Ours minus published, over our seeds; the two standard errors are independent and add in squares."""
    if ours is None or published is None:
        return None
    errors = [error for error in (ours.standard_error, published.error) if not math.isnan(error)]
    error = math.hypot(*errors) if errors else math.nan
    return ours._replace(mean=ours.mean - published.mean, standard_error=error)


def settings_words(pairs: Mapping[str, tuple[str, str]]) -> str:
    """`agents = 4 (there: 8)`, of settings (of the runs, of what they should follow)."""
    said = ((key, here, "none" if there == ABSENT else there) for key, (here, there) in sorted(pairs.items()))
    return ", ".join(f"{key} = {here} (there: {there})" for key, here, there in said)


def csv_text(rows: Sequence[Mapping[str, object]]) -> str:
    """Rows with the same keys as a CSV file."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]) if rows else [], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def known(value: float) -> float | None:
    """None for a number that is not one: JSON has neither NaN nor infinity."""
    return value if math.isfinite(value) else None


def seeds_text(seeds: Sequence[int]) -> str:
    """`0-2`, `0, 3`."""
    if len(seeds) > 2 and list(seeds) == list(range(seeds[0], seeds[-1] + 1)):
        return f"{seeds[0]}-{seeds[-1]}"
    return ", ".join(map(str, seeds))
