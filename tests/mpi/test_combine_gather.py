"""Everybody's array, in order of agent, on any number of ranks."""

from __future__ import annotations

import numpy as np
import pytest
from combine_fakes import drive
from mpi4py import MPI

from mpidcl.errors import CombineError
from mpidcl.network.inprocess import InProcessDriver
from mpidcl.network.mpi import pending as mpi_pending
from mpidcl.network.requests import Gather

COMM = MPI.COMM_WORLD
ARRAYS = [
    np.arange(6.0).reshape(2, 3),
    None,
    np.array(3, np.int64),
    np.zeros((0, 5), np.float32),
    np.arange(300_000, dtype=np.float32),
    np.array([True, False]),
    np.arange(12, dtype=">i2").reshape(2, 2, 3)[:, ::-1],
]
AGENTS = len(ARRAYS)


def life(agent, to, steps=2):
    found = []
    for number in range(steps):
        array = ARRAYS[(agent + number) % AGENTS]
        found.append((yield Gather(f"step {number}", number, array, to)))
    return found


def same(a, b) -> bool:
    if a is None or b is None:
        return a is b
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


@pytest.mark.parametrize("to", [None, 0, 3, AGENTS - 1])
@pytest.mark.parametrize("chunk", [2**30, 1000])
def test_arrays_of_any_shape_come_in_order_of_agent(to, chunk, monkeypatch):
    monkeypatch.setattr(mpi_pending, "CHUNK_BYTES", chunk)
    for agent, found in drive(lambda agent: life(agent, to), AGENTS).items():
        for number, arrays in enumerate(found):
            want = [ARRAYS[(a + number) % AGENTS] for a in range(AGENTS)] if to in (None, agent) else []
            assert len(arrays) == len(want)
            assert all(same(a, b) for a, b in zip(arrays, want, strict=True))


def test_both_drivers_answer_alike():
    local = InProcessDriver().drive({agent: life(agent, 2) for agent in range(AGENTS)})
    for agent, found in drive(lambda agent: life(agent, 2), AGENTS).items():
        for mine, other in zip(found, local[agent], strict=True):
            assert len(mine) == len(other) and all(map(same, mine, other))


def test_what_was_gathered_is_ones_own():
    """An agent that writes into it changes nobody else's, nor the array that was sent."""

    def writes(agent):
        array = np.full(3, float(agent))
        first = yield Gather("now", 0, array)
        for part in first:
            part += 100
        second = yield Gather("now", 1, array)
        return [part.tolist() for part in second]

    want = [[float(agent)] * 3 for agent in range(4)]
    assert all(found == want for found in drive(writes, 4).values())
    assert all(found == want for found in InProcessDriver().drive({a: writes(a) for a in range(4)}).values())


@pytest.mark.parametrize("array", [np.array(["text"]), np.array([object()])])
def test_only_numbers_are_gathered(array):
    def brings(agent):
        yield Gather("step 3", 0, array)

    with pytest.raises(CombineError, match="step 3: agent 0 should bring numbers"):
        InProcessDriver().drive({0: brings(0)})


def test_agents_must_name_one_receiver():
    def names(agent):
        yield Gather("step 3", 0, None, to=agent)

    with pytest.raises(CombineError, match="same receiver. Found 0 in agent 0 and 1 in agent 1"):
        InProcessDriver().drive({agent: names(agent) for agent in range(2)})
