"""Noise of samples: heterogeneous between agents, correlated inside a group if wanted."""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, sqrt

from mpidcl.randomness import EVERYBODY, numpy_generator
from mpidcl.stream.regression.options import DrawnOptions
from mpidcl.stream.regression.task import BLOCK, Doubles


@dataclass(frozen=True, slots=True)
class Noise:
    """Of one agent, of standard deviation `deviation`: Cov(eps_i, eps_j) = correlation s_i s_j in a group."""

    seed: int
    agent: int
    group: int
    deviation: float
    correlation: float

    @classmethod
    def of(cls, options: DrawnOptions, seed: int, agent: int, group: int) -> Noise:
        """That of an agent: s log-normal around the nominal one, so E s^2 = noise^2 exp(2 spread^2)."""
        drawn = float(numpy_generator(seed, agent, "size of noise").standard_normal())
        return cls(seed, agent, group, options.noise * exp(options.spread * drawn), options.correlation)

    def block(self, task: int, number: int) -> Doubles:
        """The noise [BLOCK] of samples `number` * BLOCK and on."""
        own = numpy_generator(self.seed, self.agent, "noise", task, number).standard_normal(BLOCK)
        if not self.correlation:
            return self.deviation * own
        # the same for all agents of the group, whoever asks for it, and when
        common = numpy_generator(self.seed, EVERYBODY, "noise of a group", self.group, task, number)
        shared = sqrt(self.correlation) * common.standard_normal(BLOCK)
        return self.deviation * (shared + sqrt(1 - self.correlation) * own)
