"""`Replay`: the library's buffer in one process, and what all forms have in common."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from replay_fakes import CLASSES, check, made

from mpidcl.errors import ReplayError
from mpidcl.memory.replay.blocks import MOST_BLOCKS
from mpidcl.replay import Column, Replay

COLUMNS = {"key": "int64", "x": ("float32", (3, 5)), "y": int, "crc": np.uint32}


def steps(replay: Replay, first: int, last: int) -> list[np.ndarray]:
    """The keys drawn at each step."""
    found = []
    for step in range(first, last):
        rows, count = replay.wait()
        check(rows, step)
        assert {len(column) for column in rows.values()} == {count}
        found.append(rows["key"].copy())
        replay.push(made(10 * step + np.arange(4)))
    return found


def test_three_lines_in_a_loop():
    with Replay(COLUMNS, "50 rows", 8, seed=3) as replay:
        found = steps(replay, 0, 30)
        assert [len(keys) for keys in found] == [0, 0, 4, 8] + [8] * 26
        assert len(replay) == 50 and replay.sizes().tolist() == [50] and replay.step == 30
        stats = replay.stats()
    assert (stats.steps, stats.rows, stats.room, stats.sent_bytes, stats.messages) == (30, 50, 50, 0, 0)
    assert stats.push_s > 0 and stats.wait_s >= stats.wait_p99_s > 0
    assert [keys.tolist() for keys in steps(Replay(COLUMNS, "50 rows", 8, seed=3), 0, 30)] == [
        keys.tolist() for keys in found
    ]


def test_rows_belong_to_the_caller():
    """What a caller holds stays as it is; what he lets go is used again; writing to it changes no store."""
    replay = Replay(COLUMNS, "50 rows", 8)
    steps(replay, 0, 10)
    held = []
    for step in range(10, 10 + 2 * MOST_BLOCKS):
        rows, _ = replay.wait()
        held.append((rows, {name: column.copy() for name, column in rows.items()}))
        assert not any(np.shares_memory(rows["x"], replay._shared.share.storage[name]) for name in rows)
        replay.push(made(10 * step + np.arange(4)))
    for rows, before in held:
        for name, column in rows.items():
            np.testing.assert_array_equal(column, before[name])
            column[:] = 0
    del held, rows, before, column
    for name in COLUMNS:
        assert replay._shared.share.storage[name].any()
    places = set()
    for step in range(60, 70):
        rows, _ = replay.wait()
        places.add(rows["x"].ctypes.data)
        replay.push(made(10 * step + np.arange(4)))
    assert len(places) <= 3


def test_rows_are_copied_when_they_are_pushed():
    replay = Replay({"x": ("float32", (2,))}, "4 rows", 4)
    x = np.ones((4, 2), np.float32)
    replay.push({"x": x})
    x[:] = 9
    replay.push(None)
    assert (replay.wait()[0]["x"] == 1).all()


def test_tensors_are_as_good_as_arrays():
    replay = Replay([Column("z", "float32", (2,)), Column("y", "int64")], "9 rows", 3)
    z = torch.arange(8.0, requires_grad=True).reshape(4, 2)
    replay.push({"z": z * 1, "y": torch.arange(4)})
    replay.push({"z": torch.zeros(1, 2).expand(3, 2), "y": [1, 2, 3]})
    rows, count = replay.wait()
    assert count == 3 and (torch.from_numpy(rows["z"])[:, 0] == 2 * torch.from_numpy(rows["y"])).all()


def test_several_draws_come_one_after_the_other():
    replay = Replay(COLUMNS, "50 rows", (5, 3))
    steps(replay, 0, 9)
    rows, count = replay.wait()
    assert count == 8 and len(set(rows["key"][:5])) == 5 and len(set(rows["key"][5:])) == 3
    check(rows, 10)


def test_logits_of_a_batch_come_with_its_own_inputs():
    """DER: the rows of batch t - 1 with their logits, when they are there."""
    replay = Replay({"x": "int64", "logits": ("int64", (2,))}, "30 rows", 6)
    before = None
    for step in range(20):
        rows, count = replay.wait()
        assert (rows["logits"] == np.stack([rows["x"] * 3, rows["x"] * 5], 1)).all()
        assert count == min(6, 4 * max(0, step - 2))
        replay.push(before)
        x = 100 * step + np.arange(4)
        before = {"x": x, "logits": np.stack([x * 3, x * 5], 1)}


def test_what_nobody_waited_for_is_dropped():
    one, other = Replay(COLUMNS, "50 rows", 8), Replay(COLUMNS, "50 rows", 8)
    for step in range(6):
        one.push(made([step]))
        other.push(made([step]))
        other.wait()
    one.push(None)
    other.push(None)
    assert one.wait()[0]["key"].tolist() == other.wait()[0]["key"].tolist()


def test_a_saved_buffer_goes_on(tmp_path):
    whole, first = Replay(COLUMNS, "50 rows", 8, policy="fifo"), Replay(COLUMNS, "50 rows", 8, policy="fifo")
    want = steps(whole, 0, 30)
    steps(first, 0, 20)
    first.save(tmp_path / "here")
    again = Replay(COLUMNS, "50 rows", 8, policy="fifo")
    again.load(tmp_path / "here")
    assert [keys.tolist() for keys in steps(again, 20, 30)] == [keys.tolist() for keys in want[20:]]


def test_numbers_of_numpy_are_as_good():
    replay = Replay(COLUMNS, "50 rows", np.int64(4), label="y", classes=np.int32(CLASSES), seed=np.int64(3))
    plain = Replay(COLUMNS, "50 rows", 4, label="y", classes=CLASSES, seed=3)
    assert [one.tolist() for one in steps(replay, 0, 6)] == [one.tolist() for one in steps(plain, 0, 6)]


def test_a_column_may_have_any_name_also_where_it_is_edited():
    replay = Replay({"changed": "int64"}, "9 rows", 2, edits=["changed"])
    for _ in range(6):
        rows, _ = replay.wait()
        replay.push({"changed": [1]}, edits={"changed": rows["changed"] + 5})
    assert replay.wait()[0]["changed"].max() > 1


def test_a_closed_buffer_is_not_used():
    replay = Replay(COLUMNS, "50 rows", 4)
    replay.push(made(np.arange(4)))
    replay.close()
    replay.close()
    uses = [
        lambda: replay.push(None),
        replay.wait,
        lambda: replay.nearest(None, 1, "x"),
        lambda: replay.save("nowhere"),
        lambda: replay.load("nowhere"),
    ]
    for use in uses:
        with pytest.raises(ReplayError, match="should be open to be used. Found one that was closed at step"):
            use()
    assert len(replay) == 4


@pytest.mark.parametrize("rows", [5, "xy", [1, 2]])
def test_what_has_no_columns_is_refused(rows):
    replay = Replay({"x": "float32"}, "5 rows", 1, edits=["x"])
    with pytest.raises(ReplayError, match="`rows` should be None, or an array for each column"):
        replay.push(rows)
    with pytest.raises(ReplayError, match="`edits` should be None, or an array for each column"):
        replay.push(None, edits=rows)
    assert replay.step == 0


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"k": 1.5}, "`k` should be a whole number of at least 1. Found 1.5"),
        ({"k": None}, "`k` should be a whole number"),
        ({"column": ["x"]}, "`column` should be one of float32 or float64: x"),
        ({"metric": None}, "`metric` should be .* Found None"),
    ],
)
def test_what_nearest_cannot_find_is_refused(asked, words):
    replay = Replay(COLUMNS, "50 rows", 8)
    with pytest.raises(ReplayError, match=words):
        replay.nearest(made([3])["x"], **{"k": 1, "column": "x", **asked})


def test_no_queries_are_as_good_as_none():
    replay = Replay(COLUMNS, "50 rows", 8)
    replay.push(made(np.arange(9)))
    assert replay.nearest(made([])["x"], 2, "x").rows["x"].shape == (0, 2, 3, 5)


def test_nearest_rows_come_with_all_columns():
    replay = Replay(COLUMNS, "50 rows", 8)
    replay.push(made(np.arange(40)))
    found = replay.nearest(torch.from_numpy(made([3, 30])["x"]), 2, "x", "euclidean")
    assert found.rows["key"][:, 0].tolist() == [3, 30] and found.rows["x"].shape == (2, 2, 3, 5)
    assert found.rank.tolist() == [[0, 0]] * 2 and found.score[:, 0].tolist() == [0, 0]


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"capacity": "many"}, "`capacity` should be a capacity such as .* Found 'many'"),
        ({"draw": 0}, "`draw`"),
        ({"draw": "8"}, "`draw` should be a whole number of at least 1. Found '8'"),
        ({"draw": (4, 2.5)}, "`draw` should be a whole number of at least 1. Found 2.5"),
        ({"draw": 10**13}, r"`draw` should be at most [\d,]+ rows"),
        ({"capacity": "9000 TiB"}, r"`capacity` on a rank should be at most [\d,]+ rows"),
        ({"seed": None}, "`seed` should be a whole number of at least 0. Found None"),
        ({"seed": -1}, "`seed` should be a whole number"),
        ({"classes": True, "label": "y"}, "`classes` should be a whole number .* Found True"),
        ({"classes": 10**9, "label": "y"}, "`classes` should be .* at most 1,000,000. Found 1000000000"),
        ({"label": ["y"], "classes": 3}, "`label` should name one of the columns"),
        ({"balanced": "no"}, "`balanced` should be True or False. Found 'no'"),
        ({"data_rows": 5.5, "capacity": "10 %"}, "`data_rows` should be a whole number"),
        ({"edits": "key"}, "`edits` should be a list of columns"),
        ({"columns": None}, "`columns` should say the type of each"),
        ({"columns": {1: "int64"}}, "`columns` should have names that are texts. Found 1"),
        ({"policy": None}, "`policy` should be the name of one"),
        ({"accept": 0.5}, 'Options of the policy "reservoir" should be mended: accept'),
        ({"policy": "nowhere:Policy"}, "`policy`"),
        ({"classes": CLASSES, "label": "y", "capacity": "3 rows"}, "at least 6 rows, one for each class"),
    ],
)
def test_what_does_not_fit_together_is_refused(keys, words):
    with pytest.raises(ReplayError, match=words):
        Replay(**{"columns": COLUMNS, "capacity": "50 rows", "draw": 8, **keys})


@pytest.mark.parametrize(
    ("x", "words"),
    [
        (1.0, r"Column `x` should be \[n, ...\], with a place for each row"),
        ([1.0, None], "Column `x` should have rows of float32"),
        (["a"], "Column `x` should have rows of float32"),
        (np.zeros(2), "Found float64 .*Convert them to float32, or declare `x` as float64"),
        (torch.zeros(2, device="meta"), "Column `x` should be an array of numbers"),
        (torch.zeros(2, dtype=torch.bfloat16), "Column `x` should be an array of numbers.*BFloat16.*half"),
    ],
)
def test_what_is_no_column_is_refused(x, words):
    with pytest.raises(ReplayError, match=words):
        Replay({"x": "float32"}, "5 rows", 1).push({"x": x})
