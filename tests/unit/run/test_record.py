"""What an agent's record says of a learner with modules, and of one without."""

import math

import numpy as np
from network_fakes import World, topology

from mpidcl.record.records import ModuleDecision

DECISIONS = [ModuleDecision(1, 0, 4, 0.9, 0.8, -1, -1, -1, math.nan, 5)]
STRUCTURES = np.full((2, 5, 4), 0.2)


def test_an_agent_hands_over_what_its_learner_knows_of_modules() -> None:
    """A learner without modules, or without rows to count, leaves the fields empty."""
    one = World(topology("ring", 1), [[1]], ()).agent(0)
    plain = one.record()
    assert (plain.modules, plain.structures.shape, plain.training_floats) == ([], (0, 0, 0), 0)
    one.learner.decisions = DECISIONS
    one.learner.structure_weights = lambda: STRUCTURES
    one.learner.counters = lambda: {"training_floats": 192 * 784}
    found = one.record()
    assert found.modules == DECISIONS
    assert found.modules is not one.learner.decisions
    assert found.structures is STRUCTURES
    assert found.training_floats == 192 * 784
