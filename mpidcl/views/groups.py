"""Several runs side by side: groups of runs that differ only by seed, and paired differences between them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from mpidcl.errors import RunFolderError
from mpidcl.printable import one_line
from mpidcl.record.measures import Measure
from mpidcl.record.records import AgentRecord, one_per_model
from mpidcl.record.settings import ABSENT, shown, varying
from mpidcl.views.mean_error import MARK, MeanError, Pair, paired_mean
from mpidcl.views.run import Run
from mpidcl.views.views import Views

SO_FAR = "(unfinished: so far)"
_NOT_THE_METHOD = ("name", "seed")


@dataclass(frozen=True)
class Group:
    """Runs of one experiment that differ by seed only, in the order they were given.

    `beside`: the main measure of what it is compared with; None: its own.
    """

    label: str
    runs: tuple[Run, ...]
    beside: Measure | None = None

    def values(self, metric: str) -> dict[Pair, float]:
        """The metric of every agent of every run, by (seed, agent); one value where agents share a model.

        NaN for a metric that the run's kind of stream does not have, or that is of another main measure than
        the one that it is compared with.
        """
        if metric in self.unlike:
            return dict.fromkeys(self.models, np.nan)
        views = self.runs[0].views
        return {pair: views.metrics(record).get(metric, np.nan) for pair, record in self.models.items()}

    @property
    def own(self) -> Measure:
        """The main measure of its runs."""
        return self.records[0].main

    @property
    def main(self) -> Measure:
        """The main measure by which it is compared."""
        return self.beside or self.own

    @cached_property
    def unlike(self) -> frozenset[str]:
        """Metrics that are computed from another measure than the one that it is compared by."""
        views = self.runs[0].views
        of = views.measured_by(self.records) if self.own != self.main else {}
        return frozenset(name for name, measure in of.items() if measure != self.main.name)

    @property
    def main_metric(self) -> str:
        """By which groups are compared first: the main measure at the end."""
        return f"final_{self.main.name}"

    @property
    def final(self) -> MeanError:
        """The main measure at the end, as `mean` gives it."""
        return self.mean(self.main_metric)

    @property
    def finished(self) -> bool:
        """Whether all runs are; of others it is not known what they have sent and how long they took."""
        return all(run.finished for run in self.runs)

    @property
    def records(self) -> list[AgentRecord]:
        """Of all runs."""
        return [record for run in self.runs for record in run.records]

    @property
    def models(self) -> dict[Pair, AgentRecord]:
        """Of all runs, by (seed, agent); the first agent of those that share a model."""
        return {
            (run.seed, record.agent): record for run in self.runs for record in one_per_model(run.records)
        }

    @property
    def unit(self) -> str:
        """What one value belongs to."""
        return "agent" if len(self.models) == len(self.records) else "model"

    @property
    def mark(self) -> str:
        """MARK where errors are over the agents of one seed."""
        return MARK * (len(self.runs) == 1 and len(self.models) > 1)

    @property
    def marked(self) -> str:
        """The label with the mark."""
        return self.label + self.mark

    def mean(self, metric: str) -> MeanError:
        """Mean over agents and seeds, with the standard error over seeds."""
        return paired_mean(self.values(metric))

    def per_agent(self, quantity: str) -> float:
        """`sent_bytes`, `wire_bytes` or `paper_floats` sent by one agent in one run, on average."""
        return float(np.mean([run.total(quantity) / run.summary["agents"] for run in self.runs]))


@dataclass(frozen=True, slots=True)
class Difference:
    """Other minus first, over the (seed, agent) pairs that both groups have."""

    label: str
    values: dict[Pair, float]
    lower: bool = False
    """Whether lower values are better."""

    @property
    def mean(self) -> MeanError:
        """Mean of the differences, with the standard error over seeds."""
        return paired_mean(self.values)

    @property
    def higher(self) -> int:
        """In how many pairs the other is larger."""
        return sum(value > 0 for value in self.values.values())

    @property
    def better(self) -> int:
        """In how many pairs the other is better, as the main measure says."""
        return sum(value < 0 for value in self.values.values()) if self.lower else self.higher


def views_of(groups: Sequence[Group]) -> Views:
    """The views of all runs, which are the same."""
    return groups[0].runs[0].views


def group_runs(runs: Sequence[Run]) -> list[Group]:
    """Groups in order of their first run. Raises RunFolderError when two runs of a group have one seed."""
    found: dict[tuple[tuple[str, str], ...], dict[int, Run]] = {}
    for run in runs:
        method = {key: repr(value) for key, value in run.settings.items() if key not in _NOT_THE_METHOD}
        other = found.setdefault(tuple(sorted(method.items())), {}).setdefault(run.seed, run)
        if other is not run:
            raise RunFolderError(
                f"Runs of one experiment should have different seeds to be compared. `{other.path}` and "
                f"`{run.path}` both have seed {run.seed}: they are the same run twice. Leave one out."
            )
    members = [tuple(by_seed.values()) for by_seed in found.values()]
    labels, main = _labels([one[0] for one in members]), runs[0].records[0].main
    groups = [Group(label, own, main) for label, own in zip(labels, members, strict=True)]
    return [replace(group, label=f"{group.label}{_state(group)}") for group in groups]


def _state(group: Group) -> str:
    """Behind its name: what makes its numbers doubtful."""
    diverged = sum(1 for run in group.runs if run.diverged)
    lost = f" (diverged: {diverged} of {len(group.runs)} runs)" if diverged else ""
    return lost + ("" if group.finished else f" {SO_FAR}")


def paired_differences(groups: Sequence[Group], metric: str) -> list[Difference]:
    """Each later group against the first, pair by pair; values that are NaN in either are left out."""
    base, lower = groups[0].values(metric), groups[0].main.better == "lower"
    found = []
    for group in groups[1:]:
        every = {pair: value - base.get(pair, np.nan) for pair, value in group.values(metric).items()}
        known = {pair: value for pair, value in every.items() if not np.isnan(value)}
        found.append(Difference(group.label, known, lower))
    return found


def of_one_measure(groups: Sequence[Group]) -> list[Group]:
    """Those with the main measure of the first: a figure has one axis for it."""
    return [group for group in groups if group.own == groups[0].own]


def left_out(groups: Sequence[Group]) -> list[str]:
    """What is not compared because runs measure different things, and why; none where all are alike."""
    others = [group for group in groups if group.own != groups[0].own]
    if not others:
        return []
    first, views = groups[0], views_of(groups)
    unlike = {name: None for group in others for name in group.unlike}
    words = [one.words for name, one in views.shown(first.records).items() if name in unlike]
    own = "; ".join(f"{group.label}: {group.own.words}" for group in (first, *others))
    return [
        f"The main measures differ ({own}). Compared is what both measure, by name; left out are figures of"
        f" the main measure, and what is computed from it: {', '.join(words)}."
    ]


def diverged(groups: Sequence[Group]) -> list[str]:
    """Which runs have diverged, over whose seeds means are taken all the same."""
    lost = [f"{group.label} seed {run.seed}" for group in groups for run in group.runs if run.diverged]
    if not lost:
        return []
    return [
        f"Warning: parameters are no longer finite numbers in {'; '.join(lost)}. The means of these rows hold"
        " their results, which mean nothing: leave these runs out, or lower learning.lr."
    ]


def distinguishing_settings(groups: Sequence[Group]) -> dict[str, list[str]]:
    """The settings in which the groups differ: key to one text per group."""
    all_settings = [group.runs[0].settings for group in groups]
    keys = [key for key in varying(all_settings) if key not in _NOT_THE_METHOD]
    return {key: [shown(settings.get(key, ABSENT)) for settings in all_settings] for key in keys}


def _labels(firsts: Sequence[Run]) -> list[str]:
    """The experiments' names where they tell the groups apart, else the folders' names, else their paths."""
    for names in ([run.name for run in firsts], [one_line(run.path.name) for run in firsts]):
        if len(set(names)) == len(names):
            return names
    return [one_line(str(run.path)) for run in firsts]
