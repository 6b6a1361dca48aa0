"""Which experts a run has left, those that went included, and what each of them was good at."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mpidcl.errors import ExperimentError
from mpidcl.experiment.file import Experiment
from mpidcl.learning.experts.log import CLASSES, EXPERTS
from mpidcl.learning.saved import RECORD, newest, part_of, saved

SPANS = "spans"
"""Key of a learner's state: where each expert lies in the flat parameters [N, 2]."""


@dataclass(frozen=True)
class Expert:
    """An expert of an agent. `went`: the task with which it went; None: it is in use, or never was.

    `load`, `specialisation` and `classes` (label -> share of its gates) as measured last; NaN and empty where
    they never were. `weights`: its floats.
    """

    agent: int
    number: int
    used: bool
    frozen: bool
    went: int | None
    load: float
    specialisation: float
    classes: Mapping[int, float]
    weights: npt.NDArray[np.float32]

    @property
    def standing(self) -> str:
        """In words."""
        if self.went is not None:
            return f"went with task {self.went}"
        if not self.used:
            return "never used"
        return "frozen" if self.frozen else "in use"


def inventory(run: Path) -> tuple[Experiment, list[Expert]]:
    """The experiment of a run, and all experts of its newest checkpoint. Some agents may have none.

    Raises ExperimentError for a folder without one, or without experts.
    """
    experiment, _ = newest(run)
    found = [one for agent in range(experiment.agents) for one in _of_agent(run, agent)]
    if not found:
        raise ExperimentError(
            f'`{run}` should be a run with learning.kind = "experts". Found no agent with experts.'
        )
    return experiment, found


def _of_agent(run: Path, agent: int) -> Iterator[Expert]:
    state = saved(run, agent).learner
    if SPANS not in state:
        return
    tables = part_of(run, agent, RECORD)[1]["tables"]
    parameters = np.asarray(state["parameters"]["parameters"], dtype=np.float32)
    for number, (first, last) in enumerate(np.asarray(state[SPANS]).tolist()):
        standing, gone = state["experts"], state["changes"]["retired"]
        tasks = [int(name.split()[0]) for name in gone if int(name.split()[1]) == number]
        used = bool(standing["used"][number])
        went = max(tasks) if tasks and not used else None
        weights = parameters[first:last] if went is None else np.asarray(gone[f"{went} {number}"])
        load, special = _measured(tables, number)
        yield Expert(
            agent,
            number,
            used,
            bool(standing["frozen"][number]),
            went,
            load,
            special,
            _classes(tables, number),
            weights,
        )


def _measured(tables: Mapping[str, Any], number: int) -> tuple[float, float]:
    """Load and specialisation when it was last in use."""
    table = tables.get(EXPERTS, {})
    rows = np.flatnonzero((table["expert"] == number) & (table["used"] == 1)) if table else np.zeros(0, int)
    if not len(rows):
        return np.nan, np.nan
    return float(table["load"][rows[-1]]), float(table["specialisation"][rows[-1]])


def _classes(tables: Mapping[str, Any], number: int) -> dict[int, float]:
    """Shares of the classes in its gates, at the last task at which it had any."""
    table = tables.get(CLASSES)
    if not table:
        return {}
    mass = np.asarray(table["mass"])[:, number]
    tasks = np.asarray(table["task"])[mass > 0]
    if not len(tasks):
        return {}
    rows = np.flatnonzero((np.asarray(table["task"]) == tasks.max()) & (mass > 0))
    total = float(mass[rows].sum())
    return {int(table["label"][row]): float(mass[row]) / total for row in rows}
