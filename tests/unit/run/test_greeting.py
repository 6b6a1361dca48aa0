"""Neighbours that disagree about their meetings or their shapes say so at the start, naming both."""

import pytest
from network_fakes import Fake, World, from_edges, topology

from mpidcl.errors import ExperimentError
from mpidcl.network.inprocess import InProcessDriver
from mpidcl.network.schedule.timetable import Rhythm


def start(agents):
    return InProcessDriver().drive({n: agent.live() for n, agent in agents.items()})


def disagree(network):
    """Agent 1 believes that its neighbours have longer tasks than they have."""
    world = World(network, [[4]] * network.agents, (Rhythm("after", 2, 0, "all"),))
    agents = world.agents()
    agents[1].timetable = World(network, [[8]] * network.agents, world.rhythms).timetable(1)
    return agents


def test_the_first_meeting_that_differs_is_named():
    with pytest.raises(ExperimentError) as error:
        start(disagree(topology("line", 2)))
    text = str(error.value)
    assert "Agents 0 and 1 should expect the same meetings. Meeting 0: agent 0 expects 1/2 AFTER (0,)" in text
    assert "agent 1 expects 1/4 AFTER (0,)" in text
    assert "Start all ranks with the same experiment" in text


def test_a_meeting_that_only_one_end_expects():
    network = topology("line", 2)
    agents = World(network, [[2]] * 2, (Rhythm("task end", 1, 0, "all"),)).agents()
    agents[1].timetable = World(network, [[2, 2]] * 2, (Rhythm("task end", 1, 0, "all"),)).timetable(1)
    with pytest.raises(ExperimentError, match="Meeting 1: agent 0 expects none, agent 1 expects 2 AFTER"):
        start(agents)


@pytest.mark.parametrize("edges", [[(0, 1)], [(1, 0)]])
def test_over_a_one_way_link_the_receiver_says_it(edges):
    with pytest.raises(
        ExperimentError, match="should expect the same meetings. They differ; agent . expects"
    ):
        start(disagree(from_edges(2, edges)))


def test_one_way_and_two_way_neighbours_together():
    with pytest.raises(ExperimentError, match="Agents . and . should expect the same meetings"):
        start(disagree(from_edges(3, [(0, 1), (1, 2), (2, 1)])))


EVERY_TICK = (Rhythm("after", 1, 0, "all"),)


class Sized(Fake):
    def start_facts(self):
        return {"agent": self.neighbourhood.agent, "shape": [self.learner.vector.size]}

    def compare_facts(self, mine, theirs):
        if mine["shape"] == theirs["shape"]:
            return None
        return f"agents {mine['agent']} and {theirs['agent']}: {mine['shape']} and {theirs['shape']}"


def sized(sizes, network, rhythms=EVERY_TICK):
    world = World(network, [[1]] * network.agents, rhythms, [lambda learner, near: Sized(learner, near)])
    found = {}
    for number, size in enumerate(sizes):
        world.size = size
        found[number] = world.agent(number)
    return found


def test_facts_that_differ_end_the_run():
    with pytest.raises(ExperimentError) as error:
        start(sized([4, 4, 5], topology("line", 3)))
    assert str(error.value) == "[[exchange]] 0 (fake0): agents 1 and 2: [4] and [5]"
    start(sized([4, 4, 4], topology("line", 3)))


def test_facts_matter_only_where_the_exchange_goes():
    rule = (Rhythm("after", 1, 0, "near"),)
    near = [{"class": "near", "from": [0, 1], "to": [0, 1]}]
    start(sized([4, 4, 5], topology("line", 3, link=near), rule))
    with pytest.raises(ExperimentError, match="agents 0 and 1"):
        start(sized([4, 5, 5], topology("line", 3, link=near), rule))


def test_an_agent_alone_greets_nobody():
    assert start(World(topology("ring", 1), [[1]]).agents())[0].evaluations
