"""What a learner of experts writes down at the end of each task: views read it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mpidcl.learning.experts.specialisation import Specialisation
from mpidcl.record.tables import Table, Tables, from_columns, to_columns

EXPERTS, ROUTING, CLASSES, CHANGES = "experts", "routing", "expert_classes", "expert_changes"
"""Tables: a row per task and expert, per task, per task and class, per change."""
CAME, FROZEN, WENT = range(3)


@dataclass(frozen=True, slots=True)
class ExpertRow:
    """An expert when `task` had been learned. `used`, `frozen`: 0 or 1 while it was learned.

    `load` is its share of the gates of all probe rows, where each class counts the same, `entropy` that of
    the classes of its gates in nats, `specialisation` 1 - entropy / log(classes); both NaN where it got no
    weight, the last one also where there is one class.
    """

    task: int
    expert: int
    load: float
    entropy: float
    specialisation: float
    used: int
    frozen: int


@dataclass(frozen=True, slots=True)
class RoutingRow:
    """The router when `task` had been learned, on `rows` probe rows of `classes` classes.

    `information`: mutual information in nats of class and expert; `shuffled`: the same when labels are
    shuffled. `balance`: entropy of the load, 1 for even use of the experts in use. `confidence`: 1 - mean
    entropy of the gates of a row, 1 where one expert has all of it.
    """

    task: int
    rows: int
    classes: int
    information: float
    shuffled: float
    balance: float
    confidence: float


@dataclass(frozen=True, slots=True)
class ExpertChange:
    """What became of an expert with `task`. `change`: 0 it came into use, 1 it was frozen, 2 it went.

    `other`: the expert whose weights it got, or that took its largest ones; -1: none.
    """

    task: int
    expert: int
    change: int
    other: int


class ExpertLog:
    """The tables of one learner."""

    def __init__(self) -> None:
        self.experts: list[ExpertRow] = []
        self.routing: list[RoutingRow] = []
        self.changes: list[ExpertChange] = []
        self._classes: list[tuple[int, int, npt.NDArray[np.float64]]] = []

    def add(
        self,
        task: int,
        rows: int,
        found: Specialisation,
        used: npt.NDArray[np.bool_],
        frozen: npt.NDArray[np.bool_],
    ) -> None:
        """What was measured on `rows` probe rows when `task` had been learned."""
        columns = zip(found.load, found.entropy, found.specialisation, used, frozen, strict=True)
        self.experts += [
            ExpertRow(task, expert, float(load), float(inside), float(special), int(use), int(stays))
            for expert, (load, inside, special, use, stays) in enumerate(columns)
        ]
        there = np.flatnonzero(found.mass.sum(1))
        self.routing.append(
            RoutingRow(
                task,
                rows,
                len(there),
                found.information,
                found.shuffled,
                found.balance,
                found.confidence,
            )
        )
        self._classes += [(task, label, found.mass[label].copy()) for label in there.tolist()]

    def tables(self) -> Tables:
        """All of them; none before the first task ended."""
        if not self.experts and not self.changes:
            return {}
        found = {
            EXPERTS: to_columns(ExpertRow, self.experts),
            ROUTING: to_columns(RoutingRow, self.routing),
            CHANGES: to_columns(ExpertChange, self.changes),
        }
        if self._classes:
            task, label, mass = zip(*self._classes, strict=True)
            found[CLASSES] = {"task": np.array(task), "label": np.array(label), "mass": np.stack(mass)}
        return found

    def load_tables(self, tables: Mapping[str, Table]) -> None:
        """Go on with those of a checkpoint."""
        self.experts = from_columns(ExpertRow, tables.get(EXPERTS, to_columns(ExpertRow, [])))
        self.routing = from_columns(RoutingRow, tables.get(ROUTING, to_columns(RoutingRow, [])))
        self.changes = from_columns(ExpertChange, tables.get(CHANGES, to_columns(ExpertChange, [])))
        self._classes = []
        if CLASSES in tables:
            task, label, mass = (np.asarray(tables[CLASSES][name]) for name in ("task", "label", "mass"))
            self._classes = [
                (int(t), int(c), np.asarray(m, dtype=np.float64))
                for t, c, m in zip(task, label, mass, strict=True)
            ]
