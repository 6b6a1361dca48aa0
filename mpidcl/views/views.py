"""All views together: who has something to show of a run, and what they show, in order.

Ours come first, then those that installed packages declare (entry point `view.NAME` of `mpidcl.methods`),
then those that `mpidcl report --view` names.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cache, partial
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from mpidcl.base.notices import warn
from mpidcl.experiment import kinds
from mpidcl.record.records import AgentRecord
from mpidcl.views.base import Metric, Sheet, View

if TYPE_CHECKING:
    from mpidcl.views.groups import Group
    from mpidcl.views.run import Run

T = TypeVar("T")
P = ParamSpec("P")


class Views:
    """Several views. One of a user's that fails is named once, and left out from there on."""

    def __init__(self, ours: Iterable[View], theirs: Iterable[View] = ()) -> None:
        self._ours = list(ours)
        self._all = [*self._ours, *theirs]

    @property
    def ours(self) -> Views:
        """Without those of users: what every installation has."""
        return Views(self._ours)

    def seeing(self, record: AgentRecord) -> list[View]:
        """The views that have something to show of an agent, without those that others stand for."""
        return _in_place(self._candidates(record))

    def of(self, records: Iterable[AgentRecord]) -> list[View]:
        """Those that have something to show of any agent."""
        seeing = [view for record in records for view in self.seeing(record)]
        return [view for view in self._all if view in seeing]

    def _candidates(self, record: AgentRecord) -> list[View]:
        return [view for view in list(self._all) if self._ask(view, view.sees, record)]

    def _ask(self, view: View, question: Callable[P, T], *known: P.args, **more: P.kwargs) -> T | None:
        """The answer; None of a view that is left out."""
        if view in self._ours:
            return question(*known, **more)
        if view not in self._all:
            return None
        try:
            return question(*known, **more)
        except Exception as error:  # whatever a user's own code raises
            self._all.remove(view)
            kind = type(view)
            warn(
                f'the view "{view.name}" ({kind.__module__}:{kind.__qualname__}) is left out:'
                f" {type(error).__name__}: {error}"
            )
            return None

    def metrics(self, record: AgentRecord) -> dict[str, float]:
        """The metrics of one agent by name; NaN for those that mean nothing for it."""
        candidates, found = self._candidates(record), dict[str, float]()
        in_place = _in_place(candidates)
        for view in candidates:
            if view in in_place:
                found |= self._ask(view, view.metrics, record) or {}
            else:
                found |= {one.name: math.nan for one in self._ask(view, view.shown, record) or ()}
        return found

    def summary(self, records: Sequence[AgentRecord]) -> dict[str, object]:
        """What they add to the summary of a run."""
        return dict(self._each(self.of(records), lambda view: view.summary(records).items()))

    def measured_by(self, records: Iterable[AgentRecord]) -> dict[str, str]:
        """The measures that metrics are computed from whose names do not say so, by name of the metric."""
        return {name: one.of for name, one in self._merged(records, lambda _, one: one.of).items()}

    def shown(self, records: Iterable[AgentRecord]) -> dict[str, Metric]:
        """The metrics of these agents that a table of one run shows, by name, in order."""
        return self._merged(records, lambda _, one: one.words)

    def compared(self, records: Iterable[AgentRecord]) -> dict[str, Metric]:
        """The fewer ones by which runs are compared, the main one first."""
        return self._merged(records, lambda _, one: one.compared, lambda one: one.name)

    def papers(self, records: Iterable[AgentRecord]) -> dict[str, Metric]:
        """Those that papers print, for a table of their own."""
        return self._merged(records, lambda _, one: one.papers)

    def panels(self, records: Iterable[AgentRecord]) -> dict[str, Metric]:
        """Those that a figure compares, the main one first."""
        return self._merged(records, lambda _, one: one.panel, lambda one: one.beside or one.name)

    def differences(self, records: Sequence[AgentRecord]) -> dict[str, Metric]:
        """Those whose paired differences a figure shows: of the views that no other stands for."""
        views = _in_place(self.of(records))
        return self._merged(records, lambda view, one: one.differs and view in views, lambda one: one.name)

    def _merged(
        self,
        records: Iterable[AgentRecord],
        wanted: Callable[[View, Metric], object],
        first: Callable[[Metric], str] = lambda _: "",
    ) -> dict[str, Metric]:
        """Those `wanted`, in the order of the views; the main metric before those that are not `first`."""
        lists: list[dict[str, Metric]] = []
        mains: list[str] = []
        for record in records:
            mains.append(main := f"final_{record.main.name}")
            for view in self.seeing(record):
                found = [one for one in self._ask(view, view.shown, record) or () if wanted(view, one)]
                found.sort(key=lambda one: first(one) != main)
                lists.append({one.name: one for one in found})
        whole = merged(lists)
        if len(set(mains)) < 2:
            return whole
        return dict(sorted(whole.items(), key=lambda item: first(item[1]) != mains[0]))

    def each(self, run: Run, question: Callable[[View], Iterable[T]]) -> list[T]:
        """What all views that have something to show of a run give, such as their tiles."""
        return self._each(self.of(run.records), question)

    def _each(self, views: Iterable[View], question: Callable[[View], Iterable[T]]) -> list[T]:
        return [one for view in views for one in self._ask(view, question, view) or ()]

    def sheets(self, run: Run) -> list[Sheet]:
        """The figures of one run."""
        return self.each(run, lambda view: self._guarded(view, view.sheets(run)))

    def columns(self, groups: Sequence[Group]) -> dict[str, list[str]]:
        """Further columns of the table of groups."""
        return dict(self._each(self.of(records_in(groups)), lambda view: view.columns(groups).items()))

    def group_sheets(self, groups: Sequence[Group]) -> list[Sheet]:
        """The figures of several runs: of the views that no other stands for in any of them."""
        views = _in_place(self.of(records_in(groups)))
        return self._each(views, lambda view: self._guarded(view, view.group_sheets(groups)))

    def _guarded(self, view: View, sheets: Sequence[Sheet]) -> list[Sheet]:
        """Sheets whose drawing may fail, too."""
        return [replace(one, draw=partial(self._ask, view, one.draw)) for one in sheets]


def merged(lists: Iterable[Mapping[str, T]]) -> dict[str, T]:
    """All entries; one that only a later list has comes after the one that it follows there.

    One that nothing known comes before stands before the next known one.

    >>> merged([{"average": "", "final": "", "speed": ""}, {"first": "", "final": "", "all": ""}])
    {'average': '', 'first': '', 'final': '', 'all': '', 'speed': ''}
    """
    words: dict[str, T] = {}
    order: list[str] = []
    for found in lists:
        words = {**found, **words}
        place = min((order.index(name) for name in found if name in order), default=len(order))
        for name in found:
            if name not in order:
                order.insert(place, name)
            place = order.index(name) + 1
    return {name: words[name] for name in order}


def _in_place(views: Sequence[View]) -> list[View]:
    """Those that no other of them stands for."""
    replaced = {name for view in views for name in view.instead_of}
    return [view for view in views if view.name not in replaced]


def records_in(groups: Sequence[Group]) -> list[AgentRecord]:
    """The records of all groups."""
    return [record for group in groups for record in group.records]


@cache
def _declared() -> Views:
    ours = kinds.BUILT_IN["view"]
    theirs = sorted(set(kinds.known_kinds("view")) - set(ours))
    return Views(*([kinds.resolve("view", name)() for name in names] for names in (ours, theirs)))


def all_views(named: Sequence[str] = ()) -> Views:
    """Ours, those that packages declare, and those `named` as "module:Class".

    Raises ExperimentError where a name means no view.
    """
    found = _declared()
    theirs = [*found._all[len(found._ours) :], *(kinds.resolve("view", name)() for name in named)]
    return Views(found._ours, theirs)
