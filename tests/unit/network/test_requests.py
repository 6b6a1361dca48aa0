"""What agents ask beside one frame per link: several frames, copies, posts, rows without a Gram matrix."""

from __future__ import annotations

import numpy as np
import pytest
from network_fakes import from_edges, topology
from request_fakes import talk

from mpidcl.errors import CombineError, DeadlockError, FrameError, RequestError
from mpidcl.network.frames.message import Message
from mpidcl.network.inprocess import InProcessDriver
from mpidcl.network.requests import Combine, Compare, Meet, Outgoing, Post, Row, Take
from mpidcl.network.waits import DEBUG

PAIR = from_edges(2, [(0, 1), (1, 0)])
NONE = np.empty(0, np.int64)


def drive(life, agents=2):
    return InProcessDriver().drive({agent: life(agent) for agent in range(agents)})


def frame(source, target, number, array):
    return Outgoing(PAIR.outgoing(source)[target], number, ((0, Message("m", {}, {"a": array})),))


# --- frames --------------------------------------------------------------------------------------


def test_several_frames_of_one_link_come_in_the_order_in_which_they_are_named():
    def life(me):
        out = tuple(frame(me, 1 - me, n, np.full(3 + n, n)) for n in range(4))
        back = PAIR.incoming(me)[1 - me]
        first = yield Meet("now", 0, out[:3], ((back, 0), (back, 1)))
        second = yield Meet("then", 0, out[3:], ((back, 2), (back, 3)))
        return [entries[0][1].arrays["a"].tolist() for entries in [*first, *second]]

    assert drive(life)[0] == [[0] * 3, [1] * 4, [2] * 5, [3] * 6]


def test_a_reply_holds_nothing_that_came_but_was_not_named():
    def life(me):
        if me == 0:
            yield Meet("now", 0, tuple(frame(0, 1, n, np.zeros(1)) for n in range(3)), ())
            return None
        reply = yield Meet("now", 0, (), ((PAIR.incoming(1)[0], 0),))
        return len(reply)

    assert drive(life)[1] == 1


@pytest.mark.parametrize("copied", [False, True])
def test_what_was_copied_may_change_at_once(monkeypatch, copied):
    monkeypatch.setenv(DEBUG, "1")
    array = np.zeros(10_000)

    def life(me):
        if me == 0:
            out = frame(0, 1, 0, array)
            yield Meet("now", 0, (out,), ((PAIR.incoming(0)[1], 0),), copied)
        else:
            array[5] = 1  # while agent 0 is still in its meeting
            yield Meet("now", 0, (frame(1, 0, 0, np.zeros(1)),), ())

    if copied:
        drive(life)
    else:
        with pytest.raises(FrameError, match="agent 0: an array changed while it was on its way"):
            drive(life)


@pytest.mark.parametrize("seed", range(20))
def test_any_order_of_requests_has_one_result(monkeypatch, seed):
    network = topology("erdos-renyi", 5)
    found = InProcessDriver().drive(talk(network, seed))
    monkeypatch.setenv(DEBUG, "1")
    assert InProcessDriver().drive(talk(network, seed)) == found


# --- posts ---------------------------------------------------------------------------------------


def post(number, told=NONE, out=None, into=None):
    return Post(f"step {number}", number, told, out or {}, into or {})


def test_a_post_is_answered_at_once_and_taken_when_all_is_there():
    log = []

    def life(me):
        into = np.zeros(2, np.float32)
        rows = np.array([me, 10 * me], np.float32)
        reply = yield post(0, np.array([me, 7]), {(me + 1) % 3: rows}, {(me - 1) % 3: into})
        log.append((me, reply))
        told = (yield Take("step 1", 0)).told
        return told.tolist(), into.tolist()

    found = drive(life, 3)
    assert {reply for _, reply in log} == {()}
    assert [found[me][0] for me in range(3)] == [[[0, 7], [1, 7], [2, 7]]] * 3
    assert [found[me][1] for me in range(3)] == [[2, 20], [0, 0], [1, 10]]


def test_two_posts_under_way_are_taken_in_any_order():
    def life(me):
        into = [np.zeros(1, np.int64) for _ in range(2)]
        for number in range(2):
            out = {1 - me: np.array([10 * me + number])}
            yield post(number, np.array([number]), out, {1 - me: into[number]})
        order = (0, 1) if me else (1, 0)
        told = {}
        for number in order:
            told[number] = (yield Take("later", number)).told.tolist()
        return told, [int(array[0]) for array in into]

    found = drive(life)
    assert found[0] == ({1: [[1], [1]], 0: [[0], [0]]}, [10, 11])
    assert found[1] == ({0: [[0], [0]], 1: [[1], [1]]}, [0, 1])


def test_told_is_ones_own_and_empty_arrays_are_none():
    def life(me):
        yield post(0, np.array([me]), {0: np.empty((0, 4))} if me else {}, {} if me else {0: NONE})
        told = (yield Take("now", 0)).told
        told += 5
        yield post(1, told[me], {me: told}, {me: np.empty_like(told)})
        return (yield Take("now", 1)).told.ravel().tolist()

    assert drive(life)[0] == [5, 6]


def after_a_post(*requests):
    def life(me):
        yield post(3)
        yield Take("now", 3)
        for request in requests:
            assert (yield request) == ()

    return life


@pytest.mark.parametrize(
    ("requests", "said"),
    [
        ([Take("now", 4)], "Take 4 at now: agent 0 should have posted number 4 before"),
        ([Take("now", 3)], "Take 3 at now: agent 0 should have posted number 3 before"),
        ([post(4), post(4)], "Post 4 at step 4: numbers of agent 0 should grow. Found 4 after 4"),
        ([post(2)], "Post 2 at step 2: numbers of agent 0 should grow. Found 2 after 3"),
        ([post(4)], "Post 4 at step 4: agent 0 should take it before its life ends"),
    ],
)
def test_posts_and_takes_that_do_not_belong_together(requests, said):
    with pytest.raises(RequestError, match=said):
        drive(after_a_post(*requests))


WIDE = np.zeros((4, 4))


@pytest.mark.parametrize(
    ("first", "second", "said"),
    [
        (post(0, np.zeros(2, np.int64)), post(0), "as many words. Found 2 of agent 0 and 0 of agent 1"),
        (post(0, np.zeros(2)), post(0), r"told of agent 0 should be a vector of int64. Found float64"),
        (post(0, out={1: WIDE[:, 0]}), post(0), r"out\[1\] of agent 0 should be contiguous and of numbers"),
        (
            post(0, into={1: WIDE.T}),
            post(0),
            r"into\[1\] of agent 0 should be contiguous, writable and",
        ),
        (post(0, out={1: np.array([None])}), post(0), r"out\[1\] of agent 0 should be .* Found object"),
        (
            post(0, out={1: WIDE}),
            post(0),
            "agent 1 should expect .* 0 .* Found 0 in its `into` and 128",
        ),
        (
            post(0),
            post(0, into={0: WIDE}),
            "agent 1 should expect .* 0 .* Found 128 in its `into` and 0",
        ),
        (post(0, out={1: WIDE}), post(0, into={0: NONE}), "Found 0 in its `into` and 128 in the `out`"),
        (post(0, out={7: WIDE}), post(0), "Found one from agent 0 to agent 7, and no agent 7"),
    ],
)
def test_posts_that_do_not_fit(first, second, said):
    def life(me):
        yield (first, second)[me]
        yield Take("now", 0)

    with pytest.raises(CombineError, match=said):
        drive(life)


def test_debugging_finds_what_changed_before_it_was_taken(monkeypatch):
    def life(me):
        out = np.zeros(3)
        yield post(0, out={1: out} if me == 0 else {}, into={0: np.empty(3)} if me else {})
        out[1] = me == 0
        yield Take("now", 0)

    drive(life)
    monkeypatch.setenv(DEBUG, "1")
    with pytest.raises(CombineError, match="agent 0 should leave its array for agent 1 as it is until"):
        drive(life)


# --- the others ----------------------------------------------------------------------------------


def test_rows_are_combined_without_a_gram_matrix():
    def life(me):
        row = Row(me, np.array([me, 1], np.float32), np.array([5 + me], np.float32))
        compared = yield Compare("now", 0, (0, 1), (row,), gram=False)
        out = np.empty(2, np.float32)
        yield Combine("now", 0, np.array([2.0, 3.0]), out)
        return compared.gram.shape, compared.facts.tolist(), out.tolist()

    assert drive(life)[0] == ((0, 0), [[5], [6]], [3, 5])


def test_all_want_the_gram_matrix_or_nobody():
    def life(me):
        yield Compare(
            "now", 0, (0,), () if me else (Row(0, np.ones(1, np.float32), np.ones(1, np.float32)),), me == 1
        )

    with pytest.raises(CombineError, match="or none. Found False in agent 0 and True in agent 1"):
        drive(life)


def test_what_nobody_answers_is_said():
    def life(me):
        yield from ()
        yield iter(())

    with pytest.raises(
        RequestError, match="agent 0 should yield a request that this driver answers: Arrived, Combine,"
    ):
        drive(life)


def test_a_deadlock_names_what_each_agent_waits_in():
    def life(me):
        if me == 0:
            yield post(0)
            yield Take("step 4", 0)
        elif me == 1:
            yield Compare("step 5", 7, (0,), ())
        else:
            yield Meet("step 6", 0, (), ((PAIR.outgoing(0)[1], 3),))

    with pytest.raises(DeadlockError) as error:
        drive(life, 3)
    assert str(error.value).splitlines()[1:] == [
        "  agent 0 in Take 0 at step 4: waits for agents 1, 2 of this process",
        "  agent 1 in Compare 7 at step 5: waits for agents 0, 2 of this process",
        "  agent 2 at step 6, leg 0: waits for a frame on link 0 -> 1",
    ]
