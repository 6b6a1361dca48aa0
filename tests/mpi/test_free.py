"""The clock `free` over MPI: every frame is handled or counted, and who is slow blocks nobody."""

from __future__ import annotations

import time
from collections import defaultdict
from fractions import Fraction

import pytest
from mpi4py import MPI
from network_fakes import World, fake, free, from_edges, topology
from stop_fakes import AskedAt

from mpidcl.errors import DeadlockError
from mpidcl.network.mailbox import MOST
from mpidcl.network.mpi import pending
from mpidcl.network.mpi.driver import MpiDriver
from mpidcl.network.requests import Arrived, Pulse
from mpidcl.network.schedule.timetable import Rhythm

COMM = MPI.COMM_WORLD
LAST = COMM.size - 1
AGENTS = 5
TICKS = [[4, 5], [3], [6, 1, 7], [0, 0, 9], [12]]
RULES = [Rhythm("after", 1, 0, "all"), Rhythm("after", 2, 0, "all", legs=2)]
SPREAD = [agent % COMM.size for agent in range(AGENTS)]


def drive(agents, network, rank_of, **keys):
    """The records of all agents, on every rank."""
    driver = MpiDriver(COMM, network, rank_of, **keys)
    records = driver.drive({number: agent.live() for number, agent in agents.items()})
    driver.close()
    return {number: record for part in COMM.allgather(records) for number, record in part.items()}


def mine(of, rank_of=SPREAD):
    return of.agents([agent for agent, rank in enumerate(rank_of) if rank == COMM.rank])


def rows(record, name):
    columns = {key: values.tolist() for key, values in record.tables.get(name, {}).items()}
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def frames(record, target):
    return sum(row.frames for row in record.ledger if row.kind == "frame" and row.target == target)


def assert_all_is_there(records, links):
    """All frames of all links were handled once, in order, beside those that were left out."""
    for link in links:
        record = records[link.target]
        (row,) = [row for row in rows(record, "mail") if row["source"] == link.source]
        numbers = [one["number"] for one in rows(record, "arrivals") if one["source"] == link.source]
        assert numbers == list(range(frames(records[link.source], link.target)))
        assert row["frames"] == len(numbers) + row["skipped"]


@pytest.mark.parametrize("size", [3, 5000, 100_000])
@pytest.mark.parametrize("links", ["ring", "complete", "one way"])
def test_all_that_leaves_is_handled(monkeypatch, links, size):
    monkeypatch.setattr(pending, "CHUNK_BYTES", 300_000)
    if links == "one way":
        edges = [(a, b) for a in range(AGENTS) for b in range(AGENTS) if a != b and (a * b) % 3 != 1]
        network, rules = from_edges(AGENTS, edges), RULES[:1]
    else:
        network, rules = topology(links, AGENTS, conditions={"loss": "10 %"}), RULES
    of = World(network, TICKS, rules, [fake(rule.legs, size) for rule in rules], clock=free())
    records = drive(mine(of), network, SPREAD)
    assert_all_is_there(records, network.links)
    for number, record in records.items():
        assert len(record.evaluations) >= len([ticks for ticks in TICKS[number] if ticks])


@pytest.mark.parametrize("size", [10, 4000])
def test_who_is_slow_blocks_nobody(size):
    """The last agent's first step ends when all others have learned all: they cannot have waited for it."""
    rank_of = [agent % max(1, LAST) for agent in range(AGENTS - 1)] + [LAST]
    network = topology("complete", AGENTS)
    rules = [Rhythm("after", 1, 0, "all")]
    of = World(network, [[300]] * (AGENTS - 1) + [[2]], rules, [fake(size=size)], clock=free())
    words = COMM.Dup()
    agents = mine(of, rank_of)
    done = []

    def ahead(agent):
        learn = agent.learner.learn

        def learned(task, tick):
            yield from learn(task, tick)
            if tick == 299:
                done.append(words.isend(agent.number, LAST, 1))

        agent.learner.learn = learned

    def slow(task, tick):
        limit = time.monotonic() + 50
        for _ in range(AGENTS - 1 if tick == 0 else 0):
            while not words.iprobe(MPI.ANY_SOURCE, 1):
                assert time.monotonic() < limit, "somebody waits for an agent that is slow"
                if LAST == 0:
                    yield Pulse()
            words.recv(source=MPI.ANY_SOURCE, tag=1)

    for number, agent in agents.items():
        if number == AGENTS - 1:
            agent.learner.learn = slow
        else:
            ahead(agent)
    records = drive(agents, network, rank_of)
    MPI.Request.waitall(done)
    words.Free()
    assert_all_is_there(records, network.links)
    for row in rows(records[AGENTS - 1], "mail"):
        assert row["frames"] == 301 and 300 - 2 * MOST - 2 <= row["skipped"] <= 300 - MOST


def test_a_neighbour_that_is_gone_is_named_before_the_deadline_is_long_over():
    network = from_edges(2, [(0, 1), (1, 0)])
    driver = MpiDriver(COMM, network, [0, LAST], deadline=0.3)
    driver.control.finish = lambda *_: None

    def waits():
        yield Arrived("time 3 (cut)", (network.incoming(0)[1],), wait=True)

    if COMM.rank == 0:
        with pytest.raises(DeadlockError) as error:
            driver.drive({0: waits()})
        text = str(error.value)
        assert "agent 0 at time 3 (cut): waits for the last frame on link 1 -> 0" in text
        if COMM.size > 1:
            assert f"They wait for rank {LAST}." in text
    request, limit = COMM.Ibarrier(), time.monotonic() + 30
    while not request.Test():
        assert time.monotonic() < limit, "another rank did not come"
        time.sleep(0.001)
    driver.close()


def test_a_run_that_was_stopped_goes_on():
    """From states at a cut in the middle, saved at times that have nothing to do with each other."""
    network = topology("ring", AGENTS)
    saved = defaultdict(dict)

    def save(agent, cut, state):
        saved[cut][agent] = state

    def world(save=None):
        makes = [fake(rule.legs) for rule in RULES]
        return World(network, TICKS, RULES, makes, cut_every=Fraction(2, 3), save=save, clock=free())

    drive(mine(world(save)), network, SPREAD)
    for cut in sorted(saved)[:-1]:
        agents = mine(world())
        for number, agent in agents.items():
            agent.load(saved[cut][number], cut)
        records = drive(agents, network, SPREAD)
        for link in network.links:
            numbers = [
                row["number"]
                for row in rows(records[link.target], "arrivals")
                if row["source"] == link.source
            ]
            assert numbers[-1] == frames(records[link.source], link.target) - 1


@pytest.mark.parametrize("asked", [0, -1])
def test_all_end_at_one_cut_when_somebody_is_asked_to_stop(asked):
    network = topology("ring", AGENTS)
    makes = [fake(rule.legs) for rule in RULES]
    of = World(network, [[9, 9, 9]] * AGENTS, RULES, makes, clock=free())
    stopping = AskedAt(15 if COMM.rank == asked % COMM.size else 10**9)
    agents = mine(of)
    for agent in agents.values():
        agent.stopping = stopping
        stopping.limit = agent.timetable.end
    with stopping.armed():
        records = drive(agents, network, SPREAD, stopping=stopping)
    assert len({agent.timetable.end for agent in agents.values()} | {stopping.end}) <= 1 or not agents
    assert len(set(COMM.allgather(stopping.end))) == 1
    assert_all_is_there(records, network.links)
