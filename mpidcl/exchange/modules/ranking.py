"""Which of an agent's own modules fit a neighbour's new task? The sender's side of a modules exchange.

`label` (oracle): overlap of classes, |C_t & C_u| / |C_t | C_u|, the published ranking on single data sets.
`leep`: LEEP of the agent's own answers for task u on the rows of the question (DCL, arXiv 2405.17466).
Only tasks that really added a module are ranked; among equal ones the lower task wins.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from mpidcl.exchange.capabilities import SharesModules
from mpidcl.exchange.knowledge import ModuleKnowledge
from mpidcl.exchange.modules.leep import Sources, Transfer, leep
from mpidcl.exchange.modules.options import ModulesOptions
from mpidcl.exchange.modules.queries import Heard
from mpidcl.exchange.packing.rows import Keys


class Ranked(NamedTuple):
    """A task that added a module, that module's number, how similar the task is (NaN: not known here), and
    the row of its head [C] that each class of the question takes."""

    task: int
    module: int
    similarity: float
    sources: Sources


def ranked(options: ModulesOptions, known: ModuleKnowledge, heard: Heard) -> list[Ranked]:
    """The agent's modules, the best for a question first; for an empty question the latest first."""
    found = [_rank(options, known, heard, task, module) for task, module in known.learner.added()]
    if options.rank_by == "leep" and heard.x is None:
        return sorted(found, key=lambda r: -r.task)
    known_ones = [r for r in found if np.isfinite(r.similarity)]
    return sorted(known_ones, key=lambda r: (-r.similarity, r.task))


def _rank(options: ModulesOptions, known: ModuleKnowledge, heard: Heard, task: int, module: int) -> Ranked:
    scored = _leep(options, known.learner, heard, task)
    similarity, sources = scored
    if heard.keys is not None:
        if options.rank_by == "label":
            similarity = overlap(heard.keys, known.classes(task).keys)
        if options.head_by == "classes":
            sources = known.classes(task).labels_of(heard.keys).astype(np.int16)
    # As it travels: both ends then order by the same number.
    return Ranked(task, module, float(np.float32(similarity)), sources)


def _leep(options: ModulesOptions, learner: SharesModules, heard: Heard, task: int) -> Transfer:
    if heard.x is None or heard.y is None:
        return Transfer(float("nan"), np.full(heard.classes, -1, np.int16))
    answers = learner.logits if options.query == "rows" else learner.logits_of_prepared
    return leep(answers(heard.x, task), heard.y, heard.classes)


def overlap(one: Keys, other: Keys) -> float:
    """Intersection over union of two sets of class keys."""
    both = len(np.intersect1d(one, other))
    return both / max(1, len(np.union1d(one, other)))
