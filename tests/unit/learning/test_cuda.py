"""The learner on a GPU: near the CPU's numbers, same bits each time, resumable."""

from __future__ import annotations

import numpy as np
import pytest
from learning_fakes import learner, live, task

pytestmark = pytest.mark.gpu
TASKS = [task(index) for index in range(3)]
KINDS = [
    {"options": {"width": 8, "dropout": 0.0}},
    {"kind": "cnn", "options": {"width": 4, "depth": 2, "dropout": 0.0}},
]


@pytest.mark.parametrize("settings", KINDS)
def test_first_weights_and_a_short_training_are_near_the_cpus(settings):
    found = []
    for device in ("cpu", "cuda"):
        who = learner(device=device, optimizer="sgd", **settings)
        start = who.host_view("shared").copy()
        live(who, TASKS[:2], ticks=1)
        found.append((start, who.host_view("shared").copy(), who.fisher()))
    for on_cpu, on_gpu in zip(*found, strict=True):
        np.testing.assert_allclose(on_gpu, on_cpu, rtol=1e-2, atol=1e-3)


@pytest.mark.parametrize("settings", [{}, {"kind": "resnet18", "options": {"width": 2}}])
def test_a_seed_repeats_and_a_resumed_run_gives_the_same_bits(settings):
    def begin():
        who = learner(device="cuda", **settings)
        live(who, TASKS[:2])
        return who

    whole, again = begin(), begin()
    state = again.state()
    resumed = learner(device="cuda", **settings)
    resumed.load(state, TASKS.__getitem__)
    for who in (whole, resumed):
        live(who, TASKS[2:])
    assert whole.digest() == resumed.digest()
    np.testing.assert_array_equal(whole.evaluate(2), resumed.evaluate(2))


def test_spans_and_received_rows_cross_over():
    who = learner(device="cuda")
    who.set_received_capacity(4)
    who.begin_task(TASKS[0])
    sent = task(9, rows=3).train
    assert who.receive_rows(0, sent.x(), sent.y, reject_duplicates=True) == 3
    values = np.arange(len(who.host_view("shared")), dtype=np.float32)
    who.load_span("shared", values)
    np.testing.assert_array_equal(who.host_view("shared"), values)
    assert who.features(sent.x(), 0).shape == (3, 8)
