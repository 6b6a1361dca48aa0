"""What a topology knows of its links, and how it draws itself in a log."""

import numpy as np
import pytest
from network_fakes import from_edges, topology

from mpidcl.network.schedule.topology import Link, Topology


def test_tables_are_in_order_of_the_other_end():
    network = from_edges(4, [(3, 1), (0, 1), (1, 0), (1, 3), (2, 1), (1, 2)])
    assert list(network.outgoing(1)) == [0, 2, 3]
    assert list(network.incoming(1)) == [0, 2, 3]
    assert network.outgoing(1)[2] is network.incoming(2)[1]
    assert network.neighbours(1) == (0, 2, 3)


@pytest.mark.parametrize("seed", range(5))
def test_what_is_known_of_links_without_them_is_what_they_say(seed):
    rng = np.random.default_rng(seed)
    drawn = {(int(a), int(b)) for a, b in rng.integers(0, 9, (30, 2)) if a != b}
    classes = [(), ("near",), ("far",), ("near", "far")]
    network = Topology.of("any", 9, [Link(0, a, b, classes[(a + 2 * b) % 4], a * b % 3) for a, b in drawn])
    assert [link.index for link in network.links] == list(range(len(drawn)))
    for link in network.links:
        a, b = link.source, link.target
        assert (link.classes, link.budget) == (classes[(a + 2 * b) % 4], a * b % 3)
        back = network.back[link.index]
        assert network.edges[back].tolist() == [b, a] if back >= 0 else (b, a) not in drawn
    for wanted in ("all", "near", "far", "none"):
        used = [link for link in network.links if link.in_class(wanted)]
        assert network.count(wanted) == len(used)
        for agent in range(9):
            out = [link.target for link in used if link.source == agent]
            assert network.users(agent, wanted) == out + [k.source for k in used if k.target == agent]
    assert network.degrees.tolist() == [len(network.neighbours(agent)) for agent in range(9)]


def test_links_are_made_when_they_are_asked_for():
    network = topology("complete", 1000)
    assert len(network.edges) == 999_000 and network.count("all") == 999_000
    assert len(network.outgoing(3)) == len(network.incoming(3)) == network.degrees[3] == 999
    assert len(network._links) == 2 * 999
    assert network.outgoing(999)[998].index == 998_999


def test_neighbours_count_links_of_either_direction():
    network = from_edges(3, [(0, 1), (2, 0)])
    assert network.neighbours(0) == (1, 2)
    assert network.neighbours(1) == (0,)
    assert [tuple(network.edges[number]) for number in network.one_way()] == [(0, 1), (2, 0)]


def test_islands_are_sorted_largest_first_and_see_no_direction():
    network = from_edges(6, [(4, 2), (2, 5), (0, 1), (1, 0)])
    assert network.islands() == [[2, 4, 5], [0, 1], [3]]
    assert topology("ring", 5).islands() == [[0, 1, 2, 3, 4]]


def test_describe_a_ring():
    assert topology("ring", 4).describe() == (
        "ring: 4 agents, 8 links, connected\n"
        "  0 <-> 1  <-> 3\n"
        "  1 <-> 0  <-> 2\n"
        "  2 <-> 1  <-> 3\n"
        "  3 <-> 0  <-> 2"
    )


def test_describe_says_what_is_one_way_and_what_is_not_connected():
    assert from_edges(4, [(0, 1), (2, 1), (1, 2)]).describe() == (
        "by hand: 4 agents, 3 links, NOT connected: 2 separate groups\n"
        "  0 --> 1\n"
        "  1 <-- 0  <-> 2\n"
        "  2 <-> 1\n"
        "  3 (no neighbours)\n"
        "  groups: 0 1 2; 3"
    )


def test_describe_stays_short():
    lines = topology("ring", 100).describe().splitlines()
    assert len(lines) == 66
    assert lines[1] == "   0 <-> 1  <-> 99"
    assert lines[-1] == "  ... and 36 more agents"


def test_one_agent_alone():
    network = topology("ring", 1)
    assert network.describe() == "ring: 1 agent, 0 links, connected\n  0 (no neighbours)"
