"""Tables of methods: accuracies and forgetting under both masks, paired differences, the steps."""

from __future__ import annotations

import math
from collections.abc import Sequence

from mpidcl.base.quantities import NOTHING
from mpidcl.reproduce.cells import markdown, number
from mpidcl.reproduce.emgd.found import STEPS, Found
from mpidcl.reproduce.emgd.methods import METHODS
from mpidcl.reproduce.emgd.streams import Cell, Group
from mpidcl.views.parallel.balance import NEARLY_ALL

BASES = ("mean", "elastic")
"""Methods that all others are compared with in pairs."""
SIGMAS = ("softmax_ema", "ema_norm", "gmc", "gs", "ones")


def methods_table(found: Found, group: Group, methods: Sequence[str]) -> list[str]:
    """First and final accuracy and forgetting, under the mask of the mode and of all classes.

    Where all classes are told apart anyway, the second mask repeats the first and is left out.
    """
    ends = ("",) if group.mode == "class" else ("", "_all_classes")
    words = [f"{word}{', all classes' * bool(end)}" for end in ends for word in ("first", "final", "F")]
    rows = []
    for name in methods:
        cell = group.cell(name)
        means = [found.mean(cell, f"{metric}{end}") for end in ends for metric in _THREE]
        rows.append([METHODS[name].words, *map(number, means), means[0].over("place")])
    return markdown(["method", *words, "error over"], rows)


_THREE = ("first_accuracy", "final_accuracy", "forgetting")


def differences_table(found: Found, group: Group, methods: Sequence[str]) -> list[str]:
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
        cell = group.cell(name)
        pairs = [found.difference(cell, base, metric) for base in bases for metric in said]
        same = [METHODS[name].words if base == name else "" for base in bases for _ in said]
        cells = [NOTHING if own else number(pair, sign=True) for pair, own in zip(pairs, same, strict=True)]
        rows.append([METHODS[name].words, *cells, max(pairs, key=lambda one: one.number).over("place")])
    return markdown(header, rows)


def memory_table(found: Found, dataset: str, mode: str) -> list[str]:
    """Final accuracy, and against the mean in pairs, with each size of the memory; empty with one size."""
    groups = [Group(dataset, mode, memory) for memory in found.memories(dataset, mode)]
    if len(groups) < 2:
        return []
    header = ["method"]
    for group in groups:
        header += [f"final, {group.memory} rows per class", "against mean", "error over"]
    cells = {name: [group.cell(name) for group in groups] for name in METHODS}
    rows = []
    for name, mine in cells.items():
        if any(cell in found.outcomes for cell in mine):
            rows.append([METHODS[name].words, *(text for cell in mine for text in _final(found, cell))])
    return markdown(header, rows)


def _final(found: Found, cell: Cell) -> list[str]:
    final, gain = found.mean(cell, _FINAL), found.difference(cell, "mean", _FINAL)
    against = NOTHING if cell.method == "mean" else number(gain, sign=True)
    return [number(final), against, final.over("place") if final.number else NOTHING]


_FINAL = "final_accuracy"


def steps_table(found: Found, group: Group, methods: Sequence[str]) -> list[str]:
    """What the log of the steps says: conflicts, descent, who decides, the memory, edits."""
    header = (
        "method", "pairs in conflict [%]", "steps with some loss rising [%]",
        f"one gradient above {100 * NEARLY_ALL:.0f} % of the weight [% of steps]",
        "memory memorised [% of steps]",
        "length of d with a memory (median)", "edit per row (L2)",
    )  # fmt: skip
    rows = []
    for name in methods:
        means = {step: found.mean(group.cell(name), step).mean for step in STEPS}
        shares = [_short(means[step], 1) for step in ("conflict", "ascent", "alone", "memorised")]
        edited = f"{means['edited']:.4f}" if means["edited"] else NOTHING
        rows.append([METHODS[name].words, *shares, _short(means["length"], 2), edited])
    return markdown(header, rows)


def sigma_table(found: Found, group: Group) -> list[str]:
    """Elastic factors of every mode, without and with editing, and what editing adds in pairs."""
    rows = []
    for mode_of_sigma in SIGMAS:
        name = "elastic" if mode_of_sigma == "softmax_ema" else f"elastic-{mode_of_sigma}"
        plain, edited = group.cell(name), group.cell(f"{name}-align")
        if plain in found.outcomes and edited in found.outcomes:
            accuracies = [number(found.mean(cell, "final_accuracy")) for cell in (plain, edited)]
            forgetting = [number(found.mean(cell, "forgetting")) for cell in (plain, edited)]
            gain = found.difference(edited, name, "final_accuracy")
            cells = [*accuracies, number(gain, sign=True), *forgetting, gain.over("place")]
            rows.append([mode_of_sigma, *cells])
    header = ("sigma", "final", "final, editing", "editing adds", "F", "F, editing", "error over")
    return markdown(header, rows) if len(rows) > 1 else []


def _short(value: float, digits: int) -> str:
    return NOTHING if math.isnan(value) else f"{value:.{digits}f}"
