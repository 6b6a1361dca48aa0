"""The orderings that the publication claims, tested on paired differences per (seed, agent)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from mpidcl.reproduce.cells import markdown, number
from mpidcl.reproduce.found import Found
from mpidcl.reproduce.protocol import DATA_SETS, ROWS, TOPOLOGIES
from mpidcl.views.mean_error import MeanError

SINGLE_DATA_SETS = ("mnist", "kmnist", "fashion-mnist", "cifar100", "digits")
SMALL = 1.0
"""Points that "hardly differs", "does not gain" and "at least as good" allow."""
HOLDS, FAILS, UNDECIDED = "holds", "**does not hold**", "undecided"
NO_RUN = "not run"


@dataclass(frozen=True)
class Claim:
    """`row` is better than `base` in `metric` on these data sets.

    `kind`: "more": by more than chance. "no gain": not better by more than chance, and surely by less than
    SMALL points. "no loss": the same of worse. "small": the difference is within SMALL points.
    """

    words: str
    row: str
    base: str
    metric: str
    datasets: tuple[str, ...]
    kind: str = "more"


def claims(found: Found) -> Iterator[Claim]:
    """The orderings of the publication, and that all modes together beat the best single one."""
    everywhere = (*DATA_SETS, "digits")
    final, current = "final_accuracy", "learning_speed_current"
    isolated = "modular-isolated"
    yield Claim("modules beat isolated agents", "modmod-1", isolated, final, everywhere)
    yield Claim("modules (k = 3) beat isolated agents", "modmod-3", isolated, final, everywhere)
    alike = "modular-isolated-joint"
    words = "modules beat isolated agents that begin with the same tasks"
    yield Claim(words, "modmod-1", alike, final, everywhere)
    few = ("mnist", "kmnist", "digits")
    yield Claim("modular nets gain from data", "modular-data", isolated, final, few)
    often, seldom = "monolithic-parameters-5", "monolithic-parameters-100"
    words = "monolithic averaging gains from a shorter period"
    yield Claim(words, often, seldom, final, SINGLE_DATA_SETS)
    words = "monolithic averaging does not gain from a shorter period on combined"
    yield Claim(words, often, seldom, final, ("combined",), "no gain")
    averaging = "modular-parameters-5"
    yield Claim("averaging hurts modular nets on CIFAR-100", isolated, averaging, final, ("cifar100",))
    for other in (isolated, alike, averaging, "modular-data"):
        words = f"modules learn the current task faster than {ROWS[other].words}"
        yield Claim(words, "modmod-1", other, current, everywhere)
    for shape in TOPOLOGIES:
        words = f"for averaging {shape} hardly differs from complete"
        yield Claim(words, f"{averaging}-{shape}", averaging, current, everywhere, "small")
    for dataset in everywhere:
        best = best_single(found, dataset)
        if best:
            words = f"all modes beat the best single mode ({ROWS[best].words})"
            yield Claim(words, "all-modes", best, final, (dataset,))
            words = f"all modes are at least as good as the best single mode ({ROWS[best].words})"
            yield Claim(words, "all-modes", best, final, (dataset,), "no loss")
    words = "all modes are at least as good as modules, k = 3, which they do not contain"
    yield Claim(words, "all-modes", "modmod-3", final, everywhere, "no loss")


SINGLE_MODES = (
    "modular-parameters-5",
    "modular-parameters-100",
    "modular-data",
    "modmod-1",
)
"""What is combined in all-modes, each alone; k = 3 is another budget."""


def best_single(found: Found, dataset: str) -> str | None:
    """The single mode, of those that were run, with the best mean final accuracy.

    Over the (seed, agent) pairs that all modes have, too; None where there are none.
    """
    behind = {row: found.difference(dataset, "all-modes", row, "final_accuracy") for row in SINGLE_MODES}
    known = {row: difference.mean for row, difference in behind.items() if difference}
    return min(known, key=lambda row: known[row], default=None)


def verdict(difference: MeanError, kind: str = "more") -> str:
    """Holds, does not hold, or undecided: by the 95 % interval of the mean difference; one seed has none."""
    mean, reach = difference.mean, difference.reach
    if kind == "small":
        low, high = abs(mean) - reach, abs(mean) + reach
        return HOLDS if high < SMALL else FAILS if low > SMALL else UNDECIDED
    if kind == "no loss":
        mean, kind = -mean, "no gain"
    if kind == "no gain":
        return FAILS if mean > reach else HOLDS if mean + reach < SMALL else UNDECIDED
    return HOLDS if mean > reach else FAILS if -mean > reach else UNDECIDED


@dataclass(frozen=True)
class Judged:
    """A claim on one data set with its paired difference (points, or area) and the verdict on it."""

    claim: Claim
    dataset: str
    difference: MeanError
    better: int
    verdict: str


def judge(found: Found) -> list[Judged]:
    """Every claim on every data set where both rows were run."""
    judged = []
    for claim in claims(found):
        for dataset in claim.datasets:
            paired = found.paired(dataset, claim.row, claim.base, claim.metric)
            if paired:
                said = verdict(paired.mean, claim.kind)
                judged.append(Judged(claim, dataset, paired.mean, paired.better, said))
    return judged


def orderings_table(found: Found) -> list[str]:
    """All judged claims, one line each."""
    header = ("claim", "data set", "metric", "difference", "better in", "error over", "verdict")
    rows = [
        [
            one.claim.words, one.dataset, one.claim.metric.replace("_", " "),
            number(one.difference, sign=True), f"{one.better} of {one.difference.number}",
            one.difference.over(), one.verdict,
        ]
        for one in judge(found)
    ]  # fmt: skip
    return markdown(header, rows) if rows else ["No two rows that a claim compares have runs yet.", ""]
