"""Buffers: declared columns in one block, sequence numbers, sampling, state."""

from __future__ import annotations

import numpy as np
import pytest

from mpidcl.memory.buffer import PACKED, SEQUENCE, Buffer, Column
from mpidcl.memory.policies import Candidate, Fifo, Overwrite, Reservoir

COLUMNS = [Column("x", "float32", (2, 3)), Column("y", "int64"), Column("flag", "uint8")]


def rows(first: int, count: int) -> dict[str, np.ndarray]:
    number = np.arange(first, first + count)
    x = np.broadcast_to(number[:, None, None], (count, 2, 3)).astype(np.float32)
    return {"x": x, "y": number, "flag": (number % 2).astype(np.uint8)}


def buffer(capacity: int = 5, policy=None, seed: int = 0, block=None) -> Buffer:
    return Buffer(COLUMNS, capacity, policy or Reservoir(), np.random.default_rng(seed), block)


def test_columns_of_a_row_stay_together():
    own = buffer()
    for first, count in ((0, 3), (3, 40), (43, 1)):
        own.push(rows(first, count))
    found = own.rows()
    assert len(own) == 5 and own.seen == 44
    assert (found["x"] == found["y"][:, None, None]).all() and (found["flag"] == found["y"] % 2).all()
    assert np.array_equal(own.column(SEQUENCE), found["y"]) and own.column(SEQUENCE).dtype == np.uint64


def test_push_says_how_many_rows_it_took():
    own = buffer(capacity=4)
    assert own.push(rows(0, 3)) == 3
    before = own.column("y").copy()
    taken = own.push(rows(3, 6))
    assert taken == len(set(own.column("y").tolist()) - set(before.tolist()))


@pytest.mark.parametrize("policy", [Reservoir(), Overwrite()])
def test_of_several_rows_for_one_slot_the_last_stays(policy):
    own, twin = buffer(capacity=3, policy=policy), np.random.default_rng(0)
    found = np.full(3, -1)
    for first, count in ((0, 2), (2, 30)):
        slots = policy.slots(count, first, 3, twin)
        for number, slot in zip(range(first, first + count), slots, strict=True):
            if slot >= 0:
                found[slot] = number
        assert own.push(rows(first, count)) == len(set(slots) - {-1})
    assert own.column("y").tolist() == found.tolist()


def test_rows_are_turned_into_the_declared_types():
    own = buffer()
    own.push({"x": np.ones((2, 2, 3)), "y": np.array([1, 2], np.int16), "flag": np.array([0, 1])})
    assert own.column("x").dtype == np.float32 and own.column("y").tolist() == [1, 2]


def test_columns_are_views_of_the_given_block():
    block = np.zeros(5 * buffer().type.itemsize, dtype=np.uint8)
    own = buffer(block=block)
    own.push(rows(1, 5))
    assert block.any() and np.shares_memory(own.column("x"), block)
    assert own.column("y").ctypes.data % 8 == 0 and own.column("y").strides[0] % 8 == 0


def test_samples_are_different_rows():
    own = buffer(capacity=10)
    own.push(rows(0, 10))
    drawn = own.sample(6, np.random.default_rng(1))
    assert len(set(drawn["y"].tolist())) == 6 and (drawn["x"][:, 0, 0] == drawn["y"]).all()
    assert len(own.sample(99, np.random.default_rng(1))["y"]) == 10


@pytest.mark.parametrize("policy", [Reservoir(), Overwrite(), Candidate(), Fifo()])
def test_a_loaded_buffer_goes_on_like_the_saved_one(policy):
    own = buffer(policy=policy)
    own.push(rows(0, 12))
    other = buffer(policy=policy)
    other.load(own.state())
    other.rng.bit_generator.state = own.rng.bit_generator.state
    for each in (own, other):
        each.push(rows(12, 9))
    assert other.seen == own.seen
    for name, column in own.rows().items():
        np.testing.assert_array_equal(column, other.column(name))


def test_state_is_a_copy():
    own = buffer()
    own.push(rows(0, 5))
    state = own.state()
    own.column("y")[:] = 99
    assert state["columns"]["y"].tolist() == [0, 1, 2, 3, 4]


def test_a_buffer_without_room_takes_nothing():
    own = buffer(capacity=0)
    assert own.push(rows(0, 5)) == 0 and len(own) == 0 and own.rows()["x"].shape == (0, 2, 3)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"x": np.zeros((1, 2, 3))}, "Columns should be x, y, flag"),
        ({**rows(0, 2), "y": np.zeros(3)}, "one length"),
        ({**rows(0, 2), "x": np.zeros((2, 3, 2))}, r"`x` should be \[2, 3\]. Found \[3, 2\]"),
    ],
)
def test_wrong_columns_are_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        buffer().push(wrong)


def test_wrong_declarations_are_refused():
    with pytest.raises(ValueError, match="different names"):
        Buffer([Column("y", "int64")] * 2, 3, Reservoir(), np.random.default_rng(0))
    with pytest.raises(ValueError, match="at least 0 rows"):
        buffer(capacity=-1)
    with pytest.raises(ValueError, match="should be 5 rows"):
        buffer().load(buffer(capacity=4).state())


def test_columns_that_do_not_fit_write_nothing():
    own = buffer(capacity=2)
    own.push(rows(0, 2))
    before = own.state()
    with pytest.raises(ValueError, match="`flag` should be"):
        own.push({**rows(9, 2), "flag": np.zeros((2, 1), np.uint8)})
    assert all(np.array_equal(own.column(name), values) for name, values in before["columns"].items())


@pytest.mark.parametrize("held", [1, 2])
def test_a_state_does_not_change_with_the_buffer(held):
    own = buffer(capacity=held, policy=Fifo())
    own.push(rows(0, held))
    state = own.state()
    own.push(rows(held, held))
    assert state["columns"]["y"].tolist() == list(range(held))


@pytest.mark.parametrize("width", [3, PACKED])
def test_rows_of_any_length_are_written_whole(width):
    """Short rows are put together before they are written, long ones go column by column."""
    own = Buffer(
        [Column("x", "float32", (width,)), Column("y", "int64")], 8, Fifo(), np.random.default_rng(0)
    )
    assert (own.type.itemsize > PACKED) == (width == PACKED)
    for first in range(0, 30, 5):
        y = np.arange(first, first + 5)
        own.push({"x": np.repeat(y[:, None], width, axis=1), "y": y})  # of another dtype than declared
    assert sorted(own.column("y").tolist()) == list(range(22, 30))
    assert (own.column("x") == own.column("y")[:, None]).all()
    assert np.array_equal(own.state()["columns"]["sequence"], own.column("y"))
    drawn = own.sample(5, np.random.default_rng(1))
    assert (drawn["x"] == drawn["y"][:, None]).all() and len(set(drawn["y"].tolist())) == 5
