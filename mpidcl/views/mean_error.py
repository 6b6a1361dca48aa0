"""A mean and how far it may be wrong. Agents of one run share its seed: what is independent is the seeds.

The standard error is that of the seeds' means: the values of a seed are averaged first, then the sample
standard deviation of these means is divided by the square root of their number. With one seed there is no
such error: the one over its agents is kept, but marked, and it is evidence of nothing (docs/metrics.md).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Pair = tuple[int, int]
"""(seed, agent): what a value belongs to."""
MARK = "*"
"""Behind an error that is over the agents of one seed."""
ONE_SEED = (
    " A name with * has one seed: its error is over the agents of that seed and says nothing of other seeds."
)
"""How to read MARK in a figure that compares groups."""
_TAIL = 0.975
"""Two-sided 95 %."""


class MeanError(NamedTuple):
    """Mean of the seeds' means, its standard error (NaN for one value), and how many values and seeds.

    With one seed both are over its agents.
    """

    mean: float
    standard_error: float
    number: int
    seeds: int

    @property
    def reach(self) -> float:
        """Half the 95 % interval of the mean, by Student's t; infinite with one seed: no evidence."""
        if self.seeds < 2:
            return math.inf
        from scipy.special import stdtrit  # a quarter of a second, and few need it

        return float(stdtrit(self.seeds - 1, _TAIL)) * self.standard_error

    @property
    def clear(self) -> bool:
        """Whether the 95 % interval stays clear of zero."""
        return abs(self.mean) > self.reach

    @property
    def mark(self) -> str:
        """MARK where the error is not over seeds."""
        return MARK if self.seeds == 1 and not math.isnan(self.standard_error) else ""

    def over(self, unit: str = "agent") -> str:
        """What the error is over: `3 seeds`, `8 agents of one seed`."""
        if not self.number:
            return "no values"
        if self.seeds > 1:
            return f"{self.seeds} seeds"
        return f"{self.number} {unit}{'s' * (self.number != 1)} of one seed"

    def times(self, factor: float) -> MeanError:
        """In another unit."""
        return self._replace(mean=factor * self.mean, standard_error=abs(factor) * self.standard_error)


def mean_error(values: Iterable[float], seeds: Iterable[int] | None = None) -> MeanError:
    """Of the values that are not NaN, each of one seed; without `seeds` all are of one run.

    Two seeds of two agents: their means are 2 and 6.

    >>> mean_error([1.0, 3.0, 6.0, 6.0], [0, 0, 1, 1])
    MeanError(mean=4.0, standard_error=2.0, number=4, seeds=2)
    """
    everything = list(values)
    owners = [0] * len(everything) if seeds is None else list(seeds)
    by_seed: dict[int, list[float]] = {}
    for value, seed in zip(everything, owners, strict=True):
        if not math.isnan(value):
            by_seed.setdefault(seed, []).append(value)
    known = list(by_seed.values())
    independent = [float(np.mean(one)) for one in known] if len(known) > 1 else sum(known, [])
    many, number = len(independent), sum(map(len, known))
    mean = float(np.mean(independent)) if many else math.nan
    error = float(np.std(independent, ddof=1)) / math.sqrt(many) if many > 1 else math.nan
    return MeanError(mean, error, number, len(known))


def paired_mean(values: Mapping[Pair, float]) -> MeanError:
    """Of values by (seed, agent)."""
    return mean_error(values.values(), [seed for seed, _ in values])


def band(lines: Mapping[Pair, NDArray[np.float64]]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and standard error `[n]` of curves `[n]` by (seed, agent), place by place; no error counts as 0.

    Where only one of several seeds is known there is none.
    """
    seeds = [seed for seed, _ in lines]
    points = [mean_error(column, seeds) for column in np.array(list(lines.values())).T]
    alone = min(len(set(seeds)), 2)
    errors = [point.standard_error if point.seeds >= alone else 0.0 for point in points]
    return np.array([point.mean for point in points], np.float64), np.nan_to_num(np.array(errors, np.float64))


def footnote(unit: str = "agent") -> str:
    """What MARK says."""
    return f"{MARK} One seed: the error is over the {unit}s that share it, and says nothing of other seeds."
