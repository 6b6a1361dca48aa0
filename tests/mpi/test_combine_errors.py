"""What goes wrong when agents combine is a clear error on every rank that sees it, never a hang."""

from __future__ import annotations

import re
import time

import numpy as np
import pytest
from combine_fakes import gradients, share
from mpi4py import MPI
from network_fakes import from_edges

from mpidcl.errors import CombineError, DeadlockError
from mpidcl.network.mpi.driver import MpiDriver
from mpidcl.network.requests import Combine, Compare, Gather, Row
from mpidcl.network.waits import DEBUG

COMM = MPI.COMM_WORLD
LAST = COMM.size - 1


@pytest.fixture(params=[0, 2**40], ids=["slices", "whole"], autouse=True)
def form(request, monkeypatch):
    """Gradients travel in slices, or whole when they are small."""
    monkeypatch.setattr("mpidcl.network.together.blocks.WHOLE_BYTES", request.param)


def together() -> None:
    """All ranks, by polling: nobody is left in a call that another rank's failure would never end."""
    request, limit = COMM.Ibarrier(), time.monotonic() + 30
    while not request.Test():
        assert time.monotonic() < limit, "another rank did not come"
        time.sleep(0.001)


def failure(lives, error: type[Exception] = CombineError, deadline: float = 20.0) -> str:
    """The message of the error that one agent per rank ends with, on every rank."""
    driver = MpiDriver(COMM, from_edges(COMM.size, []), range(COMM.size), deadline=deadline)
    driver.control.finish = lambda *_: None
    with pytest.raises(error) as caught:
        driver.drive({COMM.rank: lives(COMM.rank)})
    together()
    driver.close()
    return str(caught.value)


several = pytest.mark.skipif(COMM.size == 1, reason="ranks that differ")


def compares(owners, floats, facts=1, when="step 7", number=0):
    def life(agent):
        size = floats(agent) if callable(floats) else floats
        count = facts(agent) if callable(facts) else facts
        order = owners(agent) if callable(owners) else owners
        mine = [place for place, owner in enumerate(order) if owner == agent]
        rows = tuple(Row(p, np.ones(size, np.float32), np.zeros(count, np.float32)) for p in mine)
        yield Compare(when, number(agent) if callable(number) else number, tuple(order), rows)

    return life


@several
@pytest.mark.parametrize("sizes", [(1000, 1001), (100_000, 1), (1, 5_000_000)])
def test_gradients_of_different_sizes_name_ranks_and_counts(sizes):
    size, last = sizes
    text = failure(compares(list(range(COMM.size)), lambda agent: last if agent == LAST else size))
    assert text.startswith("Compare 0 at step 7: all ranks should have gradients of as many floats. Found ")
    assert f"{size} on rank" in text and f"{last} on rank {LAST}" in text and "their models differ" in text


@several
def test_different_facts_name_ranks_and_counts():
    text = failure(compares(list(range(COMM.size)), 10, facts=lambda agent: 5 + (agent == LAST)))
    assert "all ranks should have as many facts per row" in text and f"6 on rank {LAST}" in text


@several
def test_different_orders_of_rows():
    text = failure(compares(lambda agent: [0, LAST] if agent else [LAST, 0], 10))
    assert "all ranks should have the same order of rows" in text


@several
def test_ranks_that_are_at_different_requests():
    text = failure(compares([0], 10, number=lambda agent: agent // LAST))
    assert "at step 7, all ranks should ask for the same" in text
    assert "Compare 0 on rank" in text and f"Compare 1 on rank {LAST}" in text


def combines(weights, floats=10, before=lambda matrix: None):
    owners = list(range(COMM.size))

    def life(agent):
        matrix = gradients(len(owners), 10).copy()
        yield Compare("step 7", 0, tuple(owners), share(agent, owners, matrix))
        before(matrix)
        size = floats(agent) if callable(floats) else floats
        yield Combine("step 7", 0, weights(agent), np.empty(size, np.float32))
        yield Compare("step 8", 1, tuple(owners), share(agent, owners, matrix))

    return life


@several
def test_different_weights_name_the_ranks():
    text = failure(combines(lambda agent: np.full(COMM.size, 1.0 if agent == LAST else 2.0)))
    assert text.startswith(("Combine 0 at step 7: ", "Compare 1 at step 8: "))
    assert "all ranks should have the same weights in every step. Found checksum " in text
    assert re.search(rf"on ranks? [0-9, ]+; .* on rank {LAST}", text)


@several
def test_weights_beside_a_rule():
    text = failure(combines(lambda agent: np.ones(COMM.size) if agent else lambda rows, first: rows[0]))
    assert "all ranks should have the same weights" in text


def test_an_out_of_another_size():
    text = failure(combines(lambda agent: np.ones(COMM.size), floats=11))
    assert f"out of agent {COMM.rank} should have 10 elements, like the gradients. Found 11" in text


@pytest.mark.parametrize("weights", [np.ones(COMM.size + 1), np.ones(COMM.size, np.float32), [1.0]])
def test_weights_that_are_none(weights):
    text = failure(combines(lambda agent: weights))
    assert f"weights of agent {COMM.rank} should be [{COMM.size}] float64" in text


def test_a_combine_without_its_compare():
    def life(agent):
        yield Compare("step 7", 0, (0,), share(agent, [0], gradients(1, 10)))
        yield Combine("step 8", 1, np.ones(1), np.empty(10, np.float32))

    text = failure(life)
    assert f"Combine 1 at step 8 of agent {COMM.rank}: the last Compare was number 0." in text


def test_debug_finds_a_row_that_changes_between_compare_and_combine(monkeypatch):
    monkeypatch.setenv(DEBUG, "1")

    def change(matrix):
        matrix[COMM.rank, 3] += 1

    text = failure(combines(lambda agent: np.ones(COMM.size), before=change))
    assert f"row {COMM.rank} changed after it was compared" in text


@several
@pytest.mark.parametrize("asked", [Compare("step 7", 0, (0,), ()), Gather("step 7", 0, None)])
def test_the_deadline_says_who_waits_for_whom(asked):
    def life(agent):
        if agent == 0:
            return
        yield asked

    driver = MpiDriver(COMM, from_edges(COMM.size, []), range(COMM.size), deadline=0.5)
    driver.control.finish = lambda *_: None
    if COMM.rank == 0:
        driver.drive({0: life(0)})
    else:
        with pytest.raises(DeadlockError) as caught:
            driver.drive({COMM.rank: life(COMM.rank)})
        text = str(caught.value)
        assert text.startswith("nothing came for 0.5 seconds ([network] deadline); these agents wait:")
        assert re.search(rf"agent {COMM.rank} in (Compare|Gather) 0 at step 7: waits for rank 0\n", text)
    together()
    driver.close()


def test_an_agent_of_this_rank_that_has_ended_is_named():
    driver = MpiDriver(COMM, from_edges(2 * COMM.size, []), [n // 2 for n in range(2 * COMM.size)])
    first, second = 2 * COMM.rank, 2 * COMM.rank + 1

    def life(agent):
        if agent == first:
            yield Compare("step 7", 3, (first,), share(agent, [first], gradients(1, 10)))

    with pytest.raises(DeadlockError, match="nothing can arrive any more") as caught:
        driver.drive({agent: life(agent) for agent in (first, second)})
    assert f"agent {first} in Compare 3 at step 7: waits for agent {second} of this process" in str(
        caught.value
    )
    together()
    driver.close()


@several
def test_a_rank_without_agents_is_an_error():
    driver = MpiDriver(COMM, from_edges(1, []), [0])

    def life(agent):
        yield Compare("step 7", 0, (0,), share(agent, [0], gradients(1, 10)))

    if COMM.rank == 0:
        with pytest.raises(CombineError, match=r"every rank should have an agent. Found none on \[1"):
            driver.drive({0: life(0)})
    together()
    driver.close()
