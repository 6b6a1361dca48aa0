"""What every insertion policy of a memory must do."""

from __future__ import annotations

import numpy as np

from mpidcl.memory.policies import REFUSED, Policy
from mpidcl.testing.learners import check_learning
from mpidcl.testing.trial import Tables, experiment_with, must


def check_policy(policy: type[Policy], tables: Tables | None = None) -> None:
    """Raises AssertionError where a policy is not one.

    `tables` as in `check_learner`. Held are: rows have a slot of the buffer or none, the first ones those
    from 0 on; the same generator gives the same slots; all of `check_learner` with the policy in its memory.
    """
    experiment, name = experiment_with(policy, tables), policy.__name__
    made = policy(experiment.memory.options)
    for capacity in (1, 3, 8):
        for seen in (0, 2, 50):
            found, again = (made.slots(5, seen, capacity, np.random.default_rng(1)) for _ in range(2))
            where = f"{name}.slots(5, {seen}, {capacity}, rng)"
            must(
                found.shape == (5,) and np.array_equal(found, again),
                f"{where} should give 5 slots, the same for the same generator. Found {found}, {again}.",
            )
            known = (found == REFUSED) | ((found >= 0) & (found < capacity))
            must(known.all(), f"{where} should give slots below {capacity}, or REFUSED. Found {found}.")
            free = np.arange(seen, min(seen + 5, capacity))
            must(
                np.array_equal(found[: len(free)], free),
                f"{where} should fill free slots in order. Found {found}, should begin with {free}.",
            )
    check_learning(experiment, name)
