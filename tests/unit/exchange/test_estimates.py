"""Estimates: what is told to whom, who speaks while messengers are away, and messages that cannot be."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from linear_fakes import DAMTL, agents_of, experiment, lived

from mpidcl.errors import FrameError
from mpidcl.exchange.base import LinkUse, Received
from mpidcl.exchange.estimates.estimate import Estimate
from mpidcl.exchange.estimates.means import MeansExchange
from mpidcl.exchange.estimates.nodes import NodesExchange
from mpidcl.exchange.estimates.relation import RelationExchange
from mpidcl.experiment.part import Use
from mpidcl.experiment.sections import Learning
from mpidcl.learning.linear.stability import together
from mpidcl.learning.linear.strength import Settling
from mpidcl.network.frames.frame import message_bytes
from mpidcl.network.frames.message import Message
from mpidcl.run.agent import Agent

ROOM = 10_000


def one(kind: type[Any], agent: int = 0, **keys: Any) -> Any:
    """The exchange of a kind of one agent of nine in three groups."""
    made = agents_of(experiment(agents=9, **keys), [agent])[agent]
    return found(made, kind)


def found(agent: Agent, kind: type[Any]) -> Any:
    return next(each for each in agent.meetings.exchanges if isinstance(each, kind))


def said(exchange: Estimate, now: float = 1.0, room: int = ROOM) -> Message | None:
    exchange.now = now
    exchange.begin_use(0)
    message = exchange.ask(LinkUse(exchange.neighbourhood.agent, 1, room, 0, 0))
    exchange.end_use()
    return message


def hears_all(exchange: Estimate) -> None:
    """Let a speaker know of every group."""
    speaker = exchange.learner.speaker
    assert speaker is not None
    for group in range(len(speaker.times)):
        speaker.learn(group, 0.5, np.full(3, float(group)), 0.02)


def test_a_node_tells_its_model_and_no_copy_is_made() -> None:
    nodes = one(NodesExchange)
    message = said(nodes)
    assert message is not None
    assert message.arrays["model"] is nodes.learner.w
    assert nodes.bytes_range(1, None) == (message_bytes(message),) * 2
    assert said(nodes, room=message_bytes(message) - 1) is None


def test_models_may_be_averaged_over_all_groups() -> None:
    nodes = one(NodesExchange, exchanges=({**DAMTL[0], "how": "average"},))
    for source, value in ((2, 4.0), (5, 8.0)):
        nodes.settle([Received(source, Message("nodes", {"variance": 1.0}, {"model": np.full(3, value)}))])
    np.testing.assert_allclose(nodes.learner.w, np.full(3, ((0 + 4) / 2 + 4 + 8) / 3))
    again = one(NodesExchange, exchanges=({**DAMTL[0], "how": "average"},))
    again.load(nodes.state())
    again.learner.w[...] = nodes.learner.w
    for each in (nodes, again):
        each.settle([Received(2, Message("nodes", {"variance": 1.0}, {"model": np.zeros(3)}))])
    np.testing.assert_array_equal(nodes.learner.w, again.learner.w)


def test_models_of_another_group_are_not_heard() -> None:
    nodes = one(NodesExchange)
    before = nodes.learner.state()
    nodes.settle([Received(5, Message("nodes", {"variance": 1.0}, {"model": np.ones(3)}))])
    np.testing.assert_array_equal(nodes.learner.state()["seen"], before["seen"])
    nodes.settle([Received(2, Message("nodes", {"variance": 1.0}, {"model": np.ones(3)}))])
    np.testing.assert_array_equal(nodes.learner.state()["seen"], [[1.0, 1.0, 1.0]])


def test_members_say_nothing_of_means_or_of_the_relation() -> None:
    assert said(one(MeansExchange, 1)) is None
    assert said(one(RelationExchange, 1)) is None


def test_a_messenger_tells_the_mean_of_its_group_alone_where_all_groups_are_linked() -> None:
    means = one(MeansExchange, 3)
    means.learner.w[:] = (1.0, 2.0, 3.0)
    means.learner.hear(4, np.zeros(3), 0.0)
    message = said(means, now=2.0)
    assert message is not None
    assert message.arrays["groups"].tolist() == [1]
    assert message.arrays["times"].tolist() == [2.0]
    np.testing.assert_allclose(message.arrays["means"], [[0.5, 1.0, 1.5]])


def test_means_go_on_where_not_all_groups_are_linked() -> None:
    means = one(MeansExchange, groups={"between": "directed-ring"})
    arrays = {
        "groups": np.array([2]),
        "times": np.array([0.25]),
        "noises": np.array([0.5]),
        "means": np.ones((1, 3)),
    }
    means.settle([Received(6, Message("means", {}, arrays))])
    message = said(means)
    assert message is not None
    assert message.arrays["groups"].tolist() == [0, 2]
    assert message.arrays["times"].tolist() == [1.0, 0.25]
    assert message.arrays["noises"].tolist() == [0.0, 0.5]
    assert means.bytes_range(3, None).most == message_bytes(message) + 8 + 8 + 8 + 24


def test_there_is_no_relation_before_every_group_has_reported() -> None:
    relation = one(RelationExchange)
    assert said(relation) is None
    hears_all(relation)
    message = said(relation, now=3.0)
    assert message is not None
    assert message.scalars["time"] == 3.0
    np.testing.assert_array_equal(relation.learner.state()["pulls"][1], message.arrays["pull"])


def test_the_strength_of_the_relation_is_that_of_the_least_error_unless_given() -> None:
    """s^2 = 8, three members on a directed ring, of which one has been heard."""
    noises = np.array([0.02 * 8 / 2, 0.02, 0.02])
    means = np.array([[0.0] * 3, [1.0] * 3, [2.0] * 3])
    pulls, strength = [], None
    for _ in range(2):
        relation = one(RelationExchange, exchanges=(*DAMTL[:2], {**DAMTL[2], "strength": strength}))
        learner = relation.learner
        learner.variance, learner.samples = 8.0, 3
        hears_all(relation)
        message = said(relation)
        assert message is not None
        pulls.append(message.arrays["pull"])
        drawn = together(np.roll(np.eye(3), 1, 0), 1.0)
        most = 1 / (0.02 * 3)  # told every third sample
        settling = Settling(0.02 * 8 / 2, noises[0], drawn, learner.speaker.variances, most)
        strength = learner.relation.strength(0, means, noises, settling)
    assert strength * learner.relation.theta[0, 0] < most
    np.testing.assert_allclose(pulls[0], pulls[1], rtol=1e-12)


def test_a_deputy_speaks_while_all_messengers_are_away() -> None:
    relation = one(RelationExchange, 1, groups={"deputies": 1})
    hears_all(relation)
    assert said(relation) is None
    learned = relation.learner.relation.theta.copy()
    assert not np.array_equal(learned, np.eye(3))  # it has taken a step with the others
    relation.is_away = lambda agent: agent == 0
    assert said(relation) is not None


def test_one_of_two_messengers_is_enough_and_both_speak() -> None:
    for away, want in (((), True), ((0,), True), ((1,), False)):
        means = one(MeansExchange, 1, groups={"messengers": 2})
        means.is_away = lambda agent, away=away: agent in away
        assert means.speaks() is want


def test_a_group_whose_speakers_are_all_away_is_silent_and_its_last_mean_stays() -> None:
    clock = {"kind": "virtual"}
    rule = {"ids": [3], "clock": {"absences": [["20 s", "1000 s"]]}}
    made = lived(experiment(clock=clock, agent=[rule]), until=Fraction(60))
    speaker: Any = found(made[0], MeansExchange).learner.speaker
    assert 10 < speaker.times[1] <= 21
    assert speaker.times[0] > 50
    told = lived(experiment(clock=clock, agent=[rule], groups={"deputies": 1}), until=Fraction(60))
    assert found(told[0], MeansExchange).learner.speaker.times[1] > 50


@pytest.mark.parametrize(
    ("kind", "message", "says"),
    [
        (NodesExchange, Message("nodes", {"variance": 1.0}, {}), "should hold float64 [3]. Found none"),
        (NodesExchange, Message("nodes", {"variance": 1.0}, {"model": np.ones(4)}), "Found float64 [4]"),
        (
            NodesExchange,
            Message("nodes", {}, {"model": np.ones(3, "f4")}),
            "Found float32 [3]",
        ),
        (MeansExchange, Message("means", {}, {"groups": np.array([3])}), "between 0 and 2. Found array([3])"),
        (MeansExchange, Message("means", {}, {}), "should name groups between 0 and 2"),
        (RelationExchange, Message("relation", {"own": 1.0, "time": 1.0}, {"pull": np.ones(2)}), "[2]"),
    ],
)
def test_messages_that_cannot_be_are_refused(kind: type[Any], message: Message, says: str) -> None:
    with pytest.raises(FrameError) as error:
        one(kind).settle([Received(1, message)])
    assert says in str(error.value)
    assert "agent 1" in str(error.value)


def test_models_of_another_width_are_refused_at_the_start() -> None:
    nodes = one(NodesExchange)
    mine, other = nodes.start_facts(), {**nodes.start_facts(), "features": 5}
    assert "Found 3 numbers in agent 0 and 5 in its neighbour" in nodes.compare_facts(mine, other)
    assert nodes.compare_facts(mine, mine) is None


def test_other_learners_cannot_share_estimates() -> None:
    others = experiment(exchanges=DAMTL[:1]).model_copy(update={"learning": Learning(kind="gradient")})
    (problem,) = NodesExchange.problems(Use(("exchange", 0), None, others, others))
    assert "needs `be_drawn`, `follow`, `hear`, `relate` and 1 more of the learner" in problem.sentence
    assert "Set learning.kind to linear, or leave the exchange out" in problem.sentence
