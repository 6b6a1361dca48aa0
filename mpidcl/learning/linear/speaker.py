"""What a messenger knows, and every deputy that may have to stand in for one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mpidcl.base.state import State

Doubles = NDArray[np.float64]
NEVER = -1.0
LEAST = 1e-12
"""Variance of features below which there are none, beside the largest."""


class Speaker:
    """Newest models of the members of its group, and what the data of all groups say of their means.

    members [n]: those of the group, with `weights` [n], those of its mean. Deputies hear what messengers
    hear, so that they can speak at once.

    `means [K, d]` are without the relation: what it has drawn the own group by is added back. Means that are
    drawn together would say that the groups are more alike than they are, be drawn more for that, and so on.
    `noises [K]`: variance of the noise in each number of them.
    """

    def __init__(
        self, group: int, members: tuple[int, ...], weights: Doubles, groups: int, features: int
    ) -> None:
        self.group, self._weights = group, weights
        self._places = {member: place for place, member in enumerate(members)}
        self._models = np.zeros((len(members), features))
        self._variances = np.zeros(len(members))
        self._heard = np.zeros(len(members), np.bool_)
        self._mean, self._drawn, self._samples = np.zeros(features), np.zeros(features), 0
        self.variances, self._directions = np.ones(features), np.eye(features)
        self.means = np.zeros((groups, features))
        self.noises = np.zeros(groups)
        self.times = np.full(groups, NEVER)

    @property
    def members(self) -> int:
        """How many there are in the group."""
        return len(self._models)

    @property
    def complete(self) -> bool:
        """Whether every group has been heard of: before that there is no relation to speak of."""
        return bool((self.times > NEVER).all())

    @property
    def variance(self) -> float:
        """Mean squared residual of the members heard of."""
        return float(self._variances[self._heard].mean()) if self._heard.any() else 0.0

    def hear(self, member: int, model: Doubles, variance: float) -> None:
        """The newest model of a member, oneself included."""
        place = self._places[member]
        self._models[place], self._variances[place], self._heard[place] = model, variance, True

    def average(self, now: float, samples: int, rate: float, own: float, pull: Doubles) -> None:
        """Let the mean of the group be that of the members heard of, less what they were drawn by.

        `samples` learned so far, with step size `rate`; (own, pull): what the members follow since the last
        call. They have moved the mean w by b: b <- b - rate (H b + own w + pull) at each sample, with H of
        `look`. In between w is taken to have moved evenly. The noise is that of constant steps: rate s^2 / 2
        in a node alone, whatever draws its group together.
        """
        weights = np.where(self._heard, self._weights, 0.0)
        if (total := weights.sum()) <= 0:
            return
        weights /= total
        mean: Doubles = weights @ self._models
        left = (1 - rate * self.variances) ** (samples - self._samples)
        gain = np.where(self.variances > 0, (1 - left) / np.maximum(self.variances, LEAST), 0.0)
        towards = self._directions.T @ (own * (mean + self._mean) / 2 + pull)
        self._drawn = self._directions @ (left * (self._directions.T @ self._drawn) + gain * towards)
        self._mean, self._samples = mean, samples
        self.means[self.group] = mean + self._drawn
        self.noises[self.group] = rate * self.variance / 2 * float(weights @ weights)
        self.times[self.group] = max(now, self.times[self.group])

    def look(self, x: Doubles) -> None:
        """Samples x [n, d] of the task that begins: H = E xx', its eigenvalues in `variances [d]`."""
        values, self._directions = np.linalg.eigh(x.T @ x / len(x))
        self.variances = np.where(values > LEAST * max(values[-1], 1.0), values, 0.0)

    def learn(self, group: int, time: float, mean: Doubles, noise: float) -> None:
        """The mean of another group as it was at `time`; an older one than is known is left."""
        if group != self.group and time > self.times[group]:
            self.means[group], self.times[group], self.noises[group] = mean, time, noise

    @property
    def places(self) -> Mapping[int, int]:
        """Members, and the row of each among their models."""
        return self._places

    def lay(self, place: Callable[[str, NDArray[Any]], NDArray[Any]]) -> None:
        """Let its arrays be those that `place(name, array)` returns, with the same numbers in them."""
        self._models, self._heard = place("models", self._models), place("heard", self._heard)
        self._variances = place("variances", self._variances)
        self.means, self.times = place("means", self.means), place("times", self.times)
        self.noises = place("noises", self.noises)

    def state(self) -> State:
        """Everything that a resumed run needs."""
        return {
            "models": self._models.copy(),
            "variances": self._variances.copy(),
            "heard": self._heard.copy(),
            "mean": self._mean.copy(),
            "drawn": self._drawn.copy(),
            "samples": self._samples,
            "means": self.means.copy(),
            "noises": self.noises.copy(),
            "times": self.times.copy(),
        }

    def load(self, state: State) -> None:
        """Put back what `state` returned."""
        self._models[...], self._variances[...] = state["models"], state["variances"]
        self._heard[...] = state["heard"]
        self._mean, self._drawn = np.array(state["mean"]), np.array(state["drawn"])
        self._samples = int(state["samples"])
        self.means[...], self.times[...] = state["means"], state["times"]
        self.noises[...] = state["noises"]
