"""Who decides the direction: does one gradient take the weight, and is the memory known by heart?"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mpidcl.learning.parallel.steps import StepLog

Doubles = NDArray[np.float64]
NEARLY_ALL = 0.9
"""Of the weight: from there on one gradient decides alone."""
SMALL = 0.1
"""Of the new tasks' mean: below it a loss, and a gradient, of the memory is small."""
OFTEN = 0.25
"""Of the steps: from there on the memory counts as memorised."""


class Alone(NamedTuple):
    """Shares (0..1) of the steps with several gradients in which one takes NEARLY_ALL of the weight.

    `memory`: in which that is the memory's gradient. Both NaN where the combiner gives no weights.
    """

    any: float
    memory: float


def largest_share(log: StepLog) -> Doubles:
    """Largest share of the weight, by absolute value, `[steps]`; NaN with one gradient or no weights."""
    return np.asarray(_shares(log).max(axis=1))


def decided_alone(log: StepLog) -> Alone:
    """How often one gradient decides."""
    found = _shares(log)
    found = found[~np.isnan(found[:, 0])]
    if not len(found):
        return Alone(np.nan, np.nan)
    return Alone(*(float((share > NEARLY_ALL).mean()) for share in (found.max(axis=1), found[:, 0])))


def memorised(log: StepLog) -> float:
    """Share (0..1) of the steps with a memory and new tasks in which the memory teaches nothing any more.

    Its rows have been repeated until they are known by heart: their loss is SMALL beside the mean loss of the
    new tasks' rows, which are seen for the first time, and so is the length of their gradient. Both, because
    a gradient is also short where rows disagree, and a loss also small at the end of an easy stream. NaN
    without such steps.
    """
    lengths = np.sqrt(np.diagonal(log.gram[: log.count], axis1=1, axis2=2))
    low = [_small(values) for values in (lengths, log.loss[: log.count])]
    both = with_memory(log)
    return float((low[0] & low[1])[both].mean()) if both.any() else np.nan


def with_memory(log: StepLog) -> NDArray[np.bool_]:
    """Which steps `[steps]` have a memory and new tasks."""
    present = log.present[: log.count]
    return np.asarray(present[:, 0] & present[:, 1:].any(axis=1), np.bool_)


def balance_lines(log: StepLog | None) -> list[str]:
    """For people: how often one gradient decides, and a warning where the memory is memorised.

    Empty without a log of steps that combine several gradients.
    """
    if log is None:
        return []
    alone, known = decided_alone(log), memorised(log)
    lines = []
    if not np.isnan(alone.any):
        lines.append(
            f"One gradient takes more than {NEARLY_ALL:.0%} of the weight in {alone.any:.0%} of the steps"
            f" with several, the memory's in {alone.memory:.0%}."
        )
    if known >= OFTEN:
        lines.append(
            f"Warning: the memory is memorised. In {known:.0%} of the steps that it shares with new tasks,"
            f" its loss and the length of its gradient are below {SMALL:.0%} of theirs. A combiner that"
            " weighs short gradients heavily (elastic without a floor, mgda) then makes short steps, and new"
            ' tasks hardly learn. More rows (memory.capacity), floor = "released" or another combiner may'
            " help."
        )
    return [line.replace("%", " %") for line in lines]


def _small(values: Doubles) -> NDArray[np.bool_]:
    """Whether the memory's value `[steps]` is SMALL beside the mean of the tasks'."""
    new = np.ma.masked_invalid(values[:, 1:]).mean(axis=1)
    return np.asarray(values[:, 0] < SMALL * np.ma.filled(new, 0), np.bool_)


def _shares(log: StepLog) -> Doubles:
    """Share of the weight of each slot `[steps, S]`; NaN with one gradient or no weights."""
    sizes = np.abs(np.nan_to_num(log.weights[: log.count]))
    total = sizes.sum(axis=1, keepdims=True)
    several = (log.present[: log.count].sum(axis=1, keepdims=True) > 1) & (total > 0)
    return np.asarray(np.divide(sizes, total, out=np.full_like(sizes, np.nan), where=several))
