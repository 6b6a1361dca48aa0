"""Agents that train one model hold the same bits on any number of ranks, and as in one process."""

from __future__ import annotations

import pytest
from combine_fakes import drive
from one_model_fakes import equal_cuts, lives

from mpidcl.network.inprocess import InProcessDriver

AGENTS = 4
UNEQUAL = [0, 7, 7, 33, 40]


NORMED = {"terms": (), "kind": "resnet18", "options": {"width": 2}}
EACH_STEP = {"insert": "each step", "capacity": "9 rows"}
FROM_SCRATCH = NORMED | {"ways": {"restart": True}}


@pytest.mark.parametrize(
    ("cuts", "settings"),
    [(equal_cuts(AGENTS), EACH_STEP), (UNEQUAL, NORMED), (equal_cuts(AGENTS), FROM_SCRATCH)],
)
def test_all_agents_end_with_one_model(cuts, settings):
    start = lives(AGENTS, cuts, **settings)
    want = InProcessDriver().drive({agent: start(agent) for agent in range(AGENTS)})
    assert len({digest for digest, _ in want.values()}) == 1
    for agent, found in drive(start, AGENTS).items():
        assert found == want[agent]
