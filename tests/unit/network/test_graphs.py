"""Every named topology: its links, its order, the same in every process; files and link rules."""

import subprocess
import sys

import networkx as nx
import numpy as np
import pytest
from network_fakes import topology

from mpidcl.errors import ExperimentError
from mpidcl.network.schedule.graphs import GRAPHS

UNDIRECTED = [
    ("complete", 6, {}), ("ring", 6, {}), ("star", 6, {}), ("tree", 9, {}), ("line", 6, {}), ("grid", 12, {}),
    ("torus", 12, {}), ("hypercube", 8, {}), ("random", 9, {"probability": 0.3}),
    ("erdos-renyi", 9, {"probability": 0.3}), ("small-world", 12, {"neighbours": 4, "rewire": 0.3}),
]  # fmt: skip


def as_graph(network):
    return nx.Graph([(link.source, link.target) for link in network.links])


@pytest.mark.parametrize(("name", "agents", "keys"), UNDIRECTED)
def test_links_go_both_ways_in_order_and_never_to_oneself(name, agents, keys):
    network = topology(name, agents, **keys)
    pairs = [(link.source, link.target) for link in network.links]
    assert pairs == sorted(set(pairs))
    assert [link.index for link in network.links] == list(range(len(pairs)))
    assert not len(network.one_way())
    assert all(0 <= a < agents and 0 <= b < agents and a != b for a, b in pairs)


def test_every_name_of_the_experiment_file_is_tested_here():
    assert {name for name, _, _ in UNDIRECTED} | {"file"} == set(GRAPHS)


@pytest.mark.parametrize(
    ("name", "agents", "edges", "degrees"),
    [
        ("complete", 6, 15, [5] * 6),
        ("ring", 6, 6, [2] * 6),
        ("star", 6, 5, [5, 1, 1, 1, 1, 1]),
        ("line", 6, 5, [1, 2, 2, 2, 2, 1]),
        ("grid", 12, 17, [2, 3, 3, 2, 3, 4, 4, 3, 2, 3, 3, 2]),
        ("torus", 12, 24, [4] * 12),
        ("hypercube", 8, 12, [3] * 8),
        ("small-world", 12, 24, None),
        ("tree", 9, 8, None),
    ],
)
def test_counts(name, agents, edges, degrees):
    network = topology(name, agents)
    assert len(network.links) == 2 * edges
    if degrees is not None:
        assert [len(network.neighbours(a)) for a in range(agents)] == degrees


@pytest.mark.parametrize("name", sorted({n for n, _, _ in UNDIRECTED} - {"small-world"}))
@pytest.mark.parametrize("agents", [1, 2, 4])
def test_small_networks(name, agents):
    network = topology(name, agents, probability=1.0)
    assert len(network.islands()) == 1
    if agents == 2:
        assert [(link.source, link.target) for link in network.links] == [(0, 1), (1, 0)]


@pytest.mark.parametrize("name", ["tree", "random", "erdos-renyi", "small-world"])
def test_random_graphs_follow_the_seed(name):
    drawn = [topology(name, 20, seed=seed).links for seed in range(4)]
    assert [topology(name, 20, seed=seed).links for seed in range(4)] == drawn
    assert len(set(drawn)) == 4


def test_random_graphs_are_the_same_in_another_process():
    code = (
        "from mpidcl.network.schedule.graphs import build_topology as b\n"
        "from mpidcl.experiment.network_table import Network as N\n"
        "for n in ('tree', 'random', 'erdos-renyi', 'small-world'):\n"
        "    print([(l.source, l.target) for l in b(N(topology=n), 12, 3).links])"
    )
    out = [
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
        for _ in range(2)
    ]
    names = ("tree", "random", "erdos-renyi", "small-world")
    here = [str([(k.source, k.target) for k in topology(name, 12, seed=3).links]) for name in names]
    assert out[0] == out[1] == "\n".join(here) + "\n"


def test_a_tree_is_drawn_uniformly():
    seen = {frozenset((k.source, k.target) for k in topology("tree", 4, seed=s).links) for s in range(200)}
    assert len(seen) == 16  # Cayley: 4^(4-2) labelled trees
    assert all(nx.is_tree(nx.Graph(list(edges))) for edges in seen)


def test_random_is_connected_at_probability_0_and_complete_at_1():
    for seed in range(5):
        assert nx.is_tree(as_graph(topology("random", 10, seed=seed, probability=0.0)))
        assert len(topology("random", 10, seed=seed, probability=1.0).links) == 90
    assert topology("erdos-renyi", 10, probability=0.0).links == ()


def test_erdos_renyi_has_its_share_of_edges():
    links = [len(topology("erdos-renyi", 30, seed=s, probability=0.3).links) // 2 for s in range(20)]
    assert abs(np.mean(links) - 0.3 * 435) < 4 * np.sqrt(0.3 * 0.7 * 435 / 20)


def test_lattices_follow_their_shape():
    wide = as_graph(topology("grid", 12, shape=[2, 6]))
    assert nx.diameter(wide) == 6
    assert set(wide[0]) == {1, 6}
    assert set(as_graph(topology("torus", 12, shape=[3, 4]))[0]) == {1, 3, 4, 8}
    prime = topology("grid", 7)  # nothing but a line
    assert prime.links == topology("line", 7).links


@pytest.mark.parametrize(
    ("name", "agents", "keys", "words"),
    [
        ("grid", 12, {"shape": [5, 2]}, ["shape", "12", "5 x 2 = 10"]),
        ("hypercube", 6, {}, ["power of two", "Found 6", "4 and 8"]),
        ("small-world", 4, {"neighbours": 4}, ["neighbours", "below", "(4)", "Found 4"]),
        ("file", 3, {}, ["needs key `file`"]),
        ("file", 3, {"file": "/no/such/edges"}, ["/no/such/edges", "there is none"]),
    ],
)
def test_what_cannot_be_is_said(name, agents, keys, words):
    with pytest.raises(ExperimentError) as error:
        topology(name, agents, **keys)
    assert all(word in str(error.value) for word in words), error.value


# --- files ---------------------------------------------------------------------------------------


def from_file(tmp_path, text, agents=4):
    path = tmp_path / "edges.txt"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return topology("file", agents, file=str(path))


def test_a_file_has_one_way_and_two_way_links_comments_and_repetitions(tmp_path):
    network = from_file(tmp_path, "# a network\n0 1\n\n2 - 1  # both ways\n3 0\n0 1\n2 2\n")
    assert [(k.source, k.target) for k in network.links] == [(0, 1), (1, 2), (2, 1), (3, 0)]
    assert [network.at(n).name for n in network.one_way()] == ["link 0 -> 1", "link 3 -> 0"]
    assert network.neighbours(0) == (1, 3)


def test_an_empty_file_is_a_network_without_links(tmp_path):
    assert from_file(tmp_path, "\n").links == ()


@pytest.mark.parametrize(
    "line", ["0", "0 4", "0 -1", "0 1 2", "a b", "- 0 1", "0 - - 1", "0-1", "0 1 -", "1.0 2"]
)
def test_a_bad_line_is_named(tmp_path, line):
    with pytest.raises(ExperimentError, match="line 2: should be two agent numbers from 0 to 3") as error:
        from_file(tmp_path, f"0 1\n{line}\n")
    assert repr(line) in str(error.value)
    assert "edges.txt" in str(error.value)


def test_a_file_that_is_not_a_text_is_named(tmp_path):
    with pytest.raises(ExperimentError, match="could not be read: it is not a text"):
        from_file(tmp_path, b"0 1\n\xff\xfe\n")


# --- rules for some links ------------------------------------------------------------------------


def test_conditions_and_budget_hold_on_every_link():
    keys = {"latency": 0.5, "bandwidth": 100.0, "jitter": 0.25, "loss": 0.125}
    network = topology("ring", 3, budget=4096, conditions=keys)
    for link in network.links:
        assert (link.budget, link.latency, link.bandwidth, link.jitter, link.loss) == (
            4096,
            0.5,
            100.0,
            0.25,
            0.125,
        )


def test_the_last_rule_that_names_a_value_wins_and_classes_add_up():
    rules = [
        {"class": "from-0", "from": [0], "budget": 100, "loss": 0.5},
        {"class": "to-1", "to": [1], "budget": 200},
        {"class": "both", "from": [0], "to": [1], "latency": 2.0},
    ]
    network = topology("complete", 3, budget=1000, link=rules)
    links = {(link.source, link.target): link for link in network.links}
    assert links[0, 1].classes == ("from-0", "to-1", "both")
    assert (links[0, 1].budget, links[0, 1].loss, links[0, 1].latency) == (200, 0.5, 2.0)
    assert (links[0, 2].budget, links[0, 2].classes) == (100, ("from-0",))
    assert (links[2, 1].budget, links[2, 1].loss) == (200, 0.0)
    assert (links[1, 2].budget, links[1, 2].classes) == (1000, ())
    assert links[0, 1].in_class("all")
    assert links[0, 1].in_class("both")
    assert not links[1, 2].in_class("both")


def test_a_rule_can_lift_a_condition():
    network = topology("ring", 3, conditions={"loss": 0.5}, link=[{"from": [0], "loss": 0.0}])
    assert {link.loss for link in network.links if link.source == 0} == {0.0}
    assert {link.loss for link in network.links if link.source != 0} == {0.5}


@pytest.mark.parametrize(
    ("name", "agents", "keys"),
    [
        ("complete", 1001, {}),
        ("small-world", 2000, {"neighbours": 999}),
        ("random", 2000, {"probability": 0.9}),
        ("erdos-renyi", 2000, {"probability": 0.9}),
    ],
)
def test_more_links_than_every_process_can_hold(name, agents, keys):
    with pytest.raises(ExperimentError, match="at most 1,000,000 links"):
        topology(name, agents, **keys)


def test_edges_are_drawn_as_ever_pair_by_pair():
    """In the order of the pairs, one draw each: the graphs of earlier versions."""
    from itertools import combinations

    from mpidcl.randomness import EVERYBODY, numpy_generator

    pairs = list(combinations(range(9), 2))
    draws = numpy_generator(0, EVERYBODY, "topology edges").random(len(pairs))
    drawn = {pair for pair, draw in zip(pairs, draws, strict=True) if draw < 0.3}
    found = topology("erdos-renyi", 9, probability=0.3).links
    assert {(link.source, link.target) for link in found if link.source < link.target} == drawn


@pytest.mark.parametrize("number", ["9" * 5000, "\u0661"])
def test_agents_of_a_file_are_small_numbers(tmp_path, number):
    edges = tmp_path / "edges"
    edges.write_text(f"0 {number}\n")
    if number == "\u0661":
        assert len(topology("file", 2, file=str(edges)).links) == 1
        return
    with pytest.raises(ExperimentError, match="should be two agent numbers"):
        topology("file", 2, file=str(edges))
