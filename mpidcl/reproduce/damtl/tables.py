"""Tables of what was found: methods, strengths, conditions, losses, and what was expected."""

from __future__ import annotations

import math

from mpidcl.base.quantities import NOTHING
from mpidcl.reproduce.cells import markdown, number, seeds_text
from mpidcl.reproduce.damtl.cells import CONDITIONS, LOSSES, Cell
from mpidcl.reproduce.damtl.found import MAIN, Found
from mpidcl.reproduce.damtl.methods import CENTRAL, FORMS, LINEAR, Method, words_of
from mpidcl.reproduce.damtl.orderings import judged
from mpidcl.views.mean_error import MeanError

SHOWN = {
    "ring": {"error": "error"},
    "field": {"error": "error", "mse": "MSE of the map"},
    "student": {"mse": "MSE", "r2": "R²"},
}
"""Numbers of a part that its table has, beside those of each group of the students."""
SCHOOLS = ("GP mathematics", "GP Portuguese", "MS mathematics", "MS Portuguese")
"""The groups of the students, in order."""
Row = tuple[str, ...]


def method_table(found: Found, part: str, setting: str) -> list[str]:
    """Methods without a relation, each form by the rule and at its best strength, closed forms."""
    header, rows = method_rows(found, part, setting)
    return markdown(header, rows)


def method_rows(found: Found, part: str, setting: str) -> tuple[Row, list[Row]]:
    """The same, without lines."""
    schools = SCHOOLS if part == "student" else ()
    header = (
        "method", "strength", *SHOWN[part].values(), *(f"R²: {name}" for name in schools),
        "against local [%]", "against group only [%]", "seeds",
    )  # fmt: skip
    rows = []
    for method, strength in _methods(found, part, setting):
        cell = Cell(part, setting, method.name)
        means = [small(found.mean(cell, name)) for name in SHOWN[part]]
        by_group = [small(found.mean(cell, f"r2_{place}")) for place in range(len(schools))]
        bases = [Cell(part, setting, name) for name in ("local", "group-only")]
        changes = [
            NOTHING if base == cell else number(found.change(cell, base, MAIN[part]), sign=True)
            for base in bases
        ]
        seeds = seeds_text(sorted(found.outcomes[cell]))
        rows.append((words_of(method.family), strength, *means, *by_group, *changes, seeds))
    return header, rows


def _methods(found: Found, part: str, setting: str) -> list[tuple[Method, str]]:
    """Methods of the table, and what it says of their strength."""
    listed = []
    for family in (*LINEAR, *FORMS, *CENTRAL):
        if family in FORMS and found.methods(part, setting, [family])[:1] == [Method(family)]:
            listed.append((Method(family), "rule"))
        if best := found.tuned(part, setting, family):
            listed.append((best, NOTHING if best.strength is None else _placed(found, part, setting, best)))
    return listed


def _placed(found: Found, part: str, setting: str, best: Method) -> str:
    """`0.03, best`; a best at an end of its grid may not be the best that there is."""
    tried = [one.strength for one in found.methods(part, setting, [best.family]) if one.strength is not None]
    inside = min(tried) < (best.strength or 0) < max(tried)
    return f"{best.strength:g}, best" + (" (end of the grid)" if not inside else "")


def strength_table(found: Found, part: str, setting: str) -> list[str]:
    """The main number of every form at every strength; empty without any."""
    methods = found.methods(part, setting, FORMS)
    strengths = sorted({one.strength for one in methods if one.strength is not None})
    if not strengths:
        return []
    rows = [
        [words_of(family)]
        + [
            small(found.mean(Cell(part, setting, Method(family, one).name), MAIN[part]))
            for one in (None, *strengths)
        ]
        for family in dict.fromkeys(one.family for one in methods)
    ]
    name = SHOWN[part][MAIN[part]]
    return markdown([f"{name} at strength", "rule", *(f"{one:g}" for one in strengths)], rows)


def ordering_rows(found: Found) -> list[Row]:
    """What was expected of each setting, and what the runs say."""
    return [
        (one.words, one.where, number(one.change, sign=True), one.change.over("run"), one.verdict)
        for one in judged(found)
    ]


ORDERINGS = ("claim", "setting", "change of the error [%]", "error over", "verdict")


def condition_rows(found: Found, setting: str) -> tuple[Row, list[Row]]:
    """Every condition: the error, how much more than without any, and whether that is beyond chance."""
    header: Row = ("condition", "error", "against none [%]", "beyond chance", "age of messages [s]", "seeds")
    rows: list[Row] = []
    for name, words in CONDITIONS.items():
        cell = Cell("conditions", setting, name)
        if cell in found.outcomes:
            base = Cell("conditions", setting, "none")
            change = None if cell == base else found.change(cell, base, "error")
            rows.append(
                (
                    words,
                    small(found.mean(cell, "error")),
                    number(change, sign=True),
                    NOTHING if change is None else "yes" if change.clear else "no",
                    number(found.mean(cell, "age")),
                    seeds_text(sorted(found.outcomes[cell])),
                )
            )
    return header, rows


def digit_rows(found: Found) -> tuple[Row, list[Row]]:
    """Final accuracy by loss, a column for what stands in for a silent neighbour."""
    ways = found.settings("digits")
    header: Row = ("frames lost [%]", *(f"final accuracy [%]: {way}" for way in ways), "seeds")
    rows = []
    for loss in LOSSES:
        mine = [Cell("digits", way, f"loss-{loss}") for way in ways]
        seeds = sorted({seed for cell in mine for seed in found.outcomes.get(cell, {})})
        if seeds:
            means = [number(found.mean(cell, "final")) for cell in mine]
            rows.append((str(loss), *means, seeds_text(seeds)))
    return header, rows


def small(found: MeanError) -> str:
    """`0.0412 ± 0.0031`: errors are often far below 1."""
    if math.isnan(found.mean):
        return NOTHING
    text = f"{found.mean:.4f}"
    return text if math.isnan(found.standard_error) else f"{text} ± {found.standard_error:.4f}{found.mark}"
