"""Writes what was found: reproduction.md, numbers.csv, numbers.json and the figures."""

from __future__ import annotations

import csv
import io
import json
import math
from pathlib import Path

import mpidcl
from mpidcl.record.atomic import make_folder, write_bytes, write_text
from mpidcl.reproduce.cells import seeds_text
from mpidcl.reproduce.choices import choice_lines, choices
from mpidcl.reproduce.cost import MODES, advantage, at_best, at_middle, cost_lines, levels
from mpidcl.reproduce.figures import figures
from mpidcl.reproduce.found import UNIT, Found
from mpidcl.reproduce.headline import headline, headline_lines
from mpidcl.reproduce.orderings import judge, orderings_table
from mpidcl.reproduce.published import published, published_later
from mpidcl.reproduce.sweeps import sweep_lines
from mpidcl.reproduce.tables import main_tables
from mpidcl.views.mean_error import MeanError, footnote

COLUMNS = (
    "dataset", "row", "metric", "ours", "standard_error", "values", "error_over", "seeds", "published",
    "published_error", "published_later", "published_later_error", "wire_bytes_per_agent",
    "paper_floats_per_agent", "agents", "tasks", "epochs",
)  # fmt: skip


def write_page(found: Found, out: Path) -> Path:
    """Everything into the folder `out`; gives the path of reproduction.md. The same runs, the same bytes."""
    make_folder(out)
    drawn = figures(found)
    for name, picture in drawn.items():
        write_bytes(out / f"{name}.png", picture)
    rows = numbers(found)
    write_text(out / "numbers.csv", _csv(rows))
    write_text(out / "numbers.json", json.dumps(_json(found, rows), indent=2, allow_nan=False) + "\n")
    page = out / "reproduction.md"
    write_text(page, "\n".join(page_lines(found, sorted(drawn))))
    return page


def page_lines(found: Found, drawn: list[str]) -> list[str]:
    """The page, line by line."""
    lines = [
        "# DCL: published and ours",
        "",
        '"Distributed Continual Learning" (arXiv 2405.17466). Written by `scripts/reproduce dcl` of mpidcl'
        f" {mpidcl.__version__} from the finished runs in `runs/`. What the rows are, where the published"
        " numbers come from and how to read this page: docs/reproduce.md of the repository.",
        "",
        *_warning(found),
        "Mean over agents and seeds ± standard error over seeds: agents of one run share its seed, so they"
        " are averaged first. Errors of published final accuracies are as published, over agents x seeds, and"
        f" for the same reason too small. {footnote()}",
        "",
        "## Headline",
        "",
        *headline_lines(found),
        "## Orderings",
        "",
        "Paired differences per (seed, agent), averaged by seed. Holds, does not hold: by the 95 % interval"
        " of the mean over seeds (Student's t). One seed is no evidence: undecided.",
        "",
        *orderings_table(found),
        "## Published beside ours",
        "",
        *main_tables(found),
        *_per_dataset(found, drawn),
        *choice_lines(found.rows),
    ]
    if found.notes:
        lines += ["## Notes", "", *(f"- {note}" for note in found.notes), ""]
    return lines


def numbers(found: Found) -> list[dict[str, object]]:
    """One dict per data set, row and metric, with the keys COLUMNS; None where there is no number."""
    rows = []
    for dataset, row in found.groups:
        for metric in UNIT:
            ours = found.ours(dataset, row, metric)
            assert ours is not None
            theirs, later = published(metric, row, dataset), published_later(metric, row, dataset)
            values = (
                dataset, row, metric, *ours[:3], ours.over(), seeds_text(found.seeds(dataset, row)),
                *(theirs or (None, None)), *(later or (None, None)), found.sent(dataset, row),
                found.sent(dataset, row, "paper_floats"), *found.size(dataset),
            )  # fmt: skip
            rows.append({key: _known(value) for key, value in zip(COLUMNS, values, strict=True)})
    return rows


def _per_dataset(found: Found, drawn: list[str]) -> list[str]:
    lines: list[str] = []
    for title, name, words in (
        ("Learning speed", "learning-speed", "Accuracy while a task is learned"),
        ("Accuracy against bytes", "accuracy-bytes", "Final accuracy against bytes sent per agent"),
    ):
        lines += [f"## {title}", ""]
        for dataset in found.datasets:
            table = cost_lines(found, dataset) if name == "accuracy-bytes" else []
            if f"{name}-{dataset}" in drawn:
                lines += [f"### {dataset}", "", f"![{words}, {dataset}]({name}-{dataset}.png)", "", *table]
    swept = {dataset: sweep_lines(found, dataset) for dataset in found.datasets}
    if any(swept.values()):
        lines += ["## Sweeps", ""]
        for dataset, found_lines in swept.items():
            lines += [f"### {dataset}", "", *found_lines] if found_lines else []
    return lines


def _warning(found: Found) -> list[str]:
    if not found.departed:
        return []
    names = ", ".join(name for name in found.datasets if name in found.departed)
    return [f"**Not the published protocol: {names}.** Those parts only show that it works.", ""]


def _json(found: Found, rows: list[dict[str, object]]) -> dict[str, object]:
    return {
        "numbers": rows,
        "headline": {name: _headline(found, name) for name in found.datasets},
        "orderings": [
            {
                "claim": one.claim.words, "row": one.claim.row, "base": one.claim.base,
                "dataset": one.dataset, "metric": one.claim.metric, "difference": one.difference.mean,
                **_evidence(one.difference), "pairs": one.difference.number,
                "verdict": one.verdict.strip("*"),
            }
            for one in judge(found)
        ],
        "bytes": {name: _bytes(found, name) for name in found.datasets},
        "not_as_published": found.departed,
        "not_as_published_in_every_run": [
            {"about": one.about, "ours": one.ours, "published": one.published} for one in choices(found.rows)
        ],
    }  # fmt: skip


def _headline(found: Found, dataset: str) -> dict[str, object]:
    one = headline(found, dataset)
    return {
        "gain": one.gain and one.gain.mean,
        **_evidence(one.gain),
        "relative_gain_percent": one.relative,
        "module_over_training_set": one.per_set,
        "floats_sent_over_training_floats": one.per_agent,
        "bytes_sent_over_training_bytes": one.bytes_per_agent,
    }


def _bytes(found: Found, dataset: str) -> dict[str, object]:
    there = levels(found, dataset)
    return {
        "levels": [
            {
                "mode": level.mode.name, "row": level.row, "wire_bytes_per_agent": level.sent,
                "final_accuracy": level.accuracy.mean, "gain": level.gain and level.gain.mean,
                **_evidence(level.gain),
                "gain_with_the_same_first_tasks": level.gain_alike and level.gain_alike.mean,
                "points_per_mib": _known(level.per_mib),
            }
            for level in there
        ],
        "modules_times_as_many_points_per_mib": {
            where.__name__: {
                mode.name: _known(advantage(where(there, MODES[0]), where(there, mode)))
                for mode in MODES[1:]
            }
            for where in (at_best, at_middle)
        },
    }  # fmt: skip


def _evidence(found: MeanError | None) -> dict[str, object]:
    """How much a mean is worth: `interval_reach` is half its 95 % interval, None with one seed."""
    return {
        "standard_error": found and _known(found.standard_error),
        "error_over": found and found.over(),
        "interval_reach": found and _known(found.reach),
    }


def _csv(rows: list[dict[str, object]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _known(value: object) -> object:
    """None for a number that is not one: JSON has neither NaN nor infinity."""
    return None if isinstance(value, float) and not math.isfinite(value) else value
