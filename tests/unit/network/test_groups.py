"""Groups: who is in which, who speaks, and the links that follow."""

from __future__ import annotations

import numpy as np
import pytest

from mpidcl.errors import ExperimentError
from mpidcl.experiment.network_table import Network
from mpidcl.network.schedule.graphs import build_topology
from mpidcl.network.schedule.groups import groups_of
from mpidcl.network.schedule.topology import Topology


def network(**groups: object) -> Network:
    return Network.model_validate({"topology": "groups", "groups": groups})


def ends(topology: Topology, wanted: str) -> set[tuple[int, int]]:
    return {(link.source, link.target) for link in topology.links if link.in_class(wanted)}


def test_groups_by_size_by_sizes_and_by_list() -> None:
    assert groups_of(network(of=2), 6).members == ((0, 1), (2, 3), (4, 5))
    assert groups_of(network(of=[3, 1]), 4).members == ((0, 1, 2), (3,))
    found = groups_of(network(members=[[0, 2], [3, 1]], messengers=[1, 2]), 4)
    assert found.members == ((0, 2), (3, 1))
    assert found.messengers == ((2,), (1,))
    assert found.of.tolist() == [0, 1, 0, 1]


def test_other_topologies_have_groups_of_one() -> None:
    found = groups_of(Network(), 3)
    assert found.members == found.messengers == ((0,), (1,), (2,))


def test_links_are_inside_to_messengers_and_between_them() -> None:
    topology = build_topology(network(of=3, inside="directed-ring"), 6, 0)
    ring = {(0, 1), (1, 2), (2, 0), (3, 4), (4, 5), (5, 3)}
    assert ends(topology, "inside") == ring
    down = {(0, 1), (0, 2), (3, 4), (3, 5)}
    up = {(b, a) for a, b in down}
    assert ends(topology, "messenger") == down
    assert ends(topology, "report") == up
    assert ends(topology, "between") == {(0, 3), (3, 0)}
    assert ends(topology, "members") == ring | up
    assert ends(topology, "all") == ring | up | down | {(0, 3), (3, 0)}


def test_deputies_have_the_links_of_messengers() -> None:
    topology = build_topology(network(of=4, deputies=1), 8, 0)
    assert ends(topology, "between") == {(a, b) for a in (0, 1) for b in (4, 5)} | {
        (b, a) for a in (0, 1) for b in (4, 5)
    }
    assert {(1, 2), (1, 3), (1, 0), (0, 1)} <= ends(topology, "messenger")
    assert {(2, 1), (3, 1), (0, 1), (1, 0)} <= ends(topology, "report")


@pytest.mark.parametrize(
    ("shape", "pairs"),
    [
        ("complete", {(0, 1), (1, 0), (0, 2), (2, 0), (1, 2), (2, 1)}),
        ("ring", {(0, 1), (1, 0), (0, 2), (2, 0), (1, 2), (2, 1)}),
        ("directed-ring", {(0, 1), (1, 2), (2, 0)}),
        ("line", {(0, 1), (1, 0), (1, 2), (2, 1)}),
        ("star", {(0, 1), (1, 0), (0, 2), (2, 0)}),
    ],
)
def test_shapes_between_groups(shape: str, pairs: set[tuple[int, int]]) -> None:
    assert ends(build_topology(network(of=1, between=shape), 3, 0), "between") == pairs


def test_a_rule_of_a_class_covers_its_links_alone() -> None:
    table = {"topology": "groups", "groups": {"of": 2}, "link": [{"class": "between", "latency": "2 s"}]}
    topology = build_topology(Network.model_validate(table), 4, 0)
    assert {link.latency for link in topology.links if link.in_class("between")} == {2.0}
    assert {link.latency for link in topology.links if not link.in_class("between")} == {0.0}


def test_messengers_speak_or_the_first_deputy_there() -> None:
    found = groups_of(network(of=4, messengers=2, deputies=2), 4)
    assert found.acting(0, ()) == (0, 1)
    assert found.acting(0, (0,)) == (1,)
    assert found.acting(0, (0, 1)) == (2,)
    assert found.acting(0, (0, 1, 2)) == (3,)
    assert found.acting(0, (0, 1, 2, 3)) == ()
    assert [found.may_speak(agent) for agent in range(4)] == [True] * 4


@pytest.mark.parametrize(
    ("groups", "agents", "says"),
    [
        ({}, 4, "should have one of the keys `of` and `members`. Found neither"),
        ({"of": 2, "members": [[0, 1]]}, 2, "Found both"),
        ({"of": 4}, 6, "should put each of the 6 agents into one group. Found places for 8 agents"),
        ({"of": 10**16}, 4, "network.groups.of should be at most agents = 4. Found 10000000000000000"),
        ({"of": [2, 10**16]}, 4, "network.groups.of should be at most agents = 4. Found 10000000000000000"),
        ({"members": [[0, 1], [1, 2]]}, 3, "Found agent 1 more than once"),
        ({"members": [[0, 1], []]}, 2, "should have a member in each group. Found none in group 1"),
        ({"members": [[0], [2]]}, 3, "Found no group for 1"),
        ({"of": 2, "messengers": [0]}, 4, "Found none of group 1, whose members are 2, 3"),
        ({"of": 2, "messengers": [0, 9]}, 4, "should be below agents = 4. Found 9"),
    ],
)
def test_groups_that_do_not_fit_are_refused(groups: dict[str, object], agents: int, says: str) -> None:
    with pytest.raises(ExperimentError, match=r"network\.groups") as error:
        groups_of(network(**groups), agents)
    assert says in str(error.value)


def test_a_thousand_agents_have_few_links() -> None:
    topology = build_topology(network(of=50, deputies=2, inside="ring"), 1000, 0)
    per_group = 2 * 50 + 2 * (49 + 48 + 47) - 2 * 2  # a ring; a star about each of three, pairs once
    between = 20 * 19 * 9
    assert len(topology.edges) <= 20 * per_group + between
    assert np.all(np.diff(topology.edges @ (1000, 1)) > 0)
