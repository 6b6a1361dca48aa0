"""What linear ticks refuse, and what they say."""

from __future__ import annotations

import re

import numpy as np
import pytest

from mpidcl_kernels import linear

NAMES = (
    "w",
    "x",
    "y",
    "neighbours",
    "weights",
    "lam_local",
    "theta_row",
    "means",
    "lam_global",
    "alpha",
    "group",
)
TICK_REFUSED = [
    ("w", np.zeros((1, 3)), "`w` should be [d]. Found shape [1, 3]."),
    ("x", np.zeros(2), "`x` should be of shape [3]. Found [2]."),
    ("neighbours", np.zeros((2, 2)), "`neighbours` should be of shape [2, 3]. Found [2, 2]."),
    ("weights", np.ones(1), "`neighbours` should be of shape [1, 3]. Found [2, 3]."),
    ("weights", np.array([1.0, -0.5]), "`weights` should be non-negative and finite. Found -0.5."),
    ("weights", -np.ones(2), "`weights` should be non-negative and finite. Found -1.0."),
    ("weights", np.array([1.0, np.nan]), "`weights` should be non-negative and finite. Found nan."),
    ("weights", np.array([1.0, np.inf]), "`weights` should be non-negative and finite. Found inf."),
    ("theta_row", np.ones(3), "`means` should be of shape [3, 3]. Found [2, 3]."),
    ("means", np.zeros((2, 1)), "`means` should be of shape [2, 3]. Found [2, 1]."),
    ("lam_local", -1.0, "`lam_local` should be non-negative and finite. Found -1.0."),
    ("lam_global", np.nan, "`lam_global` should be non-negative and finite. Found nan."),
    ("alpha", np.inf, "`alpha` should be non-negative and finite. Found inf."),
    ("group", 2, "`group` should be between 0 and 1. Found 2."),
    ("group", -1, "`group` should be between 0 and 1. Found -1."),
]


def tick(**changes):
    parts = (
        np.zeros(3),
        np.ones(3),
        1.0,
        np.ones((2, 3)),
        np.ones(2),
        1.0,
        np.ones(2),
        np.ones((2, 3)),
        1.0,
        0.1,
        0,
    )
    return {**dict(zip(NAMES, parts, strict=True)), **changes}


@pytest.mark.parametrize(("name", "value", "message"), TICK_REFUSED)
def test_one_tick(name, value, message):
    arguments = tick(**{name: value})
    before = np.copy(arguments["w"])
    with pytest.raises(ValueError, match=re.escape(message)):
        linear.linear_step(**arguments)
    np.testing.assert_array_equal(arguments["w"], before)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("w", np.zeros(3, np.float32)),
        ("x", np.ones(3, int)),
        ("x", [1.0, 1.0, 1.0]),
        ("means", np.ones((2, 3), np.float16)),
    ],
)
def test_types_of_one_tick(name, value):
    with pytest.raises(TypeError, match=f"`{name}` should be"):
        linear.linear_step(**tick(**{name: value}))


def test_a_read_only_model_is_refused():
    w = np.zeros(3)
    w.flags.writeable = False
    with pytest.raises(ValueError, match="`w` should be writeable"):
        linear.linear_step(**tick(w=w))


def run(w=None, nodes=(0, 1, 0), x=None, y=None, alpha=0.1, seen=None, graph=None, relation=None, **options):
    nodes = np.array(nodes)
    x = np.ones((3, 2)) if x is None else x
    events = linear.Events(nodes, x, np.ones(3) if y is None else y, alpha, seen)
    graph = linear.Neighbours.from_matrix(np.array([[0, 1.0], [1.0, 0]]), 1.0) if graph is None else graph
    return linear.run_events(np.zeros((2, 2)) if w is None else w, events, graph, relation, **options)


def graph_of(starts=(0, 1, 2), sources=(1, 0), weights=(1.0, 1.0), pull=1.0):
    return linear.Neighbours(np.array(starts), np.array(sources), np.array(weights), pull)


def relation_of(tasks=2, groups=(0, 1), size=2, pull=1.0):
    return linear.Relation(np.eye(tasks), np.ones((2, size)), np.array(groups), pull)


RUN_REFUSED = {
    "node above": ({"nodes": (0, 2, 0)}, "`nodes` should be between 0 and 1. Found 2."),
    "node below": ({"nodes": (0, -1, 0)}, "`nodes` should be between 0 and 1. Found -1."),
    "models": ({"w": np.zeros(2)}, "`w` should be [N, d]. Found shape [2]."),
    "x": ({"x": np.ones((2, 2))}, "`x` should be of shape [3, 2]. Found [2, 2]."),
    "y": ({"y": np.ones((3, 1))}, "`y` should be of shape [3]. Found [3, 1]."),
    "alpha": ({"alpha": -0.1}, "`alpha` should be non-negative and finite. Found -0.1."),
    "alphas": (
        {"alpha": np.array([0.1, -0.1, 0.1])},
        "`alpha` should be non-negative and finite. Found -0.1.",
    ),
    "alpha nan": (
        {"alpha": np.array([0.1, np.nan, 0.1])},
        "`alpha` should be non-negative and finite. Found nan.",
    ),
    "alpha shape": ({"alpha": np.ones(2)}, "`alpha` should be of shape [3]. Found [2]."),
    "every": ({"every": 0}, "`every` should be at least 1. Found 0."),
    "target": ({"target": np.zeros((1, 2))}, "`target` should be of shape [2, 2]. Found [1, 2]."),
    "source": (
        {"graph": graph_of(sources=(1, 2))},
        "`neighbours.sources` should be between 0 and 1. Found 2.",
    ),
    "starts": (
        {"graph": graph_of(starts=(0, 2, 1))},
        "`neighbours.starts` should be rising from 0 to the 2 sources.",
    ),
    "starts size": (
        {"graph": graph_of(starts=(0, 2))},
        "`neighbours.starts` should be of shape [3]. Found [2].",
    ),
    "weight": (
        {"graph": graph_of(weights=(1.0, -2.0))},
        "`neighbours.weights` should be non-negative and finite.",
    ),
    "pull": (
        {"graph": graph_of(pull=-1.0)},
        "`neighbours.pull` should be non-negative and finite. Found -1.0.",
    ),
    "group": (
        {"relation": relation_of(groups=(0, 2))},
        "`relation.groups` should be between 0 and 1. Found 2.",
    ),
    "means": ({"relation": relation_of(size=3)}, "`relation.means` should be of shape [2, 2]. Found [2, 3]."),
    "global": (
        {"relation": relation_of(pull=np.inf)},
        "`relation.pull` should be non-negative and finite. Found inf.",
    ),
    "future": (
        {"seen": np.array([[-1], [1], [1]])},
        "`seen` should be earlier events. Found event 1, not before",
    ),
    "stranger": (
        {"seen": np.array([[-1], [0], [0]])},
        "`seen` should be events of the neighbour. Found event 0 of node 0",
    ),
    "seen range": ({"seen": np.array([[-2], [0], [1]])}, "`seen` should be between -1 and 2. Found -2."),
    "seen shape": ({"seen": np.array([-1, 0, 1])}, "`seen` should be of shape [3, 1]. Found [3]."),
}


@pytest.mark.parametrize("name", RUN_REFUSED)
def test_a_list(name):
    changes, message = RUN_REFUSED[name]
    with pytest.raises(ValueError, match=re.escape(message)):
        run(**changes)


@pytest.mark.parametrize(
    "changes", [{"nodes": (0.0, 1.0, 0.0)}, {"x": np.ones((3, 2), int)}, {"w": np.zeros((2, 2), np.float32)}]
)
def test_types_of_a_list(changes):
    with pytest.raises(TypeError, match="should be"):
        run(**changes)


def test_what_is_accepted():
    assert run(seen=np.array([[-1], [0], [1]]), relation=relation_of()) is None
