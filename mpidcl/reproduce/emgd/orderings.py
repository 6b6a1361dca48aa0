"""The orderings that the publication claims, tested on paired differences at the same places."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from mpidcl.reproduce.cells import markdown, number
from mpidcl.reproduce.emgd.found import Found
from mpidcl.reproduce.emgd.methods import METHODS
from mpidcl.reproduce.emgd.streams import Group
from mpidcl.reproduce.orderings import verdict
from mpidcl.views.mean_error import MeanError

OTHERS = ("mean", "sum", "mgda", "pcgrad", "upgrad")


@dataclass(frozen=True)
class Claim:
    """`method` is better than `base` in `metric`.

    `kind`: "more": by more than chance; "no loss": not worse by more than chance, and surely by less than a
    point. `theirs`: the publication says so; else it is a control of ours.
    """

    words: str
    method: str
    base: str
    metric: str = "final_accuracy"
    kind: str = "more"
    theirs: bool = True


def claims() -> Iterator[Claim]:
    """Those of the abstract, and our controls of what editing does."""
    for base in OTHERS:
        yield Claim(f"elastic ends more accurate than {METHODS[base].words}", "elastic", base)
    for base in OTHERS:
        words = f"elastic with editing ends more accurate than {METHODS[base].words}"
        yield Claim(words, "elastic-align", base)
    for base in OTHERS:
        yield Claim(f"elastic forgets less than {METHODS[base].words}", "elastic", base, "forgetting")
    for mode in ("gmc", "gs"):
        yield Claim(f"elastic with sigma = {mode} ends more accurate than mean", f"elastic-{mode}", "mean")
    words = "the floor of the public code adds accuracy to elastic without one"
    yield Claim(words, "elastic", "elastic-free", theirs=False)
    yield Claim("editing adds accuracy", "elastic-align", "elastic")
    for mode in ("ema_norm", "gmc", "gs", "ones"):
        words = f"editing adds accuracy with sigma = {mode}"
        yield Claim(words, f"elastic-{mode}-align", f"elastic-{mode}")
    yield Claim("editing does no harm", "elastic-align", "elastic", kind="no loss", theirs=False)
    for control, words in (("random", "random edits"), ("negated", "edits the other way")):
        yield Claim(f"editing beats {words}", "elastic-align", f"elastic-{control}", theirs=False)


@dataclass(frozen=True)
class Judged:
    """A claim on one stream in one mode, with its paired differences in points and the verdict on it."""

    claim: Claim
    group: Group
    difference: MeanError
    better: int
    verdict: str


def judge(found: Found) -> list[Judged]:
    """Every claim wherever both methods were run at the same places."""
    judged = []
    for claim in claims():
        for group, _ in found.groups():
            cell = group.cell(claim.method)
            values = found.differences(cell, claim.base, claim.metric)
            if values:
                mean = found.difference(cell, claim.base, claim.metric)
                better = sum(value > 0 for value in values.values())
                judged.append(Judged(claim, group, mean, better, verdict(mean, claim.kind)))
    return judged


def orderings_lines(found: Found) -> list[str]:
    """All judged claims, one line each, stream by stream."""
    judged = judge(found)
    if not judged:
        return ["No two methods that a claim compares have runs at the same place yet.", ""]
    header = (
        "claim", "stream", "mode", "rows per class", "difference", "better in", "error over", "verdict",
    )  # fmt: skip
    order = {group: place for place, (group, _) in enumerate(found.groups())}
    rows = [
        [
            one.claim.words + ("" if one.claim.theirs else " (our control)"), *map(str, one.group),
            number(one.difference, sign=True), f"{one.better} of {one.difference.number}",
            one.difference.over("place"), one.verdict,
        ]
        for one in sorted(judged, key=lambda one: order[one.group])
    ]  # fmt: skip
    return markdown(header, rows)
