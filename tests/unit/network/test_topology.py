"""What a topology knows of its links, and how it draws itself in a log."""

from network_fakes import from_edges, topology


def test_tables_are_in_order_of_the_other_end():
    network = from_edges(4, [(3, 1), (0, 1), (1, 0), (1, 3), (2, 1), (1, 2)])
    assert list(network.outgoing[1]) == [0, 2, 3]
    assert list(network.incoming[1]) == [0, 2, 3]
    assert network.outgoing[1][2] is network.incoming[2][1]
    assert network.neighbours(1) == (0, 2, 3)


def test_neighbours_count_links_of_either_direction():
    network = from_edges(3, [(0, 1), (2, 0)])
    assert network.neighbours(0) == (1, 2)
    assert network.neighbours(1) == (0,)
    assert [(link.source, link.target) for link in network.one_way()] == [(0, 1), (2, 0)]


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
