"""What is measured on a task: a name, what it is called, in what unit, and which way is better."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


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


RESERVED = frozenset({"agent", "task", "tick", "time", "wire_bytes", "paper_floats", "tested", "sent"})
"""Other keys of a journal's line and of `results.h5`."""
ACCURACY = Measure("accuracy", "accuracy", "higher", "%")
"""Fraction of the test rows that are answered right."""
