"""The headline of the publication: what modules gain over isolated agents, for how many floats."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mpidcl.base.quantities import NOTHING, bytes_text, significant
from mpidcl.reproduce.cells import markdown, number
from mpidcl.reproduce.found import Found
from mpidcl.reproduce.protocol import DATA_SETS
from mpidcl.reproduce.published import HEADLINE_BUDGET, HEADLINE_GAIN, published
from mpidcl.stream.datasets.catalogue import make
from mpidcl.stream.datasets.combined import Combined
from mpidcl.views.mean_error import MeanError

MODULES, ISOLATED = "modmod-1", "modular-isolated"


@dataclass(frozen=True)
class Headline:
    """The headline on one data set.

    `gain`: paired difference in points; `published_gain` in points. `relative`, `published_relative`: the
    gain as percent of the isolated accuracy. `per_set`: floats of one module over the floats of the whole
    training set. `per_agent`: floats that an agent sent, as published, over the floats of its own training
    rows; `bytes_per_agent`: the same in measured bytes over the bytes of those floats.
    """

    dataset: str
    gain: MeanError | None
    published_gain: float | None
    relative: float | None
    published_relative: float | None
    per_set: float | None
    per_agent: float | None
    bytes_per_agent: float | None
    sent: float | None


def headline(found: Found, dataset: str) -> Headline:
    """The headline on one data set; what cannot be known is None."""
    gain = found.difference(dataset, MODULES, ISOLATED, "final_accuracy")
    base = found.ours(dataset, ISOLATED, "final_accuracy")
    theirs, their_base = (published("final_accuracy", row, dataset) for row in (MODULES, ISOLATED))
    published_gain = theirs.mean - their_base.mean if theirs and their_base else None
    return Headline(
        dataset,
        gain,
        published_gain,
        100 * gain.mean / base.mean if gain and base else None,
        100 * published_gain / their_base.mean if published_gain and their_base else None,
        _per_set(dataset),
        *_costs(found, dataset),
    )


def headline_lines(found: Found) -> list[str]:
    """The table, and what stands in the abstract."""
    rows = [headline(found, dataset) for dataset in dict.fromkeys((*DATA_SETS, *found.datasets))]
    header = (
        "data set", "gain of k = 1 [points]", "published", "relative gain [%]", "published",
        "one module / training set", "floats sent / training floats", "bytes sent / training bytes",
        "sent per agent", "error over",
    )  # fmt: skip
    return [
        *markdown(header, [*(_cells(row) for row in rows), *_mean_rows(rows)]),
        f"The abstract says {HEADLINE_GAIN} % for a communication budget of {_small(HEADLINE_BUDGET)}; how it"
        " averages is not published. The mean relative gain of the published rows is the reading that comes"
        " closest to the first number, one module over the whole training set (each MNIST set 8.84e-05,"
        " CIFAR-100 1.47e-04) to the second. Floats sent and training floats are those of one agent over its"
        " whole life: all its neighbours, queries not counted, against the rows it really learned from;"
        " bytes are measured, queries and headers included, against 4 bytes for each of those floats.",
        "",
    ]


def _per_set(dataset: str) -> float | None:
    """Floats of one module over those of the training set; of `combined`, mean over its parts."""
    whole = make(dataset)
    parts = whole.parts() if isinstance(whole, Combined) else (whole,)
    module = 50 * (50 * 9 + 1) if dataset == "cifar100" else 64 * 65
    sizes = [part.info.train * int(np.prod(part.info.shape)) for part in parts if part.info.train]
    return float(np.mean([module / size for size in sizes])) if sizes else None


def _costs(found: Found, dataset: str) -> tuple[float | None, float | None, float | None]:
    if not found.has(dataset, MODULES):
        return None, None, None
    sent = found.sent(dataset, MODULES)
    floats = found.training_floats(dataset, MODULES)
    if not floats:
        return None, None, sent
    return found.sent(dataset, MODULES, "paper_floats") / floats, sent / (4 * floats), sent


def _cells(row: Headline) -> list[str]:
    return [
        row.dataset,
        number(row.gain, sign=True),
        _signed(row.published_gain),
        _signed(row.relative),
        _signed(row.published_relative),
        _small(row.per_set),
        _small(row.per_agent),
        _small(row.bytes_per_agent),
        NOTHING if row.sent is None else bytes_text(row.sent),
        row.gain.over() if row.gain else NOTHING,
    ]


def _mean_rows(rows: list[Headline]) -> list[list[str]]:
    """The mean over the data sets that were run, and over all of the publication: like beside like."""
    protocol = [row for row in rows if row.dataset in DATA_SETS]
    run = [row for row in protocol if row.gain]
    missing = len(run) < len(protocol)
    some = [_means(f"mean of the {len(run)} run", run)] if run and missing else []
    whole = _means(f"mean of all {len(protocol)}", protocol)
    if missing:
        for place in _OURS:
            whole[place] = NOTHING
    return [*some, whole]


_OURS = (1, 3, 6, 7)
"""Columns with numbers of our runs."""


def _means(title: str, rows: list[Headline]) -> list[str]:
    return [
        title,
        _signed(_mean([row.gain.mean for row in rows if row.gain])),
        _signed(_mean([row.published_gain for row in rows])),
        _signed(_mean([row.relative for row in rows])),
        _signed(_mean([row.published_relative for row in rows])),
        _small(_mean([row.per_set for row in rows])),
        _small(_mean([row.per_agent for row in rows])),
        _small(_mean([row.bytes_per_agent for row in rows])),
        NOTHING,
        NOTHING,
    ]


def _mean(values: list[float | None] | list[float]) -> float | None:
    there = [value for value in values if value is not None]
    return float(np.mean(there)) if there else None


def _signed(value: float | None) -> str:
    return NOTHING if value is None else f"{value:+.2f}"


def _small(value: float | None) -> str:
    """`0.138`, `8.84e-05`."""
    return NOTHING if value is None else significant(value) if value >= 0.01 else f"{value:.2e}"
