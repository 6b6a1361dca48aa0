"""What terms have in common that draw rows of the memory at each step."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import Field

from mpidcl.experiment import kinds
from mpidcl.experiment.options import Options
from mpidcl.experiment.part import Planned, Use
from mpidcl.experiment.problems import Problem
from mpidcl.learning.batches import Prepared
from mpidcl.learning.terms.base import Term, TermHost


class Drawing(Options):
    """How many rows are drawn."""

    rows_per_step: int | None = Field(
        None, ge=1, le=10**9, description="rows of each draw; by default learning.batch"
    )


class Rehearsing(Term):
    """Base: a term that draws `per_step` rows at each step, all different, or those that there are."""

    Options = Drawing
    options: Drawing

    def __init__(self, options: Drawing, host: TermHost) -> None:
        super().__init__(options, host)
        self.per_step = options.rows_per_step or host.batch

    @classmethod
    def problems(cls, use: Use) -> Iterator[Problem]:
        """A draw that is larger than the memory can ever be."""
        yield from super().problems(use)
        yield from draw_problems(use, use.options.rows_per_step)


def joining(host: TermHost) -> Prepared | None:
    """Remembered rows of other tasks than those in training, to join the pool of an epoch."""
    remembered = host.remembered(host.current)
    return remembered if len(remembered) else None


def draw_problems(use: Use, rows: int | None) -> Iterator[Problem]:
    """A draw of so many rows (None: `learning.batch`) that is larger than the memory can ever be."""
    most, wanted = most_rows(use), rows or use.mine.learning.batch
    if most is None or wanted <= most:
        return
    found = f"{wanted}" if rows else f"{wanted}, by default learning.batch"
    yield Problem(
        (*use.key, "rows_per_step"),
        f'should be at most {most}: memory.capacity = "{use.mine.memory.capacity}" has no room for more rows.'
        f" Found {found}",
    )


def most_rows(use: Use) -> int | None:
    """Rows that the memory that a term draws from may come to hold, as far as the file tells."""
    found = _own_rows(use)
    everybody = use.whole.agents if use.whole.memory.scope == "global" else 1
    return None if found is None else found * everybody


def _own_rows(use: Use) -> int | None:
    capacity, stream = use.mine.memory.capacity, use.mine.stream
    if not use.mine.memory.used or capacity.unit != "rows":
        return None
    if capacity.per is None:
        return capacity.count
    planned: Planned = kinds.resolve("stream", stream.kind).planned(stream.options)
    parts = {"task": 1, "class": planned.classes}[capacity.per]
    return None if planned.tasks is None or parts is None else capacity.count * planned.tasks * parts
