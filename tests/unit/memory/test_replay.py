"""One replay buffer over many agents, in one process: rows, policies, room, bad input."""

from __future__ import annotations

import numpy as np
import pytest
from replay_fakes import CLASSES, COLUMNS, FORMS, check, edited, lives, made, settings

from mpidcl.errors import ReplayError
from mpidcl.memory.buffer import Buffer
from mpidcl.memory.policies import Reservoir
from mpidcl.memory.replay.nearest import nearest
from mpidcl.memory.replay.settings import columns_of, dealt
from mpidcl.memory.replay.share import Share
from mpidcl.memory.replay.shared import SharedReplay
from mpidcl.network.inprocess import InProcessDriver
from mpidcl.randomness import numpy_generator
from mpidcl_kernels.nearest import nearest_definition


def drive(works):
    return InProcessDriver().drive(dict(enumerate(works)))


@pytest.mark.parametrize("agents", [1, 3])
@pytest.mark.parametrize("name", FORMS)
def test_no_row_is_torn_and_all_full_draws_come(name, agents):
    """`Life` compares every row with its key, and looks for rows that come too early or twice."""
    every = lives(FORMS[name], agents)
    drive(life.steps(25) for life in every.values())
    draws = sum(FORMS[name].draws)
    assert {life.drawn for life in every.values()} <= set(range(20 * draws, 24 * draws))
    assert all(len(life.replay.share) <= life.replay.share.rooms.sum() for life in every.values())


@pytest.mark.parametrize("name", FORMS)
def test_a_loaded_buffer_goes_on_like_the_one_that_was_saved(name):
    first = lives(FORMS[name], 3)
    whole = drive(life.steps(18) for life in lives(FORMS[name], 3).values())
    drive(life.steps(11) for life in first.values())
    states = {agent: life.replay.state() for agent, life in first.items()}
    second = lives(FORMS[name], 3, states=states)
    for agent, life in second.items():
        life.digest = first[agent].digest
    assert drive(life.steps(18) for life in second.values()) == whole


def test_pinned():
    """The rows of agent 0 of 3 after 12 steps: whatever changes them is told in the changes."""
    found = drive(life.steps(12) for life in lives(FORMS["reservoir"], 3).values())
    assert found == {0: 3625774380, 1: 1323391514, 2: 1547847091}


def test_one_agent_is_a_plain_buffer():
    replay = SharedReplay(settings("20 rows"), 1, 0)
    own = Buffer(COLUMNS, 20, Reservoir(), numpy_generator(0, 0, "replay insert"))
    for step in range(30):
        rows = made(10 * step + np.arange(4))
        drive([replay.push(rows)])
        own.push(rows)
    assert np.array_equal(replay.share.storage["key"], own.column("key"))
    assert replay.share.seen.tolist() == [120]


# --- policies ------------------------------------------------------------------------------------


def test_rows_of_a_full_class_survive_as_the_law_of_candidates_says():
    """(1 - a / N)^m after m further arrivals; other classes lose nothing."""
    form = settings(
        "8 rows per class", policy="candidate", options='{"accept": 0.5}', label="y", classes=CLASSES
    )
    kept = 0
    for seed in range(60):
        share = Share(settings(**{**_keys(form), "seed": seed}), 1, 0)
        share.insert(made(np.arange(48)))  # 8 of each class
        share.insert(made(48 + CLASSES * np.arange(20)))  # 20 more of class 0
        keys = share.storage["key"]
        assert sorted(keys[8:].tolist()) == [k for k in range(48) if k % CLASSES]
        kept += int((keys[:8] < 48).sum())
    expected = 60 * 8 * (1 - 0.5 / 8) ** 20
    assert abs(kept - expected) < 4 * np.sqrt(expected)


def _keys(form):
    return {"capacity": str(form.capacity), "policy": form.policy, "options": form.options,
            "label": form.label, "classes": form.classes}  # fmt: skip


def test_every_row_of_a_class_is_in_its_reservoir_with_the_same_probability():
    counts = np.zeros(10)
    for seed in range(150):
        share = Share(settings("3 rows per class", label="y", classes=CLASSES, seed=seed), 1, 0)
        share.insert(made(CLASSES * np.arange(10)))
        counts[share.storage["key"][:3] // CLASSES] += 1
    assert abs(counts - 45).max() < 4 * np.sqrt(150 * 0.3 * 0.7)


def test_fifo_keeps_the_latest_rows():
    share = Share(settings("10 rows", policy="fifo"), 1, 0)
    for first in range(0, 33, 3):
        share.insert(made(np.arange(first, first + 3)))
    assert sorted(share.storage["key"].tolist()) == list(range(23, 33))


def test_the_class_balanced_policy_gives_every_class_its_share():
    share = Share(
        settings("30 rows", policy="class-balanced", label="y", classes=CLASSES, balanced=True), 1, 0
    )
    share.insert(made(CLASSES * np.arange(100)))
    assert share.sizes().tolist() == [30, 0, 0, 0, 0, 0]
    for label in range(CLASSES):
        share.insert(made(label + CLASSES * np.arange(60)))
    assert share.sizes().tolist() == [5] * CLASSES
    slots = share.slots(np.array([2, 2, 5]), np.array([0, 4, 1]))
    assert share.storage["y"][slots].tolist() == [2, 2, 5]


# --- room ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("capacity", "keys", "total"),
    [
        ("50 rows", {}, 50),
        ("50 rows", {"per_rank": True}, 150),
        ("10 %", {"data_rows": 700}, 70),
        ("8 KiB", {}, 8192 // settings().row_bytes),
        ("7 rows per class", {"label": "y", "classes": CLASSES}, 42),
        ("50 rows", {"label": "y", "classes": CLASSES}, 50),
        ("50 rows", {"label": "y", "classes": CLASSES, "policy": "class-balanced"}, 50),
    ],
)
def test_the_rooms_of_all_agents_are_the_capacity(capacity, keys, total):
    form = settings(capacity, **keys)
    rooms = np.array([form.rooms(3, agent) for agent in range(3)])
    assert rooms.sum() == total and np.ptp(rooms, axis=0).max() <= 1
    assert rooms.shape[1] == (CLASSES if form.parted else 1)


def test_what_is_dealt_fits_into_what_room_is_dealt():
    for parts in (1, 2, 3, 5):
        for room in range(14):
            for rows in range(room + 1):
                assert (np.array(dealt(rows, parts, 1)) <= dealt(room, parts, 1)).all()


# --- edits ---------------------------------------------------------------------------------------


def test_an_edit_is_seen_by_draws_of_the_next_push():
    """Two agents with a row each, and both draw both: every element of x counts the edits so far."""
    form = settings("2 rows", (2,), edits=("x", "crc"))

    def life(agent):
        replay, found = SharedReplay(form, 2, agent), []
        yield from replay.push(made([6 + agent]))
        for step in range(1, 6):
            rows = (yield from replay.wait()).columns(["key", "x", "crc"], replay.blocks)
            check({**rows, "y": rows["key"] % CLASSES}, 99)
            found.append((rows["x"] - made(rows["key"])["x"])[:, 0, 0].tolist())
            yield from replay.push(None, edits=edited(rows) if step == 2 and agent == 0 else None)
        yield from replay.finish()
        return found

    # step 2 has the first rows; an edit of push 2 is in what is drawn at push 3 and comes at step 4
    assert drive([life(0), life(1)]) == dict.fromkeys(range(2), [[], [0, 0], [0, 0], [1, 1], [1, 1]])


def test_an_edit_of_a_row_that_has_gone_is_dropped():
    replay = SharedReplay(settings("1 rows", (1,), policy="fifo", edits=("x", "crc")), 1, 0)
    drive([replay.push(made([1]))])
    drive([replay.push(made([2]))])  # drawn from row 1, which goes now
    rows = drive([replay.wait()])[0].columns(["key", "x", "crc"], replay.blocks)
    assert rows["key"].tolist() == [1]
    drive([replay.push(None, edits=edited(rows))])
    assert (replay.share.storage["x"] == made([2])["x"]).all()
    rows = drive([replay.wait()])[0].columns(["key", "x", "crc"], replay.blocks)
    drive([replay.push(None, edits=edited(rows))])
    assert (replay.share.storage["x"] == made([2])["x"] + 1).all()


@pytest.mark.parametrize(
    ("keys", "edits", "words"),
    [
        ({}, {"x": np.zeros((0, 3, 5), np.float32)}, "of columns that `edits` declares. Found none declared"),
        ({"edits": ("x",)}, {"crc": np.zeros(0, np.uint32)}, "Edits should have the columns x. Found crc"),
        (
            {"edits": ("x",)},
            {"x": np.zeros((2, 3, 5), np.float32)},
            "of all 0 rows of the last `wait`.*Found 2",
        ),
    ],
)
def test_edits_that_are_not_of_the_rows_drawn_last_are_refused(keys, edits, words):
    replay = SharedReplay(settings(**keys), 1, 0)
    drive([replay.wait()])
    with pytest.raises(ReplayError, match=words):
        drive([replay.push(None, edits=edits)])


def test_edits_come_after_a_wait():
    replay = SharedReplay(settings(edits=("x",)), 1, 0)
    with pytest.raises(ReplayError, match="Edits should be of rows that `wait` gave after the last `push`"):
        drive([replay.push(None, edits={"x": np.zeros((0, 3, 5), np.float32)})])


# --- nearest -------------------------------------------------------------------------------------


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
@pytest.mark.parametrize("agents", [1, 3])
def test_the_nearest_rows_are_those_of_one_big_store(agents, metric):
    form = FORMS["candidate per class"]
    rng = np.random.default_rng(4)
    queries = [
        None if agent == 1 else rng.normal(size=(2 + agent, 3, 5)).astype(np.float32)
        for agent in range(agents)
    ]

    def life(agent):
        replay = SharedReplay(form, agents, agent)
        for step in range(3):
            yield from replay.push(made(1000 * agent + 10 * step + np.arange(5)))
        found = yield from nearest(replay, queries[agent], 4, "x", metric)
        yield from replay.settle()
        share = replay.share
        return found, share.storage["x"][share.used()].copy(), share.storage["key"][share.used()].copy()

    came = drive(life(agent) for agent in range(agents))
    x, keys = (np.concatenate([came[agent][i] for agent in range(agents)]) for i in (1, 2))
    owner = np.repeat(np.arange(agents), [len(came[agent][2]) for agent in range(agents)])
    for agent in range(agents):
        found, asked = came[agent][0], queries[agent]
        if asked is None:
            assert found.score.shape == (0, 4) and len(found.block) == 0
            continue
        index, score = nearest_definition(asked.reshape(len(asked), -1), x.reshape(len(x), -1), 4, metric)
        np.testing.assert_allclose(found.score, score)
        assert np.array_equal(found.block["key"].reshape(-1, 4), keys[index])
        assert np.array_equal(found.owner, owner[index])


def test_of_fewer_rows_than_k_all_are_found():
    replay = SharedReplay(settings(), 1, 0)
    drive([replay.push(made([5, 6]))])
    found = drive([nearest(replay, made([5])["x"], 4, "x", "euclidean")])[0]
    assert found.owner.tolist() == [[0, 0, -1, -1]] and found.block["key"][:2].tolist() == [5, 6]
    assert found.score[0, 0] == 0 and np.isinf(found.score[0, 2:]).all()


# --- bad input -----------------------------------------------------------------------------------

LABEL = {"label": "y", "classes": CLASSES}


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"capacity": "5 rows", **LABEL}, "`capacity` should be at least 6 rows, one for each class"),
        ({"capacity": "50 B"}, "at least 1 row. Found 50 B, room for 0 rows of 96 bytes"),
        ({"capacity": "5 rows per task"}, "rows per class. Found 5 rows per task"),
        ({"capacity": "10 %"}, "`data_rows` should say of how many rows"),
        ({"capacity": "5 rows per class"}, "`classes` should say how many classes there are, for a capacity"),
        ({"balanced": True}, "for a draw that is balanced"),
        ({"classes": 3}, "`label` should name the column"),
        ({"policy": "class-balanced"}, "`label` should name the column"),
        ({"label": "z"}, "one of the columns key, x, y, crc. Found z"),
        ({"label": "x"}, "column `x` should be one whole number for each row"),
        ({"policy": "newest"}, "`policy`"),
        ({"policy": "class-quota"}, "should take rows as they come"),
        ({"policy": "herding", "label": "y"}, "should take rows as they come"),
        ({"policy": "candidate", "options": '{"accept": 2}'}, '"candidate" should be mended: accept'),
        ({"draws": ()}, "`draw` should be a number of rows of at least 1"),
        ({"edits": ("z",)}, "`edits` should name columns, and not the label. Found z"),
        ({"edits": ("y",), "label": "y"}, "`edits` should name columns, and not the label. Found y"),
        ({"draws": (4, 0)}, "`draw` should be a number of rows of at least 1"),
    ],
)  # fmt: skip
def test_settings_that_do_not_fit_together_are_refused(keys, words):
    with pytest.raises(ReplayError, match=words):
        settings(**keys)


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({}, "at least one column"),
        ({"x": "object"}, "column `x` should be numbers"),
        ({"x": "float99"}, "column `x` should be a dtype"),
        ({"x": ("float32", (-1,))}, "column `x` should be numbers of a fixed shape"),
        ({"sequence": "int64"}, "none `sequence`"),
    ],
)
def test_columns_that_no_row_can_have_are_refused(columns, words):
    with pytest.raises(ReplayError, match=words):
        type(settings())(columns_of(columns), settings().capacity, (1,))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"x": np.zeros((2, 5, 3), np.float32)}, r"`x` should have .* \[3, 5\]. Found float32 \[5, 3\]"),
        ({"x": np.zeros((2, 3, 5))}, r"`x` should have rows of float32 \[3, 5\]. Found float64"),
        ({"y": np.array([0, 6])}, "Column `y` should hold class numbers between 0 and 5: 6 classes.*Found 6"),
        ({"y": np.array([0, -1])}, "Found -1"),
        ({"key": np.zeros(3, np.int64)}, "as many rows. Found key 3, x 2, y 2, crc 2"),
        ({"z": np.zeros(2)}, "Rows should have the columns key, x, y, crc. Found key, x, y, crc, z"),
    ],
)  # fmt: skip
def test_rows_that_are_not_as_declared_are_refused_before_anything_happens(change, words):
    replay = SharedReplay(settings("60 rows", **LABEL), 1, 0)
    drive([replay.push(made([1, 2]))])
    with pytest.raises(ReplayError, match=words):
        drive([replay.push({**made([3, 4]), **change})])
    assert len(replay.share) == 2 and replay.step == 1 and drive([replay.wait()])[0].rows == 0


def test_wait_without_push_is_refused():
    replay = SharedReplay(settings(), 1, 0)
    assert drive([replay.wait()])[0].rows == 0  # nothing can have been pushed yet
    with pytest.raises(ReplayError, match="`wait` should follow a `push`"):
        drive([replay.wait()])


def test_a_state_is_taken_when_rows_have_arrived():
    def life(agent):
        replay = SharedReplay(settings(), 2, agent)
        yield from replay.push(made([agent]))
        with pytest.raises(ReplayError, match="replay step 0 is under way"):
            replay.state()
        yield from replay.finish()

    drive(life(agent) for agent in range(2))


@pytest.mark.parametrize(
    ("column", "words"), [("y", "one of float32 or float64: x. Found y"), ("x", "Queries for")]
)
def test_queries_that_fit_no_column_are_refused(column, words):
    with pytest.raises(ReplayError, match=words):
        drive([nearest(SharedReplay(settings(), 1, 0), np.zeros((1, 3)), 2, column)])
