"""The compositional learner on a GPU: near the CPU's numbers, same bits each time, modules cross over."""

from __future__ import annotations

import numpy as np
import pytest
from learning_fakes import accuracies, compositional, live
from modular_fakes import CNN, TASKS, ask, foreign, grown

from mpidcl.testing.asking import result_of

pytestmark = pytest.mark.gpu
KINDS = [{"options": {"width": 8, "dropout": 0.0}}, CNN]


@pytest.mark.parametrize("settings", KINDS)
def test_a_short_training_is_near_the_cpus(settings):
    found = []
    for device in ("cpu", "cuda"):
        who = compositional(device=device, optimizer="sgd", joint=2, **settings)
        live(who, TASKS[:3], joint=2, ticks=1)
        kinds = ("shared", "modules", "heads", "structures")
        found.append([*(who.host_view(kind).copy() for kind in kinds), who.fisher()])
    for on_cpu, on_gpu in zip(*found, strict=True):
        np.testing.assert_allclose(on_gpu, on_cpu, rtol=1e-2, atol=1e-3)


@pytest.mark.parametrize("settings", [{}, CNN])
def test_modules_cross_over_and_a_resumed_run_gives_the_same_bits(settings):
    whole, again = (grown(device="cuda", **settings) for _ in range(2))
    given = foreign(whole)
    for who in (whole, again):
        who.take_candidates([given])
        ask(who)
    np.testing.assert_array_equal(whole.module(whole.candidates.places[0]), given.weights)
    resumed = compositional(device="cuda", **{"joint": 2, "how": {"threshold": -1.0}} | settings)
    resumed.load(again.state(), TASKS.__getitem__)
    for who in (whole, resumed):
        for tick in range(who.experiment.learning.epochs):
            list(who.learn(3, tick))
        result_of(who.end_task())
    assert whole.digest() == resumed.digest()
    np.testing.assert_array_equal(accuracies(whole, 3), accuracies(resumed, 3))
