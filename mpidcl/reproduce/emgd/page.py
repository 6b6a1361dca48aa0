"""Writes what was found: reproduction.md, numbers.csv, runs.csv and numbers.json."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import mpidcl
from mpidcl.record.atomic import make_folder, write_text
from mpidcl.record.settings import aligned
from mpidcl.reproduce.cells import csv_text, known, number, settings_words
from mpidcl.reproduce.emgd.found import METRICS, STEPS, Found
from mpidcl.reproduce.emgd.methods import METHODS
from mpidcl.reproduce.emgd.orderings import judge, orderings_lines
from mpidcl.reproduce.emgd.plan import run_folder
from mpidcl.reproduce.emgd.streams import STREAMS, Group, Place, memory_words
from mpidcl.reproduce.emgd.tables import (
    differences_table,
    memory_table,
    methods_table,
    sigma_table,
    steps_table,
)
from mpidcl.views.mean_error import footnote

DEPARTURES = (
    "**Floor.** The public solver keeps every weight at 1/(n+1) or above, without a safe re-solve: `elastic`"
    " is that rule. *No floor* (`floor = false, safe = true`) is ours: no loss rises, to first order, but a"
    " gradient that becomes tiny takes all of the weight. *Safe floor*: the floor, but for steps in which it"
    " would make some loss rise.",
    "**Memory.** How many rows are remembered decides much; where their number is not the published one, the"
    " title of the section says so. A gain is not stated without it.",
    "**Elastic factors.** The formulas of GMC and GS are not known; `gmc` and `gs` are our reading.",
    "**Editing** is a reconstruction, and its step is ours.",
    "**Label sets** 0, 1, 2 are fixed, but not the published ones; timelines of PS-EMNIST are drawn, too.",
    "float32 in place of float64.",
)
"""In every run, from the publication."""


def write_page(found: Found, out: Path) -> Path:
    """Everything into the folder `out`; gives the path of reproduction.md. The same runs, the same bytes."""
    make_folder(out)
    rows, runs = list(numbers(found)), list(run_rows(found))
    write_text(out / "numbers.csv", csv_text(rows))
    write_text(out / "runs.csv", csv_text(runs))
    write_text(out / "numbers.json", json.dumps(_json(found, rows, runs), indent=2, allow_nan=False) + "\n")
    page = out / "reproduction.md"
    write_text(page, "\n".join(page_lines(found)))
    return page


def page_lines(found: Found) -> list[str]:
    """The page, line by line."""
    lines = [
        "# EMGD: methods compared on parallel streams",
        "",
        'Streams of "Elastic Multi-Gradient Descent for Parallel Continual Learning" (arXiv 2401.01054).'
        f" Written by `scripts/reproduce emgd` of mpidcl {mpidcl.__version__} from the finished runs in"
        " `runs/`. **No number of the publication is known to us, so there is nothing to compare ours with**:"
        " what can be tested are the orderings that its abstract claims. What the methods are and how to read"
        " this page: docs/reproduce.md of the repository.",
        "",
        "Percent; mean over label sets, timelines and seeds ± standard error over seeds: the places"
        f" (label set, timeline) of one seed are averaged first. {footnote('place')}"
        " F is final - first accuracy, as the publications print it: negative where something was forgotten."
        " *All classes*: tested among all classes; left out in class mode, where it is the same at the end.",
        "",
        "## What departs from the publication",
        "",
        *(f"- {line}" for line in DEPARTURES),
        "",
        "## Orderings",
        "",
        "Paired differences at the same label set, timeline and seed, in points, with their standard error"
        " over seeds. Holds, does not hold: by the 95 % interval of the mean over seeds (Student's t); else"
        " undecided. One seed is no evidence: undecided, too.",
        "",
        *orderings_lines(found),
    ]
    for group, methods in found.groups():
        lines += _memories(found, group)
        lines += [f"## {_title(group)}, {memory_words(group.dataset, group.memory)}", ""]
        lines += [*_departed(found, group.dataset), *_section(found, group, methods)]
    if found.notes:
        lines += ["## Notes", "", *(f"- {note}" for note in found.notes), ""]
    return lines


def _title(group: Group) -> str:
    return f"{STREAMS[group.dataset].words}, {group.mode}-incremental"


def _memories(found: Found, group: Group) -> list[str]:
    """Sizes of the memory side by side, before the first of them."""
    if group.memory != found.memories(group.dataset, group.mode)[0]:
        return []
    table = memory_table(found, group.dataset, group.mode)
    return [f"## {_title(group)}: sizes of the memory", "", *table] if table else []


def _section(found: Found, group: Group, methods: list[str]) -> list[str]:
    lines = methods_table(found, group, methods)
    differences = differences_table(found, group, methods)
    if differences:
        lines += ["Paired differences:", "", *differences]
    sigma = sigma_table(found, group)
    if sigma:
        lines += ["Elastic factors, without and with editing:", "", *sigma]
    lines += ["From the logs of the steps:", "", *steps_table(found, group, methods)]
    where = run_folder(Path(), group.cell("METHOD"), Place(0, 0, 0)).as_posix()
    where = where.replace("l0-t0", "lL-tT").replace("seed-0", "seed-S")
    return [*lines, f"`mpidcl report {where}` draws conflicts, weights and edits of a run.", ""]


def short_lines(found: Found) -> list[str]:
    """For the terminal: final accuracy and forgetting of every method, and what departs from the settings."""
    rows: list[tuple[str, ...]] = [
        ("stream", "mode", "memory", "method", "final [%]", "F", "against mean", "error over")
    ]
    for group, methods in found.groups():
        for name in methods:
            cell = group.cell(name)
            final, forgotten = (found.mean(cell, metric) for metric in ("final_accuracy", "forgetting"))
            base = (
                "" if name == "mean" else number(found.difference(cell, "mean", "final_accuracy"), sign=True)
            )
            words = (METHODS[name].words, number(final), number(forgotten), base, final.over("place"))
            rows.append((*map(str, group), *words))
    departed = [line for dataset in found.departed for line in _departed(found, dataset) if line]
    marked = any(found.mean(cell, "final_accuracy").mark for cell in found.outcomes)
    alone = [footnote("place")] if marked else []
    return [aligned(rows), *alone, *departed]


def numbers(found: Found) -> Iterator[dict[str, object]]:
    """One dict per stream, mode, method and metric; None where there is no number."""
    for cell, places in found.outcomes.items():
        for metric in (*METRICS, *STEPS):
            one = found.mean(cell, metric)
            yield {
                **cell._asdict(), "metric": metric, "mean": known(one.mean), "runs": one.number,
                "standard_error": known(one.standard_error), "error_over": one.over("place"),
                **{f"{name}s": _numbers(getattr(place, name) for place in places) for name in _PLACE},
            }  # fmt: skip


_PLACE = ("label_set", "timeline", "seed")


def run_rows(found: Found) -> Iterator[dict[str, object]]:
    """One dict per finished run with all its numbers."""
    for cell, places in found.outcomes.items():
        for place, values in sorted(places.items()):
            finite = {name: known(value) for name, value in values.items()}
            yield cell._asdict() | place._asdict() | finite


def _departed(found: Found, dataset: str) -> list[str]:
    pairs = found.departed.get(dataset)
    if not pairs:
        return []
    return [f"**Not the settings of the example files**: {settings_words(pairs)}.", ""]


def _json(
    found: Found, rows: Sequence[dict[str, object]], runs: Sequence[dict[str, object]]
) -> dict[str, object]:
    return {
        "published_numbers": "none known",
        "numbers": rows,
        "runs": runs,
        "orderings": [
            {
                "claim": one.claim.words, "published": one.claim.theirs, "method": one.claim.method,
                "base": one.claim.base, "metric": one.claim.metric, **one.group._asdict(),
                "difference": known(one.difference.mean),
                "standard_error": known(one.difference.standard_error),
                "error_over": one.difference.over("place"),
                "interval_reach": known(one.difference.reach),
                "pairs": one.difference.number, "better": one.better, "verdict": one.verdict.strip("*"),
            }
            for one in judge(found)
        ],
        "not_as_published": found.departed,
    }  # fmt: skip


def _numbers(values: Iterator[int]) -> str:
    return " ".join(map(str, sorted(set(values))))
