"""What became of every candidate module: the learner writes it, views read it."""

from __future__ import annotations

from dataclasses import dataclass

DECISIONS, STRUCTURES = "modules", "structures"
"""Tables: a row per decision; `share` [tasks, modules, depth] of each module in each layer, 0: hidden."""


@dataclass(frozen=True, slots=True)
class ModuleDecision:
    """What became of one candidate module when its task was learned.

    `candidate` counts from 0 among the candidates of the task; `module` is the number that it has in its
    agent from then on, -1 when it was dropped. The accuracies are fractions of the task's validation rows,
    with the candidate and without it. `source` (agent), `source_task` and `source_module` say whose module
    it began as, -1 for one that began at random, and `similarity` how like the two tasks were (NaN: nobody
    said). `modules` is how many modules the agent has after the decision.
    """

    task: int
    candidate: int
    module: int
    with_accuracy: float
    without_accuracy: float
    source: int
    source_task: int
    source_module: int
    similarity: float
    modules: int

    @property
    def kept(self) -> bool:
        """Whether the candidate became a module."""
        return self.module >= 0

    @property
    def received(self) -> bool:
        """Whether it began as a module of another agent."""
        return self.source >= 0

    @property
    def gain(self) -> float:
        """Accuracy that the candidate added, in 0..1."""
        return self.with_accuracy - self.without_accuracy
