"""The clock `virtual` over MPI: the bits of one process, on any number of ranks, under all conditions."""

from __future__ import annotations

from collections import defaultdict
from fractions import Fraction

import pytest
from drives import assert_as_in_process, drive
from mpi4py import MPI
from network_fakes import World, digests, fake, from_edges, topology, virtual

from mpidcl.network.inprocess import InProcessDriver
from mpidcl.network.schedule.timetable import Chance, Rhythm

COMM = MPI.COMM_WORLD
AGENTS = 5
RULES = [Rhythm("after", 2, 0, "all"), Rhythm("after", 3, 0, "all", legs=2)]
TICKS = [[4, 5], [3], [6, 1, 7], [0, 0, 9], [12]]
BY_CHANCE = [
    Rhythm("after", 1, 0, "all", chance=Chance(0.5, 0)),
    Rhythm("after", 1, 0, "all", legs=2, chance=Chance(0.2, 1)),
]
CONDITIONS = {
    "nothing": {},
    "latency": {"latency": "700 ms"},
    "all": {"latency": "1.5 s", "jitter": "4 s", "loss": "25 %", "bandwidth": "2 kB/s"},
    "bursts": {"loss": "30 %", "burst": 4.0, "bandwidth": "8 kB/s", "line": "agent"},
}
DOWN = [{"from": [0, 1], "down": [[2.0, 5.0], [6.0, 7.5]]}, {"to": [3], "down": [[0.0, 4.0]]}]
CHANGES = """source,target,from,until
0,1,,6 s
1,0,2 s,
1,2,1 s,3 s
1,2,4,5500 ms
2,3,,
3,4,0,9
4,0,3,7
4,3,3,7
"""
BY_LINK = """source,target,latency,bandwidth,jitter,loss,burst
0,1,20 ms,2 kB/s,,30 %,4
1,0,1 s,,500 ms,,
1,2,,8 kbit/s,3 s,0.1,
4,3,2.5,,,,
"""
CLOCKS = {
    "ties": {"ticks": "regular", "rates": [1.0, 0.5, 2.0, 1.0, 1.0]},
    "poisson": {"rates": [1.0, 0.3, 2.0, 1.0, 5.0]},
    "away": {"rates": [1.0] * 5, "away": 0.4, "absence": 3.0, "uneven": 0.5, "absences": [[2.0, 4.0]]},
}


def world(clock, network, rules=RULES, **keys):
    makes = [fake(), fake(legs=2, size=3000)]
    return World(network, TICKS, rules, makes, clock=virtual(1, **CLOCKS[clock]), **keys)


@pytest.mark.parametrize("clock", CLOCKS)
@pytest.mark.parametrize("conditions", CONDITIONS)
def test_the_same_bits_under_all_conditions(conditions, clock):
    network = topology("ring", AGENTS, conditions=CONDITIONS[conditions])
    assert_as_in_process(world(clock, network), [agent % COMM.size for agent in range(AGENTS)])


@pytest.mark.parametrize("clock", CLOCKS)
def test_the_same_bits_where_links_come_and_go(clock, tmp_path):
    spread = [agent % COMM.size for agent in range(AGENTS)]
    network = topology("ring", AGENTS, conditions=CONDITIONS["all"], link=DOWN)
    assert_as_in_process(world(clock, network), spread)
    (tmp_path / "links.csv").write_text(CHANGES)
    network = topology("file", AGENTS, changes=str(tmp_path / "links.csv"), conditions={"latency": "1 s"})
    of = World(network, TICKS, RULES[:1], [fake(size=300)], clock=virtual(1, **CLOCKS[clock]))
    assert_as_in_process(of, spread)


@pytest.mark.parametrize("clock", CLOCKS)
def test_the_same_bits_under_conditions_from_a_file(clock, tmp_path):
    network = by_link(tmp_path)
    assert_as_in_process(world(clock, network), [agent % COMM.size for agent in range(AGENTS)])


def by_link(folder):
    """Each link in its own way, and some of them down at times."""
    (folder / "conditions.csv").write_text(BY_LINK)
    conditions = {"latency": "100 ms", "loss": "5 %", "file": str(folder / "conditions.csv")}
    return topology("ring", AGENTS, conditions=conditions, link=DOWN)


@pytest.mark.parametrize("clock", CLOCKS)
def test_the_same_bits_of_exchanges_by_chance(clock):
    network = topology("ring", AGENTS, conditions=CONDITIONS["all"])
    of = world(clock, network, BY_CHANCE)
    assert_as_in_process(of, [agent % COMM.size for agent in range(AGENTS)])


def test_one_way_links_and_many_neighbours():
    edges = [(a, b) for a in range(AGENTS) for b in range(AGENTS) if a != b and (a * b) % 3 != 1]
    back = [(b, a) for a, b in edges]
    both = from_edges(AGENTS, [*edges, *back], latency=0.3, loss=0.2)
    assert_as_in_process(world("poisson", both), [agent % COMM.size for agent in range(AGENTS)])
    one_way = from_edges(AGENTS, edges, latency=0.3)
    rules = [Rhythm("after", 1, 0, "all")]
    of = World(one_way, TICKS, rules, [fake(size=5)], clock=virtual(1))
    assert_as_in_process(of, [agent % COMM.size for agent in range(AGENTS)])


def test_a_fast_agent_runs_far_ahead_of_one_that_waits_long():
    """Frames over a link of 100 s pile up beside fast ones: a pool of a fixed size would close a circle."""
    links = from_edges(3, [(0, 1), (1, 2), (2, 0)])
    slow = from_edges(3, [(0, 2)], latency=100.0)
    network = type(links).of("both", 3, [*links.links, *slow.links])
    of = World(
        network,
        [[300]] * 3,
        [Rhythm("after", 1, 0, "all")],
        [fake(size=4000)],
        clock=virtual(ticks="regular"),
    )
    assert_as_in_process(of, [agent % COMM.size for agent in range(3)])


@pytest.mark.parametrize("rules", [RULES, BY_CHANCE], ids=["every", "share"])
def test_a_cut_on_one_number_of_ranks_goes_on_on_another(rules, tmp_path):
    """States of one process, at every cut, go on over MPI; and what ranks save goes on in one process."""
    network = topology("ring", AGENTS, conditions=CONDITIONS["all"], link=DOWN)
    if rules is BY_CHANCE:
        network = by_link(tmp_path)
    saved = defaultdict(dict)

    def save(agent, cut, state):
        saved[cut][agent] = state

    whole = digests(world("poisson", network, rules, cut_every=Fraction(4), save=save).in_process())
    ranks = [agent % COMM.size for agent in range(AGENTS)]
    kept = {cut: dict(states) for cut, states in saved.items()}
    for cut, states in list(kept.items())[:3]:
        of = world("poisson", network, rules, cut_every=Fraction(4))
        made = of.agents

        def loaded(numbers=None, made=made, states=states, cut=cut):
            agents = made(numbers)
            for number, agent in agents.items():
                agent.load(states[number], cut)
            return agents

        of.agents = loaded  # type: ignore[method-assign]
        assert drive(of, ranks) == whole
    saved.clear()
    drive(world("poisson", network, rules, cut_every=Fraction(4), save=save), ranks)
    everywhere = {}
    for part in COMM.allgather({cut: dict(states) for cut, states in saved.items()}):
        for cut, states in part.items():
            everywhere.setdefault(cut, {}).update(states)
    cut = sorted(everywhere)[1]
    agents = world("poisson", network, rules, cut_every=Fraction(4)).agents()
    for number, agent in agents.items():
        agent.load(everywhere[cut][number], cut)
    records = InProcessDriver().drive({number: agent.live() for number, agent in agents.items()})
    assert digests(records) == whole
