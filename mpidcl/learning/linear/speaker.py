"""What a messenger knows, and every deputy that may have to stand in for one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mpidcl.base.state import State

Doubles = NDArray[np.float64]
NEVER = -1.0


class Speaker:
    """Newest models of the members of its group, and newest means of all groups.

    members [n]: those of the group, with `weights` [n], those of its mean. Deputies hear what messengers
    hear, so that they can speak at once.
    """

    def __init__(
        self, group: int, members: tuple[int, ...], weights: Doubles, groups: int, features: int
    ) -> None:
        self.group, self._weights = group, weights
        self._places = {member: place for place, member in enumerate(members)}
        self._models = np.zeros((len(members), features))
        self._variances = np.zeros(len(members))
        self._heard = np.zeros(len(members), np.bool_)
        self.means = np.zeros((groups, features))
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

    def average(self, now: float) -> None:
        """Let the mean of the group be that of the members heard of."""
        weights = np.where(self._heard, self._weights, 0.0)
        if (total := weights.sum()) > 0:
            self.means[self.group] = weights @ self._models / total
            self.times[self.group] = max(now, self.times[self.group])

    def learn(self, group: int, time: float, mean: Doubles) -> None:
        """The mean of another group as it was at `time`; an older one than is known is left."""
        if group != self.group and time > self.times[group]:
            self.means[group], self.times[group] = mean, time

    @property
    def places(self) -> Mapping[int, int]:
        """Members, and the row of each among their models."""
        return self._places

    def lay(self, place: Callable[[str, NDArray[Any]], NDArray[Any]]) -> None:
        """Let its arrays be those that `place(name, array)` returns, with the same numbers in them."""
        self._models, self._heard = place("models", self._models), place("heard", self._heard)
        self._variances = place("variances", self._variances)
        self.means, self.times = place("means", self.means), place("times", self.times)

    def state(self) -> State:
        """Everything that a resumed run needs."""
        return {
            "models": self._models.copy(),
            "variances": self._variances.copy(),
            "heard": self._heard.copy(),
            "means": self.means.copy(),
            "times": self.times.copy(),
        }

    def load(self, state: State) -> None:
        """Put back what `state` returned."""
        self._models[...], self._variances[...] = state["models"], state["variances"]
        self._heard[...] = state["heard"]
        self.means[...], self.times[...] = state["means"], state["times"]
