"""Compare and Combine in one process: definitions, checks, and shares of blocks."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from combine_fakes import BLOCK, gradients, life, share, weights_of

from mpidcl.errors import CombineError, DeadlockError
from mpidcl.network.inprocess import InProcessDriver
from mpidcl.network.requests import Combine, Compare, Gather, Row, Saved
from mpidcl.network.together.blocks import block_share, column_share, sum_blocks, write_direction
from mpidcl.network.together.calls import RollCall
from mpidcl.network.waits import DEBUG
from mpidcl_kernels.gram import combine_rows, gram_blocks, gram_matrix


def drive(lives, agents):
    return InProcessDriver().drive({agent: lives(agent) for agent in range(agents)})


# --- blocks --------------------------------------------------------------------------------------


@pytest.mark.parametrize("floats", [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 10 * BLOCK, 11_173_962])
@pytest.mark.parametrize("ranks", [1, 2, 3, 4, 7, 64])
def test_shares_are_whole_blocks_that_cover_everything_once(floats, ranks):
    columns = [column_share(floats, ranks, rank) for rank in range(ranks)]
    blocks = [block_share(floats, ranks, rank) for rank in range(ranks)]
    assert columns[0].start == blocks[0].start == 0
    assert columns[-1].stop == floats and blocks[-1].stop == -(-floats // BLOCK)
    for shares in (columns, blocks):
        assert all(a.stop == b.start for a, b in zip(shares, shares[1:], strict=False))
    assert all(share.start % BLOCK == 0 for share in columns if share.start < floats)
    counts = [share.stop - share.start for share in blocks]
    assert max(counts) - min(counts) <= 1


@pytest.mark.parametrize("ranks", [1, 2, 3, 4])
def test_shares_together_have_the_bits_of_the_whole(ranks):
    matrix = gradients(5, 6 * BLOCK + 11)
    shares = [column_share(matrix.shape[1], ranks, rank) for rank in range(ranks)]
    parts = [gram_blocks([row[part] for row in matrix]) for part in shares]
    gram = sum_blocks(np.concatenate(parts))
    assert gram.tobytes() == gram_matrix(matrix).tobytes()
    out, weights = np.empty(matrix.shape[1], np.float32), weights_of(gram)
    for part in shares:
        write_direction([row[part] for row in matrix], weights, part.start, out[part])
    assert out.tobytes() == combine_rows(matrix, weights).tobytes()


def test_no_blocks_add_up_to_nothing():
    assert sum_blocks(np.empty((0, 3, 3))).tolist() == np.zeros((3, 3)).tolist()


# --- requests ------------------------------------------------------------------------------------


def test_every_agent_gets_gram_facts_and_direction():
    owners, floats = [2, 0, 1, 0], BLOCK + 9
    matrix = gradients(4, floats)

    def combines(agent):
        out = np.empty(floats, np.float32)
        compared = yield Compare("now", 0, tuple(owners), share(agent, owners, matrix))
        assert (yield Combine("now", 0, np.array([1.0, 0.0, -2.0, 0.5]), out)) == ()
        return compared, out

    for compared, out in drive(combines, 4).values():
        np.testing.assert_allclose(compared.gram, matrix.astype(float) @ matrix.T.astype(float), rtol=1e-12)
        np.testing.assert_array_equal(compared.facts, matrix[:, :1].repeat(3, 1))
        want = matrix[0].astype(float) - 2.0 * matrix[2] + 0.5 * matrix[3]
        np.testing.assert_array_equal(out, want.astype(np.float32))


def test_how_rows_are_spread_over_agents_changes_nothing():
    results = []
    for agents, owners in ((1, [0, 0, 0]), (3, [0, 1, 2]), (4, [3, 0, 3])):
        (digests,) = {
            str(found) for found in drive(lambda a, o=owners: life(a, o, 70_000, 2), agents).values()
        }
        results.append(digests)
    assert len(set(results)) == 1


def test_a_rule_per_coordinate_sees_the_blocks_of_all_rows():
    floats = 2 * BLOCK + 5
    matrix, asked = gradients(3, floats), []

    def rule(rows, first):
        asked.append((first, [row.size for row in rows]))
        return np.maximum.reduce(list(rows)) + np.float32(first)

    def combines(agent):
        out = np.empty(floats, np.float32)
        yield Compare("now", 0, (0, 1, 0), share(agent, [0, 1, 0], matrix))
        yield Combine("now", 0, rule, out)
        return out

    first = np.arange(floats) // BLOCK * BLOCK
    for out in drive(combines, 2).values():
        np.testing.assert_array_equal(out, matrix.max(0) + first.astype(np.float32))
    assert asked == [(0, [BLOCK] * 3), (BLOCK, [BLOCK] * 3), (2 * BLOCK, [5] * 3)]


def test_agents_may_save_between_their_requests():
    saved = []

    def saves(agent):
        yield Saved(agent, Fraction(0), 0, b"")
        return (yield Gather("now", 0, np.array(agent)))

    driver = InProcessDriver(on_saved=saved.append)
    assert driver.drive({a: saves(a) for a in range(2)})[1] == [0, 1]
    assert len(saved) == 2


def test_those_who_wait_together_are_listed():
    def waits(agent):
        if agent < 2:
            yield Compare("step 7", agent, (0,), share(agent, [0], gradients(1, 9)))

    with pytest.raises(DeadlockError) as error:
        drive(waits, 3)
    assert str(error.value).splitlines()[1:] == [
        "  agent 0 in Compare 0 at step 7: waits for agents 1, 2 of this process",
        "  agent 1 in Compare 1 at step 7: waits for agents 0, 2 of this process",
    ]


def test_the_roll_is_called_in_order_of_agents():
    roll = RollCall([4, 2, 9])
    calls = {agent: Gather("now", 0, None) for agent in (2, 4, 9)}
    assert roll.add(9, calls[9]) is None and roll.missing(calls[9]) == [2, 4]
    assert roll.add(2, calls[2]) is None
    asked = roll.add(4, calls[4])
    assert asked is not None and list(asked) == [2, 4, 9] and roll.missing(calls[4]) == []


# --- what does not fit ---------------------------------------------------------------------------


def row(place, size=4, facts=1, vector=None):
    vector = np.ones(size, np.float32) if vector is None else vector
    return Row(place, vector, np.zeros(facts, np.float32))


@pytest.mark.parametrize(
    ("owners", "rows", "text"),
    [
        ((), (), "there should be a gradient to compare. Found none at all"),
        ((0, 0), (row(0),), r"agent 0 should bring rows \[0, 1\]. Found \[0\]"),
        ((1,), (row(0),), r"agent 0 should bring rows \[\]. Found \[0\]"),
        ((0, 0), (row(0), row(1, 5)), "row 1 of agent 0: vector should have 4 elements, like that of row 0"),
        ((0, 0), (row(0), row(1, facts=2)), "row 1 of agent 0: facts should have 1 elements"),
        ((0,), (row(0, vector=np.ones(4)),), "vector should be a contiguous float32 vector. Found float64"),
        ((0,), (row(0, vector=np.ones(8, np.float32)[::2]),), r"contiguous float32 vector.*strides \[8\]"),
        ((0,), (row(0, vector=np.ones((2, 2), np.float32)),), r"of shape \[2, 2\]"),
    ],
)
def test_rows_that_do_not_fit(owners, rows, text):
    def brings(agent):
        yield Compare("step 7", 3, owners, rows)

    with pytest.raises(CombineError, match=text) as error:
        drive(brings, 1)
    assert str(error.value).startswith("Compare 3 at step 7: ")


def test_agents_that_know_different_owners():
    def brings(agent):
        yield Compare("step 7", 3, (agent,), (row(0),))

    with pytest.raises(
        CombineError, match=r"same owners of rows. Found \(0,\) in agent 0 and \(1,\) in agent 1"
    ):
        drive(brings, 2)


@pytest.mark.parametrize(
    ("weights", "out", "text"),
    [
        (np.ones(3), np.empty(4, np.float32), r"should be \[1\] float64"),
        (np.ones(1, np.float32), np.empty(4, np.float32), r"should be \[1\] float64"),
        ([1.0], np.empty(4, np.float32), r"should be \[1\] float64"),
        (np.ones(1), np.empty(5, np.float32), "should have 4 elements, like the gradients. Found 5"),
        (np.ones(1), np.empty(4), "contiguous, writable float32 vector. Found float64"),
        (np.ones(1), np.empty(8, np.float32)[::2], "contiguous, writable float32 vector"),
    ],
)
def test_weights_and_directions_that_do_not_fit(weights, out, text):
    def combines(agent):
        yield Compare("step 7", 3, (0,), (row(0),))
        yield Combine("step 7", 3, weights, out)

    with pytest.raises(CombineError, match=text):
        drive(combines, 1)


def test_agents_that_found_different_weights():
    def combines(agent):
        yield Compare("step 7", 3, (0,), (row(0),) if agent == 0 else ())
        yield Combine("step 7", 3, np.array([1.0 + agent]), np.empty(4, np.float32))

    with pytest.raises(CombineError, match=r"same weights. Found \[1.\] in agent 0 and \[2.\] in agent 1"):
        drive(combines, 2)


@pytest.mark.parametrize("number", [None, 2])
def test_a_combine_without_its_compare(number):
    def combines(agent):
        if number is not None:
            yield Compare("step 7", number, (0,), (row(0),))
        yield Combine("step 8", 3, np.ones(1), np.empty(4, np.float32))

    with pytest.raises(CombineError, match="Compare"):
        drive(combines, 1)


def test_debug_finds_a_row_that_changes(monkeypatch):
    monkeypatch.setenv(DEBUG, "1")
    vector = np.ones(4, np.float32)

    def combines(agent):
        yield Compare("step 7", 3, (0,), (row(0, vector=vector),))
        vector[2] = 5
        yield Combine("step 7", 3, np.ones(1), np.empty(4, np.float32))

    with pytest.raises(CombineError, match="Combine 3 at step 7: row 0 changed after it was compared"):
        drive(combines, 1)
