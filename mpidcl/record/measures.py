"""What is measured on a task: a name, what it is called, in what unit, and which way is better."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from mpidcl.errors import RecordError


@dataclass(frozen=True, slots=True)
class Measure:
    """A number per task, such as an accuracy.

    `name`: key in journals, in `results.h5` and in the names of metrics (`final_NAME`). `words`: for people.
    `unit`: "%" for fractions 0..1 that are shown as percent, else what stands behind the number ("" none).

    Raises ValueError for a name that cannot be a key.
    """

    name: str
    words: str = ""
    better: Literal["higher", "lower"] = "higher"
    unit: str = ""

    def __post_init__(self) -> None:
        if not self.name.isidentifier() or self.name in RESERVED:
            raise ValueError(
                "The name of a measure should be a word of letters, digits and _, and none of"
                f' {", ".join(sorted(RESERVED))}. Found "{self.name}".'
            )
        if not self.words:
            object.__setattr__(self, "words", self.name.replace("_", " "))


RESERVED = frozenset(
    ("agent", "task", "tick", "time", "wire_bytes", "paper_floats", "tested", "sent", "evaluation")
    + ("schedule_time", "agents", "measures", "ledger", "links", "tables", "timing")
)
"""Other keys of a journal's line and of `results.h5`."""
ACCURACY = Measure("accuracy", "accuracy", "higher", "%")
"""Fraction of the test rows that are answered right."""


def measured(
    owner: str, measures: Sequence[Measure], found: Mapping[str, Iterable[float]]
) -> dict[str, tuple[float, ...]]:
    """What `owner`, a class of learners, has found, in the order of its measures.

    Raises RecordError where that is not what it declares: every measure, and no other, finite or NaN, on the
    same tasks.
    """
    declared = [measure.name for measure in measures]
    said = f"{owner}.evaluate() should give the measures that the class declares"
    for name in declared:
        if name not in found:
            raise RecordError(
                f"{said}: {', '.join(declared)}. `{name}` is missing. Give it, or leave it out of `measures`."
            )
    for name in found:
        if name not in declared:
            raise RecordError(
                f'{said}: {", ".join(declared)}. Found `{name}`, too. Add Measure("{name}") to `measures`, or'
                " do not give it."
            )
    values = {name: tuple(float(value) for value in found[name]) for name in declared}
    for name, row in values.items():
        if any(map(math.isinf, row)):
            raise RecordError(
                f"{owner}.evaluate() should give finite numbers, or NaN where a task was not tested. Found"
                f" {row} for `{name}`."
            )
        if len(row) != len(values[declared[0]]):
            raise RecordError(
                f"{owner}.evaluate() should give all measures on the same tasks, NaN where one was not"
                f" measured. Found {len(row)} values for `{name}` and {len(values[declared[0]])} for"
                f" `{declared[0]}`."
            )
    return values
