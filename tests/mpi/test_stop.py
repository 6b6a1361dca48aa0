"""Whoever is asked to stop, and whenever: all agents of all ranks end at one cut, with its bits."""

from __future__ import annotations

import time
from concurrent.futures import Future
from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest
from mpi4py import MPI
from network_fakes import World, digests, fake, from_edges, topology
from stop_fakes import AskedAt, SavedAt

from mpidcl.network.mpi.driver import MpiDriver
from mpidcl.network.requests import Halt, Saved
from mpidcl.network.schedule.timetable import Rhythm
from mpidcl.network.stopping import Stopping
from mpidcl.run.processes import Processes

COMM = MPI.COMM_WORLD
RULES = [Rhythm("after", 1, 0, "all"), Rhythm("before", 2, 0, "all")]
NEVER = 10**9


def world(network: Any, ticks: list[list[int]], until: Fraction | None = None) -> World:
    return World(network, ticks, RULES, [fake(), fake(legs=2)], until=until)


def stopped(one: World, at: dict[int, int]) -> tuple[Fraction | None, dict[int, Any]]:
    """Where all ended, and everybody's record; rank r is asked when its agents have begun `at[r]` things."""
    agents = one.network.agents
    rank_of = Processes(COMM.rank, COMM.size, COMM).rank_of(agents)
    stopping = AskedAt(at.get(COMM.rank, NEVER))
    mine = one.agents([agent for agent in range(agents) if rank_of[agent] == COMM.rank])
    for agent in mine.values():
        agent.stopping = stopping
        stopping.limit = agent.timetable.end
    driver = MpiDriver(COMM, one.network, rank_of, stopping=stopping)
    with stopping.armed():
        records = driver.drive({number: agent.live() for number, agent in mine.items()})
    driver.close()
    assert all(agent.timetable.end == (stopping.end or stopping.limit) for agent in mine.values())
    (end,) = set(COMM.allgather(stopping.end))
    return end, {n: d for part in COMM.allgather(digests(records)) for n, d in part.items()}


@pytest.mark.parametrize("asked", [{0}, {-1}, {0, -1}, set(range(4))])
@pytest.mark.parametrize("links", ["ring", "none"])
def test_all_end_at_one_cut(asked: set[int], links: str) -> None:
    agents = 2 * COMM.size
    network = topology("ring", agents) if links == "ring" else from_edges(agents, [])
    ticks = [[1 + n % 3, 7, 5, 2 + n] for n in range(agents)]
    for count in (1, 2, 5, 11, 20, 30):
        at = {rank % COMM.size: count + rank % 3 for rank in asked}
        end, found = stopped(world(network, ticks), at)
        assert end is not None and end > 0
        assert found == digests(world(network, ticks, end).in_process()), (count, end)


def test_a_rank_that_is_done_lets_the_others_go_on_to_the_end() -> None:
    """Its agents cannot go back; nobody waits for an answer of theirs."""
    ticks = [[1] for _ in range(COMM.size - 1)] + [[1, 3, 300]]
    network = from_edges(COMM.size, [])
    whole = digests(world(network, ticks).in_process())
    for rank in {0, COMM.size - 1}:
        end, found = stopped(world(network, ticks), {rank: 20})
        assert found == (whole if end is None else digests(world(network, ticks, end).in_process()))


@pytest.mark.parametrize("links", ["ring", "none"])
@pytest.mark.parametrize("asked", [None, 0, -1])
def test_all_save_at_the_same_cuts_and_go_on(links: str, asked: int | None) -> None:
    """Also when somebody is asked to stop while rank 0 asks all to save."""
    agents = 2 * COMM.size
    network = topology("ring", agents) if links == "ring" else from_edges(agents, [])
    one = world(network, [[1 + n % 3, 7, 5, 2 + n] for n in range(agents)])
    for every in (1, 3, 10):
        stopping: Any = SavedAt(every) if COMM.rank == 0 else AskedAt(NEVER)
        if asked is not None and COMM.rank == asked % COMM.size:
            stopping = StoppedAndSaved(every) if COMM.rank == 0 else AskedAt(11)
        records, saved = lived(one, stopping)
        end = stopping.end or stopping.limit
        wanted = {*stopping.cuts, end} | {Fraction(task) for task in range(1, 5) if task <= end}
        assert all(set(cuts) == {cut for cut in wanted if cut <= end} for cuts in saved.values())
        assert all(len(cuts) == len(set(cuts)) for cuts in saved.values())
        assert len(set(COMM.allgather(tuple(stopping.cuts)))) == 1
        assert records == digests(world(network, one.ticks, stopping.end).in_process())
        assert asked is not None or stopping.cuts


def test_a_halt_may_last_longer_than_the_deadline() -> None:
    """Rank 0 asks all to save; the last one is in the middle of a long step."""
    network = from_edges(COMM.size, [])
    stopping = Stopping(Fraction(1))
    if COMM.rank == 0:
        stopping.saving = True

    def life(me: int) -> Any:
        if me == COMM.size - 1 and me:
            time.sleep(1.0)
        yield Halt()

    driver = MpiDriver(COMM, network, range(COMM.size), deadline=0.3, stopping=stopping)
    driver.drive({COMM.rank: life(COMM.rank)})
    driver.close()
    assert stopping.cuts == [Fraction(1, 1000)]


class StoppedAndSaved(SavedAt):
    """Asked to stop between two checkpoints by the clock."""

    def begin(self, agent: int, moment: Any) -> None:
        super().begin(agent, moment)
        if self.count == 11:
            assert self.ask(15)


def lived(one: World, stopping: Any) -> tuple[dict[int, Any], dict[int, list[Fraction]]]:
    """Everybody's record, and the cuts that each agent of this rank has saved."""
    saved: dict[int, list[Fraction]] = {}

    def save(agent: int, cut: Any, state: dict[str, Any]) -> Future[Saved]:
        saved.setdefault(agent, []).append(cut.time)
        written: Future[Saved] = Future()
        written.set_result(Saved(agent, cut.time, 1, b""))
        return written

    agents = one.network.agents
    rank_of = Processes(COMM.rank, COMM.size, COMM).rank_of(agents)
    mine = replace(one, save=save).agents([agent for agent in range(agents) if rank_of[agent] == COMM.rank])
    for agent in mine.values():
        agent.stopping, stopping.limit = stopping, agent.timetable.end
    driver = MpiDriver(COMM, one.network, rank_of, stopping=stopping)
    with stopping.armed():
        records = driver.drive({number: agent.live() for number, agent in mine.items()})
    driver.close()
    return {n: d for part in COMM.allgather(digests(records)) for n, d in part.items()}, saved


def test_nobody_asks() -> None:
    network, ticks = topology("ring", COMM.size + 1), [[2, 3]] * (COMM.size + 1)
    assert stopped(world(network, ticks), {}) == (None, digests(world(network, ticks).in_process()))
