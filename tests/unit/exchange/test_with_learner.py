"""Exchanges with the real learner and stream: what the fakes cannot show."""

import re
from types import SimpleNamespace

import numpy as np
import pytest
from exchange_fakes import complete, meet, neighbourhoods

from mpidcl.errors import ExperimentError
from mpidcl.exchange.data.exchange import DataExchange, DataOptions
from mpidcl.exchange.parameters.exchange import ParametersExchange, ParametersOptions
from mpidcl.experiment.reading import from_toml
from mpidcl.learning.gradient.learner import GradientLearner
from mpidcl.stream.serial.stream import SerialStream

EXPERIMENT = """
name = "exchange"
agents = 3
clock = "lockstep"
[stream]
dataset = "digits"
kind = "serial"
tasks = 2
classes_per_task = 3
train_per_class = 16
[model]
kind = "mlp"
[memory]
capacity = "8 rows per task"
[learning]
epochs = 1
terms = ["replay"]
"""


class Network:
    """Three agents that live their tasks in step, with one exchange after every epoch."""

    def __init__(self, kind, options, model=None, sets=()):
        near = neighbourhoods(complete(3), 3)
        self.streams, self.exchanges = [], []
        for agent in range(3):
            own = model if agent == 2 and model else sets
            experiment = from_toml(EXPERIMENT, own).for_agent(agent)
            stream = SerialStream(experiment, agent)
            learner = GradientLearner(experiment, agent, stream.shape)
            self.streams.append(stream)
            self.exchanges.append(kind(options, learner, near[agent]))

    @property
    def learners(self):
        return [exchange.learner for exchange in self.exchanges]

    def live(self, task, meetings=1):
        for stream, learner in zip(self.streams, self.learners, strict=True):
            if learner.task < task:
                learner.begin_task(stream.task(task))
        for number in range(meetings):
            for learner in self.learners:
                list(learner.learn(task, number))
            sent = meet(self.exchanges, task=task)
        return sent

    def refused(self):
        return sum(exchange.rows - exchange.accepted for exchange in self.exchanges)

    def shared(self):
        return np.array([learner.host_view("shared") for learner in self.learners])


@pytest.mark.parametrize("method", ["average", "fedprox", "fedcurv", "fisher"])
def test_models_meet_and_heads_stay(method):
    network = Network(ParametersExchange, ParametersOptions(method=method))
    network.live(0)
    apart = [learner.host_view("heads").copy() for learner in network.learners]
    meet(network.exchanges)
    heads = [learner.host_view("heads") for learner in network.learners]
    assert all(np.array_equal(a, b) for a, b in zip(apart, heads, strict=True))
    np.testing.assert_allclose(network.shared(), network.shared()[[1, 2, 0]], atol=1e-6)
    network.live(0)  # and the penalties do not stop learning
    assert np.all(np.isfinite(network.shared()))


ONE_HEAD = ("stream.incremental=class", 'stream.draw="iid"', "stream.train_per_class=5")


@pytest.mark.parametrize("method", ["average", "fedprox", "fedcurv", "fisher"])
def test_with_parts_all_whole_models_meet(method):
    network = Network(ParametersExchange, ParametersOptions(method=method, parts="all"), sets=ONE_HEAD)
    network.live(0)
    meet(network.exchanges)
    whole = np.array([learner.host_view("all") for learner in network.learners])
    assert whole.shape[1] == network.shared().shape[1] + network.learners[0].host_view("heads").size
    np.testing.assert_allclose(whole, whole[[1, 2, 0]], atol=1e-6)
    network.live(0)
    assert all(learner.finite() for learner in network.learners)


def test_fisher_information_of_heads_comes_behind_that_of_the_shared_parameters():
    learner = Network(ParametersExchange, ParametersOptions(parts="all"), sets=ONE_HEAD).learners[0]
    learner.begin_task(SerialStream(learner.experiment, 0).task(0))
    whole, shared = learner.fisher("all"), learner.fisher()
    np.testing.assert_allclose(whole[: len(shared)], shared, rtol=1e-5)
    x, _ = learner.pool(0)
    p = np.exp(learner.logits(x, 0))
    p /= p.sum(1, keepdims=True)
    # d log p(c) / d bias_k = [c = k] - p(k), so its mean square under p is p(k) (1 - p(k))
    biases = whole[len(shared) :].reshape(p.shape[1], -1)[:, -1]
    np.testing.assert_allclose(biases, (p * (1 - p)).mean(0), rtol=1e-4)


def test_heads_of_agents_with_other_classes_are_refused():
    own = Network(ParametersExchange, ParametersOptions(parts="all"), sets=["stream.classes_per_task=2"])
    first, last = own.exchanges[0], own.exchanges[2]
    message = first.compare_facts(first.start_facts(), last.start_facts())
    assert "agents 0 and 2 should have outputs that stand for the same classes" in message
    assert re.search(r"Found output \d of head \d: class \d of digits at agent 0, class \d", message)
    assert 'Set parts = "shared"' in message
    for same in (
        ONE_HEAD,
        ["stream.draw=shared"],
        ["stream.incremental=class"],
        ["stream.incremental=domain"],
    ):
        network = Network(ParametersExchange, ParametersOptions(parts="all"), sets=same)
        first, last = network.exchanges[0], network.exchanges[2]
        assert first.compare_facts(first.start_facts(), last.start_facts()) is None, same


def test_models_of_modules_keep_their_heads():
    model = SimpleNamespace(segments=[SimpleNamespace(kind="shared"), SimpleNamespace(kind="structures")])
    learner = SimpleNamespace(parameters=model, model=None)
    with pytest.raises(ExperimentError, match='should be "shared" with a model made of modules.*structures'):
        ParametersExchange(ParametersOptions(parts="all"), learner, neighbourhoods(complete(2), 2)[0])


def test_the_penalties_hold_the_reference_and_the_sums():
    prox = Network(ParametersExchange, ParametersOptions(method="fedprox", mu=0.3))
    prox.live(0)
    term = prox.learners[0].terms[-1]
    assert term.options.mu == 0.3
    np.testing.assert_array_equal(term.state()["reference"], prox.shared()[0])
    curved = Network(ParametersExchange, ParametersOptions(method="fedcurv", curvature=2.0))
    sent = curved.live(0)
    state = curved.learners[0].terms[-1].state()
    others = [sent[j, 0, 0].arrays for j in (1, 2)]
    np.testing.assert_allclose(state["fisher"], sum(a["fisher"] for a in others), rtol=1e-6)
    np.testing.assert_allclose(
        state["product"], sum(a["fisher"] * a["model"] for a in others), rtol=1e-5, atol=1e-9
    )


@pytest.mark.parametrize("choose", ["hard-examples", "class-needs"])
def test_received_rows_are_of_the_tasks_classes_and_within_capacity(choose):
    network = Network(DataExchange, DataOptions(choose=choose, capacity="5 rows per task"))
    network.live(0)
    network.live(1)
    assert sum(exchange.accepted for exchange in network.exchanges) > 0
    for learner in network.learners:
        for u in range(2):
            rows = learner.received.of_task(u)
            assert len(rows["y"]) <= 5
            own = {tuple(row.ravel()) for row in learner.pool(u)[0]}
            assert not own & {tuple(row.ravel()) for row in rows["x"]}  # duplicates are dropped


@pytest.mark.parametrize("choose", ["hard-examples", "class-needs"])
def test_no_received_row_validates_in_any_task_of_the_agent(choose):
    options = DataOptions(choose=choose, capacity="200 rows per task", duplicates="keep")
    network = Network(DataExchange, options, sets=["stream.replacement=true", "stream.train_per_class=90"])
    network.live(0)
    network.live(1)
    for stream, learner in zip(network.streams, network.learners, strict=True):
        held = [stream.task(u).validation.x() for u in range(2)]
        received = {row.tobytes() for row in learner.received.rows()["x"]}
        assert received and not received & {row.tobytes() for rows in held for row in rows}
    assert network.refused() > 0, "neighbours did send such rows"


KINDS = [
    (ParametersExchange, ParametersOptions(method="fedprox", precision="top-k")),
    (ParametersExchange, ParametersOptions(method="fedcurv", precision="block")),
    (ParametersExchange, ParametersOptions(method="fedcurv", precision="top-k", parts="all")),
    (DataExchange, DataOptions(scorer="random")),
    (DataExchange, DataOptions(choose="class-needs")),
]


@pytest.mark.parametrize(("kind", "options"), KINDS)
def test_resume_is_bitwise(kind, options):
    sets = ONE_HEAD if "all" in str(options) else ()
    straight = Network(kind, options, sets=sets)
    straight.live(0, meetings=3)
    half = Network(kind, options, sets=sets)
    half.live(0, meetings=2)
    resumed = Network(kind, options, sets=sets)
    for old, new, stream in zip(half.exchanges, resumed.exchanges, resumed.streams, strict=True):
        new.learner.load(old.learner.state(), stream.task)
        new.load(old.state())
    resumed.live(0)
    digests = [[learner.digest() for learner in n.learners] for n in (straight, resumed)]
    assert digests[0] == digests[1]
    assert digests[0] != [learner.digest() for learner in half.learners]


def test_a_wider_model_is_refused_by_name_but_may_share_data():
    network = Network(ParametersExchange, ParametersOptions(), model=["model.width=32"])
    first, last = network.exchanges[0], network.exchanges[2]
    message = first.compare_facts(first.start_facts(), last.start_facts())
    assert (
        "agents 0 and 2" in message and "[64, 64] at agent 0" in message and "[32, 32] at agent 2" in message
    )
    mixed = Network(DataExchange, DataOptions(), model=["model.width=32"])
    first, last = mixed.exchanges[0], mixed.exchanges[2]
    assert first.compare_facts(first.start_facts(), last.start_facts()) is None
    mixed.live(0)
