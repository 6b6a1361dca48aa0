"""Writes what was found: reproduction.md, numbers.csv and the figures."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import mpidcl
from mpidcl.record.atomic import make_folder, write_bytes, write_text
from mpidcl.record.settings import aligned
from mpidcl.reproduce.cells import csv_text, known, markdown, seeds_text
from mpidcl.reproduce.damtl.cells import PARTS
from mpidcl.reproduce.damtl.figures import figures
from mpidcl.reproduce.damtl.found import Found
from mpidcl.reproduce.damtl.tables import (
    ORDERINGS,
    SHOWN,
    condition_rows,
    digit_rows,
    method_rows,
    method_table,
    ordering_rows,
    strength_table,
)

WORDS = {
    "ring": "Groups x agents in each, and the nominal noise. Error: squared distance from the true model.",
    "field": "Four quadrants, six agents in each. The test rows are the field without noise.",
    "student": (
        "School x subject, four agents in each group; the target has deviation 1. Anchor of others: least"
        " squares on all columns, grades of both periods among them, has R² of .779 (mathematics) and .862"
        " (Portuguese)."
    ),
    "conditions": (
        "DAMTL (logdet) by the rule under each condition. The first agent of each group, its messenger, is"
        " left out of the error: it learns less where it goes."
    ),
    "digits": (
        "Exchange `parameters` of examples/asynchronous/digits.toml. own: the agent itself stands in for a"
        " neighbour of which nothing has come since the last time; newest: the last that came."
    ),
}


def write_page(found: Found, out: Path) -> Path:
    """Everything into the folder `out`; gives the path of reproduction.md. The same runs, the same bytes."""
    make_folder(out)
    drawn = figures(found)
    for name, picture in drawn.items():
        write_bytes(out / f"{name}.png", picture)
    write_text(out / "numbers.csv", csv_text(list(numbers(found))))
    page = out / "reproduction.md"
    write_text(page, "\n".join(page_lines(found, sorted(drawn))))
    return page


def page_lines(found: Found, drawn: list[str]) -> list[str]:
    """The page, line by line."""
    lines = [
        "# Groups of linear learners: DAMTL as reconstructed",
        "",
        f"Written by `scripts/reproduce damtl` of mpidcl {mpidcl.__version__} from the finished runs in"
        " `runs/`. No number of the publication is known: nothing here is compared with it. How to read"
        " this page: docs/reproduce.md of the repository.",
        "",
        "Means over the last fifth of the time, over the agents of a group and then over groups; mean over"
        " seeds ± standard error over seeds. Changes in percent are paired by seed. Best: the strength of"
        " the grid with the smallest mean, found on the same runs, which favours all tuned methods alike.",
        "",
    ]
    orderings = ordering_rows(found)
    if orderings:
        lines += ["## What was expected", "", "A verdict is by the 95 % interval over seeds.", ""]
        lines += markdown(ORDERINGS, orderings)
    for part in PARTS:
        if settings := found.settings(part):
            lines += [f"## {PARTS[part]}", "", WORDS[part], ""]
            lines += _part(found, part, settings)
            name = part if part == "conditions" else f"strength-{part}"
            if name in drawn:
                marks = "" if part == "conditions" else " Open marks at the left: by the rule."
                lines += [f"![{PARTS[part]}]({name}.png){marks}", ""]
    if found.notes:
        lines += ["## Notes", "", *(f"- {note}" for note in found.notes), ""]
    return lines


def _part(found: Found, part: str, settings: list[str]) -> list[str]:
    if part == "digits":
        return markdown(*digit_rows(found))
    lines = []
    for setting in settings:
        lines += [f"### {setting}", ""]
        if part == "conditions":
            lines += markdown(*condition_rows(found, setting))
        else:
            lines += [*method_table(found, part, setting), *strength_table(found, part, setting)]
    return lines


def short_lines(found: Found) -> list[str]:
    """For the terminal: the tables without the strengths, and what was expected."""
    lines = []
    for part in PARTS:
        for setting in found.settings(part):
            if part in SHOWN:
                header, rows = method_rows(found, part, setting)
                lines += [f"{part} {setting}", aligned([header, *rows]), ""]
            elif part == "conditions":
                header, rows = condition_rows(found, setting)
                lines += [f"{part} {setting}", aligned([header, *rows]), ""]
    if found.settings("digits"):
        header, rows = digit_rows(found)
        lines += ["digits", aligned([header, *rows]), ""]
    orderings = ordering_rows(found)
    return [*lines, aligned([ORDERINGS, *orderings])] if orderings else lines


def numbers(found: Found) -> Iterator[dict[str, object]]:
    """One dict per cell and number."""
    for cell, outcomes in found.outcomes.items():
        for name in dict.fromkeys(name for one in outcomes.values() for name in one):
            mean = found.mean(cell, name)
            yield {
                **cell._asdict(), "number": name, "mean": known(mean.mean),
                "standard_error": known(mean.standard_error), "error_over": mean.over("run"),
                "seeds": seeds_text(sorted(outcomes)),
            }  # fmt: skip
