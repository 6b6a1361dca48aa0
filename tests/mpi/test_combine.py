"""Comparing and combining over MPI gives the bits of one process, on any number of ranks."""

from __future__ import annotations

import numpy as np
import pytest
from combine_fakes import BLOCK, drive, gradients, life, share
from mpi4py import MPI
from network_fakes import from_edges

from mpidcl.network.frames.message import Message
from mpidcl.network.inprocess import InProcessDriver
from mpidcl.network.mpi import pending as mpi_pending
from mpidcl.network.mpi.driver import MpiDriver
from mpidcl.network.requests import Combine, Compare, Gather, Meet, Outgoing, Row
from mpidcl_kernels.gram import combine_rows, gram_matrix

COMM = MPI.COMM_WORLD


@pytest.fixture(params=["slices", "whole"], autouse=True)
def form(request, monkeypatch):
    """Gradients travel in slices, or whole when they are small."""
    whole = 0 if request.param == "slices" else 2**40
    monkeypatch.setattr("mpidcl.network.together.blocks.WHOLE_BYTES", whole)
    return request.param


def assert_as_in_process(lives, agents: int, rank_of=None) -> None:
    want = InProcessDriver().drive({agent: lives(agent) for agent in range(agents)})
    for agent, found in drive(lives, agents, rank_of).items():
        assert found == want[agent]


SIZES = [1, BLOCK - 1, BLOCK, BLOCK + 1, 5 * BLOCK + 17]


@pytest.mark.parametrize("floats", SIZES)
@pytest.mark.parametrize("per_rank", [1, 2])
def test_all_agents_get_the_same_bits_as_in_one_process(floats, per_rank):
    agents = per_rank * COMM.size
    owners = [*range(agents), 0]
    assert_as_in_process(lambda agent: life(agent, owners, floats, steps=2), agents)


@pytest.mark.parametrize("owners", [[0], [1], [1, 1, 1], [3, 0, 3], [2, 3, 0, 1, 2, 3]])
def test_some_agents_have_no_gradient_or_several(owners):
    assert_as_in_process(lambda agent: life(agent, owners, 2 * BLOCK + 3), 4)


def test_the_rank_of_an_agent_changes_nothing():
    owners, agents = [3, 0, 1, 2, 0], 4
    for rank_of in ([n % COMM.size for n in range(4)], [COMM.size - 1 - n % COMM.size for n in range(4)]):
        assert_as_in_process(lambda agent: life(agent, owners, 100_000), agents, rank_of)


@pytest.mark.parametrize("chunk", [4, 1000])
def test_long_slices_travel_in_pieces(chunk, monkeypatch):
    """The path of slices above 1 GiB, with pieces of so many bytes."""
    monkeypatch.setattr(mpi_pending, "CHUNK_BYTES", chunk)
    floats = 40 if chunk == 4 else 2 * BLOCK + 1
    assert_as_in_process(lambda agent: life(agent, list(range(COMM.size)), floats), COMM.size)


def rule(rows, first):
    """The largest of all rows, and which coordinate it is."""
    return np.maximum.reduce(list(rows)) + np.float32(first) + np.arange(rows[0].size, dtype=np.float32) / 7


def test_a_rule_per_coordinate_is_asked_block_by_block(form):
    owners, floats = [0, COMM.size - 1, 0], 3 * BLOCK + 100
    matrix = gradients(len(owners), floats)
    asked = []

    def mixes(agent):
        def mix(rows, first):
            asked.append((first, rows[0].size))
            return rule(rows, first)

        out = np.empty(floats, np.float32)
        yield Compare("now", 0, tuple(owners), share(agent, owners, matrix))
        yield Combine("now", 0, mix, out)
        return out

    want = np.concatenate([rule(matrix[:, at : at + BLOCK], at) for at in range(0, floats, BLOCK)])
    for found in drive(mixes, COMM.size).values():
        np.testing.assert_array_equal(found, want)
    everywhere = sorted(call for part in COMM.allgather(asked) for call in part)
    blocks = [(at, min(BLOCK, floats - at)) for at in range(0, floats, BLOCK)]
    assert everywhere == sorted(blocks * (COMM.size if form == "whole" else 1))


def test_several_directions_from_one_comparison():
    owners, floats = list(range(COMM.size)), BLOCK + 7
    matrix = gradients(len(owners), floats)

    def combines(agent):
        yield Compare("now", 0, tuple(owners), share(agent, owners, matrix))
        found = []
        for place in owners:
            out = np.empty(floats, np.float32)
            yield Combine("now", 0, np.eye(len(owners))[place], out)
            found.append(out)
        return np.stack(found)

    for found in drive(combines, COMM.size).values():
        np.testing.assert_array_equal(found, matrix)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_row_of_weight_0_is_not_read(bad):
    owners, floats = list(range(COMM.size + 1)), BLOCK + 7
    matrix = gradients(len(owners), floats).copy()
    matrix[0, ::2] = bad
    weights = np.linspace(0, 2, len(owners))

    def skips(agent):
        out = np.empty(floats, np.float32)
        compared = yield Compare("now", 0, tuple(owners), share(agent, owners, matrix))
        yield Combine("now", 0, weights, out)
        yield Combine("now", 0, 0 * weights, nothing := np.ones(floats, np.float32))
        return compared.gram, out, nothing

    for gram, out, nothing in drive(skips, len(owners)).values():
        assert not np.isfinite(gram[0]).any() and np.isfinite(gram[1:, 1:]).all()
        np.testing.assert_array_equal(out, combine_rows(matrix[1:], weights[1:]))
        assert not nothing.any()


def test_what_was_compared_is_ones_own_and_rows_stay_as_they_are():
    owners, floats = [0, 1], 50
    matrix = gradients(2, floats).copy()

    def writes(agent):
        first = yield Compare("now", 0, (0, 1), share(agent, owners, matrix))
        first.gram[:], first.facts[:] = agent, agent
        second = yield Compare("now", 1, (0, 1), share(agent, owners, matrix))
        assert (first.gram == agent).all() and (first.facts == agent).all()
        return second.gram

    for gram in drive(writes, 4).values():
        np.testing.assert_array_equal(gram, gram_matrix(matrix))
    np.testing.assert_array_equal(matrix, gradients(2, floats))


def test_the_number_of_gradients_and_their_facts_may_change():
    def changes(agent):
        grams = []
        for step, (rows, floats, facts) in enumerate(
            [(2, 70_000, 3), (5, 70_000, 3), (1, 9, 0), (3, 200_000, 8)]
        ):
            matrix, owners = gradients(rows, floats), [n % 4 for n in range(rows)]
            mine = tuple(
                Row(n, matrix[n], np.full(facts, n, np.float32)) for n in range(rows) if owners[n] == agent
            )
            compared = yield Compare(f"step {step}", step, tuple(owners), mine)
            np.testing.assert_array_equal(compared.facts, np.arange(rows)[:, None].repeat(facts, 1))
            grams.append(compared.gram)
        return grams

    for grams in drive(changes, 4).values():
        for gram, (rows, floats) in zip(grams, [(2, 70_000), (5, 70_000), (1, 9), (3, 200_000)], strict=True):
            np.testing.assert_array_equal(gram, gram_matrix(gradients(rows, floats)))


def test_agents_meet_while_others_wait_for_them_to_compare():
    """Links and gradients at one time: agent 0 is in no meeting and must not keep the others from theirs."""
    agents, floats = 4, BLOCK + 1
    network = from_edges(agents, [(1, 2), (2, 3), (3, 1)])
    owners, matrix = list(range(agents)), gradients(agents, floats)

    def lives(agent):
        heard = []
        for step in range(3):
            for number in range(2 * step, 2 * step + 2 if agent else 0):
                array = np.full(20_000, 10.0 * agent + number)
                out = tuple(
                    Outgoing(link, number, ((0, Message("x", {}, {"a": array})),))
                    for link in network.outgoing(agent).values()
                )
                reply = yield Meet(
                    "now", 0, out, tuple((k, number) for k in network.incoming(agent).values())
                )
                heard += [float(entries[0][1].arrays["a"][-1]) for entries in reply]
            compared = yield Compare(f"step {step}", step, tuple(owners), share(agent, owners, matrix))
            everybody = yield Gather(f"step {step}", step, compared.gram[0, :1])
            heard += [float(one[0]) for one in everybody]
        return heard

    want = InProcessDriver().drive({agent: lives(agent) for agent in range(agents)})
    rank_of = [agent % COMM.size for agent in range(agents)]
    driver = MpiDriver(COMM, network, rank_of)
    found = driver.drive({a: lives(a) for a in range(agents) if rank_of[a] == COMM.rank})
    driver.close()
    assert found == {agent: want[agent] for agent in found}


def test_buffers_are_kept_from_step_to_step():
    agents, floats = COMM.size, 4 * BLOCK
    driver = MpiDriver(COMM, from_edges(agents, []), range(agents))
    engine = driver.together._combining
    places = []

    def steps(agent):
        for step in range(5):
            owners = list(range(agents if step != 2 else 1))
            matrix = gradients(len(owners), floats, step)
            yield Compare(f"step {step}", step, tuple(owners), share(agent, owners, matrix))
            yield Combine(f"step {step}", step, np.ones(len(owners)), np.empty(floats, np.float32))
            places.append([buffer.ctypes.data for buffer in engine._buffers if buffer.size])

    driver.drive({COMM.rank: steps(COMM.rank)})
    driver.close()
    assert COMM.size == 1 or places[0]
    assert all(place == places[0] for place in places)
    assert len(places[0]) <= agents - 1
