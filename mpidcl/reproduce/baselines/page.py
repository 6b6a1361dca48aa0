"""Writes what was found: reproduction.md, numbers.csv, numbers.json and the figures."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import mpidcl
from mpidcl.record.atomic import make_folder, write_bytes, write_text
from mpidcl.record.settings import aligned
from mpidcl.reproduce.baselines.figures import figures
from mpidcl.reproduce.baselines.found import COSTS, METRICS, Found
from mpidcl.reproduce.baselines.methods import METHODS
from mpidcl.reproduce.baselines.published import MAMMOTH, PUBLISHED, SECOND_HAND, figure_of
from mpidcl.reproduce.baselines.streams import AGENTS, SHARING, STREAMS
from mpidcl.reproduce.baselines.tables import MARK, accuracy_table, cost_table, over, sharing_table
from mpidcl.reproduce.cells import csv_text, known, number, seeds_text, settings_words

DEPARTURES = (
    "**Colours, schedule.** Split CIFAR has no normalised colours and no smaller steps at the end of a task.",
    "**ER-ACE, joint, from scratch.** Mammoth has no settings for them on split MNIST: they have those of ER"
    " and of fine-tuning. Split Fashion-MNIST has those of split MNIST, EWC, SI, GEM and A-GEM on CIFAR-100"
    " those of CIFAR-10.",
    "**EWC.** Our penalty has a half and Mammoth's has none, so the weight is twice Mammoth's lambda.",
    "**LwF** tells new classes apart among all outputs, Mammoth among those seen so far. **ER-ACE** has"
    " no cosine"
    " head. **GEM** adds nothing to its Gram matrix. docs/learning.md has the rest.",
    "**FedAvg** averages hidden layers: the head of an agent never travels, also where all tasks have one.",
    "**Forgetting** is that of Mammoth's code: the best accuracy includes the last.",
    "**CPU seconds** are those of the whole life of an agent, tests included; Mammoth's those of training.",
)


def write_page(found: Found, out: Path) -> Path:
    """Everything into the folder `out`; gives the path of reproduction.md. The same runs, the same bytes."""
    make_folder(out)
    drawn = figures(found)
    for name, picture in drawn.items():
        write_bytes(out / f"{name}.png", picture)
    rows = list(numbers(found))
    write_text(out / "numbers.csv", csv_text(rows))
    whole = {"numbers": rows, "not_as_planned": found.departed}
    write_text(out / "numbers.json", json.dumps(whole, indent=2, allow_nan=False) + "\n")
    page = out / "reproduction.md"
    write_text(page, "\n".join(page_lines(found, sorted(drawn))))
    return page


def page_lines(found: Found, drawn: list[str]) -> list[str]:
    """The page, line by line."""
    lines = [
        "# Baselines of continual learning",
        "",
        f"Written by `scripts/reproduce baselines` of mpidcl {mpidcl.__version__} from the finished runs in"
        " `runs/`. What the methods are and how to read this page: docs/reproduce.md of the repository.",
        "",
        "Percent, mean over seeds ± standard error over seeds. Class: told apart among all classes. Task:"
        " among those of the task, the same model. One seed has no error.",
        "Published: Buzzega et al. 2020 (arXiv 2004.07211), mean ± standard deviation over 10 runs."
        f" {MARK}: second-hand. Mammoth: its public code as we have measured it, mean ± standard"
        " deviation over 4 seeds"
        " (EWC, LwF, iCaRL: 3). sd: standard deviation of our seeds, from 5 seeds on. Forgetting, BWT,"
        " FWT and"
        " differences are in points. FWT says little here: a head for all classes never answers with one that"
        " has not come.",
        "",
        "## What departs from Mammoth",
        "",
        *(f"- {line}" for line in DEPARTURES),
        "",
    ]
    for stream in found.streams:
        lines += _section(found, stream, drawn)
    if found.notes:
        lines += ["## Notes", "", *(f"- {note}" for note in found.notes), ""]
    return lines


def _section(found: Found, stream: str, drawn: list[str]) -> list[str]:
    lines = [f"## {STREAMS[stream].words}", "", *_departed(found, stream)]
    if found.cells(stream, "single"):
        lines += [*accuracy_table(found, stream), "What was forgotten, and what it cost:", ""]
        lines += cost_table(found, stream)
    sharing = sharing_table(found, stream)
    if sharing:
        words = (
            f"{AGENTS} agents on a ring, each with a part of the rows of every class. Buffer and MiB sent are"
            " of one agent. parameters: neighbours average their hidden layers after each pass, heads"
            " stay. data:"
            " after each pass an agent gets rows of the classes that it knows worst, whose labels are true."
        )
        lines += [f"### {STREAMS[stream].words}: sharing", "", words, "", *sharing]
    if f"sharing-{stream}" in drawn:
        lines += [f"![Final accuracy with and without sharing](sharing-{stream}.png)", ""]
    return lines


def short_lines(found: Found) -> list[str]:
    """For the terminal: accuracies, forgetting and seconds of every cell, and what departs."""
    rows: list[tuple[str, ...]] = [
        (
            *("stream", "sharing", "method", "buffer", "class [%]", "task [%]", "forgetting since best"),
            *("CPU s", "seeds"),
        )
    ]
    for stream in found.streams:
        for cell in found.cells(stream, *SHARING):
            means = [number(found.mean(cell, name)) for name in ("final", "task", "forgetting_max")]
            seconds = f"{found.mean(cell, 'cpu_s').mean:.1f}"
            seeds = seeds_text(sorted(found.outcomes[cell]))
            words = METHODS[cell.method].words
            rows.append(
                (stream, SHARING[cell.sharing][0], words, str(cell.buffer or ""), *means, seconds, seeds)
            )
    return [aligned(rows), *(line for stream in found.streams for line in _departed(found, stream) if line)]


def numbers(found: Found) -> Iterator[dict[str, object]]:
    """One dict per cell and number; None where there is none."""
    for cell, outcomes in found.outcomes.items():
        for name in (*METRICS, *COSTS):
            one = found.mean(cell, name)
            theirs = [figure_of(table, cell, name) for table in (PUBLISHED, MAMMOTH)]
            yield {
                **cell._asdict(), "number": name, "mean": known(one.mean),
                "standard_error": known(one.standard_error), "error_over": over(one),
                "seeds": seeds_text(sorted(outcomes)),
                "published": theirs[0] and known(theirs[0].mean),
                "published_deviation": theirs[0] and known(theirs[0].error),
                "second_hand": cell.stream in SECOND_HAND,
                "mammoth": theirs[1] and known(theirs[1].mean),
            }  # fmt: skip


def _departed(found: Found, stream: str) -> list[str]:
    pairs = found.departed.get(stream)
    if not pairs:
        return []
    told = "No number here can be compared with the columns published and Mammoth, nor the seconds"
    return [f"**Not the settings of the protocol**: {settings_words(pairs)}. {told}.", ""]
