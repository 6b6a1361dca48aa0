"""What is expected of the methods, decided by paired differences or said to be undecided."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from mpidcl.reproduce.damtl.cells import Cell
from mpidcl.reproduce.damtl.found import MAIN, Found
from mpidcl.reproduce.damtl.methods import FORMS, Method, words_of
from mpidcl.reproduce.orderings import FAILS, HOLDS, UNDECIDED, verdict
from mpidcl.views.mean_error import MeanError

LEARNED = ("logdet", "trace-one", "laplacian")
GAIN, NEAR = 30.0, 10.0
"""Percent of the acceptance rules (i) and (iii)."""


class Judged(NamedTuple):
    """A claim under a setting: how much larger the error is in percent, paired by seed, and the verdict."""

    part: str
    setting: str
    words: str
    change: MeanError
    verdict: str

    @property
    def where(self) -> str:
        """Part and setting."""
        return f"{self.part} {self.setting}"


def below(change: MeanError, limit: float) -> str:
    """Whether the change is surely below the limit: by its 95 % interval."""
    if change.mean + change.reach < limit:
        return HOLDS
    return FAILS if change.mean - change.reach > limit else UNDECIDED


def judged(found: Found) -> Iterator[Judged]:
    """All claims for which there are runs, setting by setting."""
    for part in ("ring", "field", "student"):
        for setting in found.settings(part):
            yield from _of_setting(found, part, setting)


def _of_setting(found: Found, part: str, setting: str) -> Iterator[Judged]:
    def change(method: Method | None, base: Method | None) -> MeanError | None:
        if method is None or base is None:
            return None
        cells = [Cell(part, setting, one.name) for one in (method, base)]
        return found.change(cells[0], cells[1], MAIN[part])

    group = Method("group-only")
    if said := change(group, Method("local")):
        words = f"(i) group only has an error more than {GAIN:g} % below local"
        yield Judged(part, setting, words, said, below(said, -GAIN))
    for form in FORMS:
        best = found.best(part, setting, form)
        named = "" if best is None else f" ({best.strength:g})"
        if said := change(best, group):
            words = f"(ii) {words_of(form)} at its best strength{named} is not worse than group only"
            yield Judged(part, setting, words, said, verdict(said, "no gain"))
        if said := change(Method(form), best):
            words = f"(iii) {words_of(form)} by the rule is within {NEAR:g} % of its best strength{named}"
            yield Judged(part, setting, words, said, below(said, NEAR))
    for form in LEARNED:
        for other in ("identity", "fixed"):
            if said := change(found.best(part, setting, form), found.best(part, setting, other)):
                words = f"{words_of(form)} is better than {words_of(other)}, both tuned (our question)"
                yield Judged(part, setting, words, said, below(said, 0.0))
    if said := change(Method("consensus"), Method("local")):
        words = "consensus of all groups is worse than local"
        yield Judged(part, setting, words, said, verdict(said))
