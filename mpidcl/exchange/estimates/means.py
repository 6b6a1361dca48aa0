"""Means of groups, from messenger to messenger."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from mpidcl.errors import FrameError
from mpidcl.exchange.base import Neighbourhood, Received
from mpidcl.exchange.estimates.estimate import Estimate, SharesEstimates
from mpidcl.experiment.options import Options
from mpidcl.experiment.part import Use
from mpidcl.learning.linear.relation import Doubles
from mpidcl.network.frames.message import Message
from mpidcl.network.schedule.groups import groups_of
from mpidcl_kernels.linear.mail import MEAN_WORDS


class MeansExchange(Estimate):
    """The mean of the own group; where not every two groups are linked, those of all groups heard of.

    A mean carries the time at which it was made: the newest one counts, whichever way it came. It carries the
    variance of its noise, too.
    """

    unheard = ("inside", "report", "messenger", "members", "they are for who speaks for other groups")

    @classmethod
    def notes(cls, use: Use) -> Iterator[str]:
        """Means that nobody uses, or that are of one model."""
        yield from super().notes(use)
        kinds_there = {one.kind for one in use.mine.exchange}
        if "relation" not in kinds_there:
            yield "note: means of groups change nothing, because there is no exchange `relation`."
        if (
            "nodes" not in kinds_there
            and max(map(len, groups_of(use.whole.network, use.whole.agents).members)) > 1
        ):
            yield (
                "note: the mean of a group is the model of who speaks for it, because no exchange `nodes`"
                " tells those of its members."
            )

    def __init__(self, options: Options, learner: SharesEstimates, neighbourhood: Neighbourhood) -> None:
        groups = learner.groups
        near = {int(groups.of[agent]) for agent in neighbourhood.sources} | {learner.group}
        self._forwards = len(near) < len(groups)
        super().__init__(options, learner, neighbourhood)

    def example(self) -> Message:
        known = len(self.learner.groups) if self._forwards else 1
        zeros = np.zeros(known)
        return self._message(np.arange(known), zeros, zeros, np.zeros((known, len(self.learner.w))))

    @staticmethod
    def _message(groups: np.ndarray, times: np.ndarray, noises: np.ndarray, means: np.ndarray) -> Message:
        return Message(
            "means",
            {},
            {"groups": groups.astype(np.int64), "times": times, "noises": noises, "means": means},
            floats=means.size + noises.size,
        )

    def _say(self) -> Message | None:
        speaker = self.learner.speaker
        if speaker is None:
            return None
        self.learner.report(self.now)
        if not self.speaks():
            return None
        told = np.flatnonzero(speaker.times >= 0) if self._forwards else np.array([speaker.group])
        return self._message(told, speaker.times[told], speaker.noises[told], speaker.means[told])

    def to_row(self, message: Message) -> Doubles:
        """How many groups, then of each: number, time, noise, mean."""
        arrays = message.arrays
        each = [arrays[name][:, None] for name in ("groups", "times", "noises")]
        return np.append(float(len(arrays["groups"])), np.hstack([*each, arrays["means"]]))

    def from_row(self, row: Doubles) -> Message:
        """The message."""
        width = MEAN_WORDS + len(self.learner.w)
        table = row[1 : 1 + int(row[0]) * width].reshape(-1, width)
        means = np.ascontiguousarray(table[:, MEAN_WORDS:])
        return self._message(table[:, 0], table[:, 1].copy(), table[:, 2].copy(), means)

    def settle(self, received: list[Received]) -> None:
        """Keep the newest mean of each group."""
        speaker = self.learner.speaker
        if speaker is None:
            return
        count, features = speaker.means.shape
        for one in received:
            source, message = one.source, one.message
            groups = message.arrays.get("groups")
            if groups is None or groups.ndim != 1 or groups.dtype != np.int64 or not _within(groups, count):
                raise FrameError(
                    f"a message of agent {source} should name groups between 0 and {count - 1}. Found"
                    f" {groups!r:.80}: its sender runs another version or experiment."
                )
            times = self.checked(source, message.arrays.get("times"), groups.shape)
            noises = self.checked(source, message.arrays.get("noises"), groups.shape)
            means = self.checked(source, message.arrays.get("means"), (len(groups), features))
            told = zip(groups.tolist(), times.tolist(), means, noises.tolist(), strict=True)
            for group, time, mean, noise in told:
                speaker.learn(group, time, mean, noise)


def _within(groups: np.ndarray, count: int) -> bool:
    return bool(((groups >= 0) & (groups < count)).all())
