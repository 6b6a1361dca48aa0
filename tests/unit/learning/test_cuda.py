"""The learner on a GPU: near the CPU's numbers, same bits each time, resumable."""

from __future__ import annotations

import numpy as np
import pytest
from learning_fakes import accuracies, learner, live, task

from mpidcl.exchange.base import Neighbourhood, Received
from mpidcl.exchange.parameters.exchange import ParametersExchange, ParametersOptions
from mpidcl.network.frames.message import Message

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
    np.testing.assert_array_equal(accuracies(whole, 2), accuracies(resumed, 2))


def test_spans_and_received_rows_cross_over():
    who = learner(device="cuda")
    who.set_received_capacity(4)
    who.begin_task(TASKS[0])
    sent = task(9, rows=3).train
    assert who.receive_rows(0, sent.x(), sent.y, reject_duplicates=True) == 3
    values = np.arange(len(who.host_view("shared")), dtype=np.float32)
    who.load_span("shared", values)
    np.testing.assert_array_equal(who.host_view("shared"), values)
    np.testing.assert_array_equal(who.fetch(who.device_view("shared")), values)
    assert who.features(sent.x(), 0).shape == (3, 8)


@pytest.mark.parametrize("method", ["average", "fedprox", "fedcurv"])
@pytest.mark.parametrize("sparse", [False, True])
def test_models_are_averaged_on_the_gpu_with_the_bits_of_the_cpu(method, sparse):
    found = []
    for device in ("cpu", "cuda"):
        who = learner(device=device, kind="cnn", options={"width": 4, "depth": 2})
        near = Neighbourhood(1, 0, (0, 2), (0, 2), {0: 2, 1: 2, 2: 2})
        exchange = ParametersExchange(ParametersOptions(method=method, bn="average"), who, near)
        rng = np.random.default_rng(0)
        size, buffers = len(who.host_view("shared")), len(who.parameters.buffers)
        who.load_span("shared", rng.normal(size=size).astype(np.float32))
        positions = np.arange(0, size, 3, dtype=np.uint32) if sparse else np.arange(size)
        arrays = [
            {
                "model": rng.normal(size=positions.size).astype(np.float32),
                "fisher": rng.random(positions.size).astype(np.float32),
                "buffers": rng.random(buffers).astype(np.float32),
            }
            for _ in range(2)
        ]
        if sparse:
            arrays = [one | {"positions": positions} for one in arrays]
        where = who.device_view("shared")
        exchange.begin_use(0)
        exchange.settle([Received(j, Message("parameters", {"start": 0}, arrays[j // 2])) for j in (0, 2)])
        assert np.array_equal(who.fetch(where), who.host_view("shared"))  # written where the model is
        term = who.terms[-1].state() if method != "average" else {}
        statistics = who.state()["parameters"]["buffers"]
        found.append((who.host_view("shared"), statistics, term, exchange.distances()))
    (on_cpu, cpu_buffers, cpu_term, near), (on_gpu, gpu_buffers, gpu_term, there) = found
    np.testing.assert_array_equal(on_gpu, on_cpu)
    np.testing.assert_array_equal(gpu_buffers, cpu_buffers)
    for name in cpu_term:
        np.testing.assert_array_equal(gpu_term[name], cpu_term[name])
    np.testing.assert_allclose(there, near, rtol=1e-12)
