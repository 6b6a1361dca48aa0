"""What agents that share one model say that they send, against a count by hand."""

from __future__ import annotations

import numpy as np

from mpidcl.learning.parallel.gradients import OwnGradient, RowBatch
from mpidcl.learning.sharing.together import Together
from mpidcl.network.requests import Combine, Compare, Compared, Gather

AGENTS = 3
FACTS = 2


def drive(work: object, reply: object) -> object:
    """The one request of a generator, which is answered with `reply`."""
    request = next(work)  # type: ignore[call-overload]
    try:
        work.send(reply)  # type: ignore[attr-defined]
    except StopIteration:
        return request
    raise AssertionError("it asked twice")


def gradient(place: int) -> OwnGradient:
    batch = RowBatch(np.zeros((1, 2), np.float32), np.zeros(1, np.int64), np.ones(2, bool))
    return OwnGradient(place, place, batch, np.zeros(1, np.float32), np.zeros(FACTS, np.float32))


def step_of(agents: list[Together], floats: int) -> None:
    compared = Compared(np.zeros((3, 3)), np.zeros((3, FACTS), np.float32))
    for place, agent in enumerate(agents):
        asked = drive(agent.compare(0, (0, 1, 2), [gradient(place)], FACTS), compared)
        assert isinstance(asked, Compare) and asked.owners == (0, 1, 2)
        direction = drive(agent.combine(0, np.ones(3), np.zeros(floats, np.float32)), ())
        assert isinstance(direction, Combine)


def test_a_step_sends_what_a_ring_allreduce_would() -> None:
    floats = 100 * 65536 + 7  # 101 blocks, the last one short: agents own 33, 34 and 34
    agents = [Together(agent, AGENTS, floats) for agent in range(AGENTS)]
    step_of(agents, floats)
    slices = (
        3 * 4 * floats - 4 * floats + 2 * 4 * floats
    )  # all but one's own share, and the shares to two others
    grams = 2 * (101 * 8 * 9 + AGENTS * 4 * FACTS)
    assert sum(agent.sent_bytes for agent in agents) == slices + grams
    ring = AGENTS * 2 * 4 * floats * (AGENTS - 1) / AGENTS
    assert abs(slices + grams - ring) < 0.01 * ring


def test_small_gradients_go_to_all_as_they_are() -> None:
    agents = [Together(agent, AGENTS, 1000) for agent in range(AGENTS)]
    step_of(agents, 1000)
    assert {agent.sent_bytes for agent in agents} == {2 * (4000 + 4 * FACTS)}


def test_gathering_counts_those_who_hear() -> None:
    agent = Together(1, AGENTS, 10)
    assert isinstance(drive(agent.gather("x", np.zeros(5), None), []), Gather)
    assert agent.sent_bytes == 2 * 40
    drive(agent.gather("x", np.zeros(5), 1), [])
    drive(agent.gather("x", None, 0), [])
    assert agent.sent_bytes == 2 * 40
    drive(agent.gather("x", np.zeros(5), 0), [])
    assert agent.sent_bytes == 3 * 40
    again = Together(1, AGENTS, 10)
    again.load(agent.state())
    assert again.sent_bytes == agent.sent_bytes
