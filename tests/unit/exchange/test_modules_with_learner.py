"""Module exchanges with the real learner and stream: what the fakes cannot show."""

import numpy as np
import pytest
from exchange_fakes import complete, meet, neighbourhoods

from mpidcl.errors import ExperimentError
from mpidcl.exchange.modules.exchange import ModulesExchange, ModulesOptions
from mpidcl.exchange.parameters.exchange import ParametersExchange, ParametersOptions
from mpidcl.experiment.reading import from_toml
from mpidcl.learning.compositional.learner import CompositionalLearner
from mpidcl.learning.compositional.trials import Trials
from mpidcl.stream.serial.stream import SerialStream
from mpidcl.testing.asking import result_of

EXPERIMENT = """
name = "modules"
agents = 3
clock = "lockstep"
[stream]
dataset = "digits"
kind = "serial"
tasks = 4
classes_per_task = 3
replacement = true
train_per_class = 16
joint_tasks = 2
joint_shared = true
[model]
kind = "compositional-mlp"
width = 16
depth = 2
[memory]
capacity = "8 rows per task"
[learning]
kind = "compositional"
threshold = -1
epochs = 2
terms = ["replay"]
[[exchange]]
kind = "modules"
when = "task start"
every = "1 task"
from_task = 3
choose = "try-out"
"""


class Network:
    """Three agents that live their tasks in step and share modules at the start of the last."""

    def __init__(self, *, kind=ModulesExchange, options=None, sets=(), **modules):
        near = neighbourhoods(complete(3), 3)
        self.streams, self.exchanges = [], []
        for agent in range(3):
            experiment = from_toml(EXPERIMENT, sets if agent == 2 else ()).for_agent(agent)
            stream = SerialStream(experiment, agent)
            learner = CompositionalLearner(experiment, agent, stream.shape)
            self.streams.append(stream)
            self.exchanges.append(kind(options or ModulesOptions(**modules), learner, near[agent]))

    @property
    def learners(self):
        return [exchange.learner for exchange in self.exchanges]

    def begin(self, task):
        for stream, learner in zip(self.streams, self.learners, strict=True):
            learner.begin_task(stream.task(task))

    def learn(self, task):
        for learner in self.learners:
            for tick in range(2 if task >= 1 else 0):
                list(learner.learn(task, tick))
            result_of(learner.end_task())

    def reach(self, task):
        """Everything up to the start of `task`."""
        for u in range(task):
            self.begin(u)
            self.learn(u)
        self.begin(task)
        return self


@pytest.mark.parametrize("query", ["rows", "prepared", "class-means", "none"])
def test_every_query_brings_a_module_that_replaces_the_candidate(query):
    network = Network(rank_by="leep", query=query).reach(3)
    before = [learner.digest() for learner in network.learners]
    meet(network.exchanges, task=3)
    for exchange, digest in zip(network.exchanges, before, strict=True):
        assert exchange.received == 2 and exchange.taken == 1
        assert exchange.learner.digest() != digest
    network.learn(3)
    for learner in network.learners:
        made = learner.decisions[-1]
        sender = network.learners[made.source]
        assert (made.task, made.source_task) == (3, 2) and made.source != learner.agent
        assert made.source_module in dict((m, t) for t, m in sender.added())
        assert made.similarity <= 0


def test_the_candidate_begins_as_the_neighbours_module_with_its_head_and_structure():
    network = Network().reach(3)
    theirs = [(a.module(2), a.head_of(2), a.structure_of(2)) for a in network.learners]
    meet(network.exchanges, task=3)
    for learner in network.learners:
        place = learner.candidates.places[0]
        source = learner.candidates.origins[0].source
        weights, head, structure = theirs[source]
        np.testing.assert_array_equal(learner.module(place), weights)
        own, other = learner.seen[3].classes, network.learners[source].seen[2].classes
        expected = [head[other.index(c)] if c in other else np.zeros(17) for c in own]
        np.testing.assert_array_equal(learner.head_of(3), expected)
        np.testing.assert_array_equal(
            learner.model.structures.detach()[3, [0, 1, place]], structure[[0, 1, 2]]
        )


def test_rows_and_prepared_rows_rank_alike_to_the_last_bit():
    answers = []
    for query in ("rows", "prepared"):
        sent = meet(Network(rank_by="leep", query=query).reach(3).exchanges, task=3)
        answers.append({key: m.arrays["similarity"].tobytes() for key, m in sent.items() if key[2]})
    assert answers[0] == answers[1] and len(answers[0]) == 6


def test_trials_leave_nothing_behind_but_the_choice(monkeypatch):
    network = Network(choose="try-out", trial_epochs=2).reach(3)
    before = [learner.state() for learner in network.learners]
    handed = []
    monkeypatch.setattr(Trials, "_adopt", lambda self, module, place: None)
    for learner in network.learners:
        monkeypatch.setattr(learner.candidates, "fill", lambda *module: handed.append(module))
    meet(network.exchanges, task=3)
    assert len(handed) >= 3 * (2 + 1)  # two trials, one choice
    for learner, state in zip(network.learners, before, strict=True):
        after = learner.state()
        assert after.pop("flops") > state.pop("flops")  # work that was done
        assert_same(after, state)


def assert_same(one, other):
    if isinstance(one, dict):
        assert one.keys() == other.keys()
        for key in one:
            assert_same(one[key], other[key])
    else:
        np.testing.assert_array_equal(one, other)


def test_before_anybody_has_added_a_module_nobody_answers_and_initial_tasks_do_not_ask():
    network = Network()
    for task, questions in ((0, 0), (1, 0), (2, 6)):
        network.begin(task)
        sent = meet(network.exchanges, task=task)
        assert len(sent) == questions
        network.learn(task)
    assert all(made.source == -1 for learner in network.learners for made in learner.decisions)


def test_resume_between_the_meeting_and_learning_is_bitwise():
    straight = Network(precision="int8").reach(3)
    meet(straight.exchanges, task=3)
    resumed = Network(precision="int8")
    for old, new, stream in zip(straight.exchanges, resumed.exchanges, resumed.streams, strict=True):
        new.learner.load(old.learner.state(), stream.task)
        new.load(old.state())
    for network in (straight, resumed):
        network.learn(3)
    assert [a.digest() for a in straight.learners] == [a.digest() for a in resumed.learners]
    assert meet(resumed.exchanges, task=3) == {}


def facts(network):
    return [exchange.start_facts() for exchange in network.exchanges]


def test_a_wider_net_shares_no_modules_and_other_pairs_go_on():
    network = Network(sets=["model.width=8"]).reach(3)
    found = facts(network)
    for a, exchange in enumerate(network.exchanges):
        notes = [exchange.learn_facts(b, found[a], found[b]) for b in range(3) if b != a]
        assert sum(note is not None for note in notes) == (2 if a == 2 else 1)
    note = network.exchanges[0].learn_facts(2, found[0], found[2])
    assert "agents 0 and 2" in note and "[16, 17] at agent 0" in note and "[8, 9] at agent 2" in note
    assert {(s, t) for s, t, _ in meet(network.exchanges, task=3)} == {(0, 1), (1, 0)}
    network.learn(3)


def test_whole_models_of_different_compositional_nets_stay_an_error():
    network = Network(kind=ParametersExchange, options=ParametersOptions(), sets=["model.width=8"])
    found = facts(network)
    assert "agents 0 and 2" in network.exchanges[0].compare_facts(found[0], found[2])
    assert network.exchanges[0].compare_facts(found[0], found[1]) is None


def test_parameters_send_the_basis_and_nothing_else():
    network = Network(kind=ParametersExchange, options=ParametersOptions()).reach(3)
    sent = meet(network.exchanges, task=3)
    assert {m.arrays["model"].size for m in sent.values()} == {2 * 16 * 17}


def test_a_learner_without_modules_is_refused_with_the_fix():
    plain = EXPERIMENT.replace('kind = "compositional"\nthreshold = -1\n', "").replace(
        "compositional-mlp", "mlp"
    )
    said = r"needs `added`.* GradientLearner has none. Set learning.kind to compositional"
    with pytest.raises(ExperimentError, match=said):
        from_toml(plain)
