"""What a view is: one thing that can be seen in a run, with its numbers, its words and its figures."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from mpidcl.experiment.part import Part
from mpidcl.record.measures import Measure
from mpidcl.record.records import AgentRecord
from mpidcl.views.mean_error import ONE_SEED
from mpidcl.views.units import told

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from mpidcl.views.groups import Group
    from mpidcl.views.run import Run


class Tile(NamedTuple):
    """A number at the top of a page, what stands small beside it (None: nothing), and words below it."""

    number: str
    small: str | None
    words: str


class Below(NamedTuple):
    """What stands below a figure: the macro `table` of a template of `mpidcl.report`, and its facts."""

    template: str
    facts: Mapping[str, object]


@dataclass(frozen=True)
class Sheet:
    """A figure to be drawn: its file's name without suffix, its title, how to read it, who draws it.

    `draw` gives None for a figure that is left out. `below`: what stands below it on the page.
    """

    name: str
    title: str
    reading: str
    draw: Callable[[], Figure | None]
    below: Below | None = None

    @classmethod
    def of(
        cls, name: str, title: str, draw: Callable[..., Figure], *known: object, main: Measure | None = None
    ) -> Sheet:
        """What `draw(*known)` draws. How to read it is the docstring of `draw`, told of the measure."""
        reading = " ".join((draw.__doc__ or "").split())
        return cls(name, title, told(reading, main) if main else reading, partial(draw, *known))

    @classmethod
    def of_groups(cls, name: str, title: str, draw: Callable[..., Figure], groups: Sequence[Group]) -> Sheet:
        """The same for several runs, told of their main measure; marks in it are explained."""
        one = cls.of(name, title, draw, groups, main=groups[0].main)
        return replace(one, reading=one.reading + ONE_SEED * any(group.mark for group in groups))


@dataclass(frozen=True)
class Metric:
    """What a metric is called in each place that shows it; where it has no words there it is not shown.

    `words`: in the table of one run. `compared`: in the table of several. `papers`: in another table of
    several, of what papers print. `panel`: at its axis in a figure of several, right of the panel of the
    metric `beside`, if that is the main one. `differs`: whether a figure shows its paired differences.
    `unit`: "%" for fractions that are shown as percent. `of`: the measure that it is computed from, where its
    name does not say so: runs of another one are not compared by it. `digits`: form of the numbers in figures
    of several runs.
    """

    name: str
    words: str = ""
    unit: str = ""
    compared: str = ""
    panel: str = ""
    differs: bool = False
    beside: str = ""
    of: str = ""
    papers: str = ""
    digits: str = ".2f"


class View(Part):
    """Base of all views: shows nothing. Methods that get a record get one that the view `sees`.

    Importing a view imports no matplotlib: what draws is imported by the methods that give sheets.
    """

    room = "view"
    name: ClassVar[str] = "view"
    reads: ClassVar[tuple[str, ...]] = ()
    """Measures and tables; where one of them is there, it has something to show. None: it always has."""
    instead_of: ClassVar[tuple[str, ...]] = ()
    """Names of views that mean nothing where this one has something to show."""

    def sees(self, record: AgentRecord) -> bool:
        """Whether there is something to show of an agent."""
        measures = {measure.name for measure in record.measures}
        return not self.reads or any(name in measures or record.has(name) for name in self.reads)

    def metrics(self, record: AgentRecord) -> dict[str, float]:
        """Metrics of one agent by name, NaN where the run cannot define one."""
        return {}

    def shown(self, record: AgentRecord) -> Sequence[Metric]:
        """All of its metrics in the order of a table, also where another view is in its place."""
        return ()

    def summary(self, records: Sequence[AgentRecord]) -> dict[str, object]:
        """What it adds to `summary.json`, beside the metrics: tables, numbers, texts, lists of those."""
        return {}

    def tiles(self, run: Run) -> list[Tile]:
        """Numbers at the top of the page of a run."""
        return []

    def reading(self, run: Run) -> str:
        """How to read the metrics in the table of a run."""
        return ""

    def lines(self, run: Run) -> list[str]:
        """Lines in the terminal, below the traffic of a finished run."""
        return []

    def notices(self, run: Run) -> list[str]:
        """Paragraphs of the page, above the figures."""
        return []

    def columns(self, groups: Sequence[Group]) -> dict[str, list[str]]:
        """Columns of the table that compares groups: a text for each group, by heading."""
        return {}

    def sheets(self, run: Run) -> list[Sheet]:
        """The figures of one run; those that have nothing to show are left out."""
        return []

    def group_sheets(self, groups: Sequence[Group]) -> list[Sheet]:
        """The figures of several runs."""
        return []
