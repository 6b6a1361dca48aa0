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
    ("agent", "task", "tick", "time", "wire_bytes", "paper_floats", "tested", "sent", "evaluation", "ahead")
    + ("schedule_time", "agents", "measures", "ledger", "links", "tables", "timing")
)
"""Other keys of a journal's line and of `results.h5`."""
ACCURACY = Measure("accuracy", "accuracy", "higher", "%")
"""Fraction of the test rows that are answered right."""
TASK_ACCURACY = Measure("task_accuracy", "task accuracy", "higher", "%")
"""The same, where only the classes of the row's task are possible answers."""
TOP5 = Measure("top5", "top-5 accuracy", "higher", "%")
"""Fraction of the test rows whose class is among the five highest outputs."""


def declared_by(owner: str, measures: object) -> tuple[Measure, ...]:
    """The measures of `owner`, a class. Raises RecordError where they are none, or two have one name."""
    found = tuple(measures) if isinstance(measures, (tuple, list)) else ()
    names = [one.name for one in found if isinstance(one, Measure)]
    if not names or len(names) < len(found) or len(set(names)) < len(names):
        raise RecordError(
            f"{owner}.measures should hold at least one mpidcl.record.measures.Measure, each with its own"
            f' name, such as (Measure("mse", better="lower"),). Found {measures!r:.80}.'
        )
    return found


def measured(
    owner: str, measures: Sequence[Measure], found: Mapping[str, Iterable[float]], tasks: int | None = None
) -> dict[str, tuple[float, ...]]:
    """What `owner`, a class of learners, has found, in the order of its measures.

    `tasks`: how many there should be, None: any number. Raises RecordError where that is not what it
    declares: every measure, and no other, finite or NaN, on the same tasks.
    """
    declared = [measure.name for measure in measures]
    said = f"{owner}.evaluate() should give the measures that the class declares"
    if not isinstance(found, Mapping):
        raise RecordError(f"{said}, as {{name: values by task}}. Found {found!r:.80}.")
    listed = f"{said}: {', '.join(declared)}"
    if lost := [name for name in declared if name not in found]:
        raise RecordError(f"{listed}. `{lost[0]}` is missing. Give it, or leave it out of `measures`.")
    if more := [name for name in found if name not in declared]:
        raise RecordError(
            f'{listed}. Found `{more[0]}`, too. Add Measure("{more[0]}") to `measures`, or do not give it.'
        )
    try:
        values = {name: tuple(float(value) for value in found[name]) for name in declared}
    except (TypeError, ValueError):
        raise RecordError(f"{said}, one number for each task. Found {dict(found)!r:.200}.") from None
    for name, row in values.items():
        if not row or len(row) != (tasks or len(row)):
            raise RecordError(
                f"{owner}.evaluate() should give a value for each task so far, {tasks or 'at least one'}."
                f" Found {len(row)} for `{name}`."
            )
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
