"""Tables of methods: accuracies and forgetting under both masks, paired differences, the steps."""

from __future__ import annotations

import math
from collections.abc import Sequence

from mpidcl.record.quantities import NOTHING
from mpidcl.reproduce.cells import markdown, number
from mpidcl.reproduce.emgd.found import Cell, Found
from mpidcl.reproduce.emgd.methods import METHODS

BASES = ("mean", "elastic")
"""Methods that all others are compared with in pairs."""
SIGMAS = ("softmax_ema", "ema_norm", "gmc", "gs", "ones")


def methods_table(found: Found, dataset: str, mode: str, methods: Sequence[str]) -> list[str]:
    """First and final accuracy and forgetting, under the mask of the mode and of all classes."""
    header = (
        "method", "first", "final", "F", "first, all classes", "final, all classes", "F, all classes",
        "error over",
    )  # fmt: skip
    rows = []
    for name in methods:
        cell = Cell(dataset, mode, name)
        means = [found.mean(cell, f"{metric}{end}") for end in ("", "_all_classes") for metric in _THREE]
        rows.append([METHODS[name].words, *map(number, means), means[0].over("place")])
    return markdown(header, rows)


_THREE = ("first_accuracy", "final_accuracy", "forgetting")


def differences_table(found: Found, dataset: str, mode: str, methods: Sequence[str]) -> list[str]:
    """Paired differences of the final accuracy and of forgetting from the methods BASES."""
    bases = [base for base in BASES if base in methods]
    if not bases or len(methods) < 2:
        return []
    said = {"final_accuracy": "final", "forgetting": "F"}
    header = [
        "method",
        *(f"{word} against {METHODS[b].words}" for b in bases for word in said.values()),
        "error over",
    ]
    rows = []
    for name in methods:
        cell = Cell(dataset, mode, name)
        pairs = [found.difference(cell, base, metric) for base in bases for metric in said]
        same = [METHODS[name].words if base == name else "" for base in bases for _ in said]
        cells = [NOTHING if own else number(pair, sign=True) for pair, own in zip(pairs, same, strict=True)]
        rows.append([METHODS[name].words, *cells, max(pairs, key=lambda one: one.number).over("place")])
    return markdown(header, rows)


def steps_table(found: Found, dataset: str, mode: str, methods: Sequence[str]) -> list[str]:
    """What the log of the steps says: conflicts, steps that are no common descent, edits."""
    header = ("method", "pairs in conflict [%]", "steps with some loss rising [%]", "edit per row (L2)")
    rows = []
    for name in methods:
        cell = Cell(dataset, mode, name)
        conflict, ascent, edited = (found.mean(cell, step).mean for step in ("conflict", "ascent", "edited"))
        rows.append(
            [METHODS[name].words, _two(conflict), _two(ascent), f"{edited:.4f}" if edited else NOTHING]
        )
    return markdown(header, rows)


def sigma_table(found: Found, dataset: str, mode: str) -> list[str]:
    """Elastic factors of every mode, without and with editing, and what editing adds in pairs."""
    rows = []
    for mode_of_sigma in SIGMAS:
        name = "elastic" if mode_of_sigma == "softmax_ema" else f"elastic-{mode_of_sigma}"
        plain, edited = Cell(dataset, mode, name), Cell(dataset, mode, f"{name}-align")
        if plain in found.outcomes and edited in found.outcomes:
            accuracies = [number(found.mean(cell, "final_accuracy")) for cell in (plain, edited)]
            forgetting = [number(found.mean(cell, "forgetting")) for cell in (plain, edited)]
            gain = found.difference(edited, name, "final_accuracy")
            cells = [*accuracies, number(gain, sign=True), *forgetting, gain.over("place")]
            rows.append([mode_of_sigma, *cells])
    header = ("sigma", "final", "final, editing", "editing adds", "F", "F, editing", "error over")
    return markdown(header, rows) if len(rows) > 1 else []


def _two(value: float) -> str:
    return NOTHING if math.isnan(value) else f"{value:.1f}"
