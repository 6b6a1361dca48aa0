"""What neighbours cannot share is said at the start, once per pair, by one of them, and the run goes on."""

import pytest
from network_fakes import Fake, World, from_edges, topology

from mpidcl.experiment.reading import from_toml
from mpidcl.network.inprocess import InProcessDriver
from mpidcl.network.schedule.timetable import Rhythm
from mpidcl.run import preview as checking

EVERY_TICK = (Rhythm("after", 1, 0, "all"),)


class Choosy(Fake):
    """Shares with neighbours of its own size only, and knows which ones these are."""

    def start_facts(self):
        return {"agent": self.neighbourhood.agent, "size": self.learner.vector.size}

    def learn_facts(self, neighbour, mine, theirs):
        self.known = {**getattr(self, "known", {}), neighbour: theirs["size"]}
        if mine["size"] == theirs["size"]:
            return None
        return f"agents {mine['agent']} and {theirs['agent']} differ"


def notes(sizes, network, rhythms=EVERY_TICK):
    world = World(network, [[1]] * network.agents, rhythms, [lambda learner, near: Choosy(learner, near)])
    agents, said = {}, []
    for number, size in enumerate(sizes):
        world.size = size
        agents[number] = world.agent(number)
        agents[number].warn = said.append
    InProcessDriver().drive({n: agent.live() for n, agent in agents.items()})
    return said, [agent.meetings.exchanges[0] for agent in agents.values()]


def test_each_pair_is_named_once_and_both_ends_know():
    said, exchanges = notes([4, 5, 4], topology("complete", 3))
    assert sorted(said) == [
        "note: [[exchange]] 0 (fake0): agents 0 and 1 differ",
        "note: [[exchange]] 0 (fake0): agents 1 and 2 differ",
    ]
    assert [exchange.known for exchange in exchanges] == [{1: 5, 2: 4}, {0: 4, 2: 4}, {0: 4, 1: 5}]


@pytest.mark.parametrize(("edges", "named"), [([(0, 1)], "1 and 0"), ([(1, 0)], "0 and 1")])
def test_over_a_one_way_link_the_end_that_hears_says_it(edges, named):
    said, _ = notes([4, 5], from_edges(2, edges))
    assert said == [f"note: [[exchange]] 0 (fake0): agents {named} differ"]


def test_links_that_the_exchange_does_not_use_do_not_matter():
    near = [{"class": "near", "from": [0, 1], "to": [0, 1]}]
    network = topology("line", 3, link=near)
    said, exchanges = notes([4, 4, 5], network, (Rhythm("after", 1, 0, "near"),))
    assert said == [] and exchanges[1].known == {0: 4}


def test_equal_neighbours_say_nothing():
    assert notes([4, 4, 4], topology("complete", 3))[0] == []


MIXED = """
name = "mixed"
agents = 3
[network]
topology = "complete"
[stream]
dataset = "digits"
kind = "serial"
tasks = 3
classes_per_task = 2
joint_tasks = 1
[model]
kind = "compositional-mlp"
width = 16
[learning]
kind = "compositional"
epochs = 1
[[exchange]]
kind = "modules"
when = "task start"
every = "1 task"
[[agent]]
ids = [2]
model.width = 8
"""


def test_check_prints_the_same_notes_once_for_agents_that_are_alike():
    text = checking.check(from_toml(MIXED))
    (line,) = [line for line in text.splitlines() if "exchange no modules" in line]
    assert line.startswith("note: [[exchange]] 0 (modules): agents 0 and 2 exchange no modules")
    assert "[16, 17] at agent 0 and" in line and "[8, 9] at agent 2" in line
    assert line.endswith("The same holds for 1 other links between such agents.")
