"""The in-process driver with lives written by hand: frames, order, waiting for nobody, debugging."""

from fractions import Fraction

import numpy as np
import pytest
from network_fakes import World, digests, from_edges, topology

from mpidcl.errors import DeadlockError, FrameError
from mpidcl.network.frames.message import Message
from mpidcl.network.inprocess import InProcessDriver
from mpidcl.network.requests import Meet, Outgoing, Saved
from mpidcl.network.waits import DEBUG

PAIR = from_edges(2, [(0, 1), (1, 0)])


def say(network, source, target, number, text, array=None):
    arrays = {} if array is None else {"x": array}
    return Outgoing(network.outgoing(source)[target], number, ((0, Message(text, {}, arrays)),))


def hear(network, source, target, number):
    return network.outgoing(source)[target], number


def test_an_answer_holds_the_frames_in_the_asked_order():
    network = topology("complete", 3)

    def life(me):
        others = [a for a in range(3) if a != me]
        out = tuple(say(network, me, other, 0, f"{me} to {other}") for other in others)
        reply = yield Meet("now", 0, out, tuple(hear(network, other, me, 0) for other in reversed(others)))
        return [entries[0][1].kind for entries in reply]

    assert InProcessDriver().drive({a: life(a) for a in range(3)}) == {
        0: ["2 to 0", "1 to 0"],
        1: ["2 to 1", "0 to 1"],
        2: ["1 to 2", "0 to 2"],
    }


def test_frames_of_a_link_are_taken_in_order_when_the_sender_runs_ahead():
    def sender():
        for number in range(3):
            yield Meet("now", 0, (say(PAIR, 0, 1, number, f"{number}"),), ())

    def receiver():
        heard = []
        for number in range(3):
            reply = yield Meet("now", 0, (), (hear(PAIR, 0, 1, number),))
            heard.append(reply[0][0][1].kind)
        return heard

    assert InProcessDriver().drive({0: sender(), 1: receiver()})[1] == ["0", "1", "2"]


def test_large_arrays_are_copied():
    array = np.arange(10_000.0)

    def sender():
        yield Meet("now", 0, (say(PAIR, 0, 1, 0, "x", array),), ())
        array[:] = 0

    def receiver():
        reply = yield Meet("now", 0, (), (hear(PAIR, 0, 1, 0),))
        return float(reply[0][0][1].arrays["x"].sum())

    assert InProcessDriver().drive({0: sender(), 1: receiver()})[1] == 49_995_000.0


def test_ends_that_count_differently_are_found():
    def sender():
        yield Meet("now", 0, (say(PAIR, 0, 1, 4, "x"),), ())

    def receiver():
        yield Meet("now", 0, (), (hear(PAIR, 0, 1, 5),))

    with pytest.raises(FrameError, match="link 0 -> 1, frame 5"):
        InProcessDriver().drive({0: sender(), 1: receiver()})


def test_agents_that_wait_for_nobody_are_listed():
    network = topology("ring", 3)

    def waits(me, source, leg):
        out = (say(network, me, source, 0, "x", np.zeros(9)),)
        yield Meet(
            f"time {me} (after)", leg, out, (hear(network, source, me, 0), hear(network, me - 1, me, 0))
        )

    def ends():
        yield Meet("time 0 (before)", 0, (), ())
        return "done"

    with pytest.raises(DeadlockError) as error:
        InProcessDriver().drive({0: ends(), 2: waits(2, 0, 1)})
    assert str(error.value) == (
        "nothing can arrive any more; these agents wait:\n"
        "  agent 2 at time 2 (after), leg 1: waits for a frame on link 0 -> 2, link 1 -> 2"
    )


def test_saved_is_answered_at_once_and_passed_on():
    heard = []

    def life(me):
        reply = yield Saved(me, Fraction(4), 100, b"s" * 32)
        return reply

    found = InProcessDriver(on_saved=heard.append).drive({1: life(1), 0: life(0)})
    assert found == {0: [], 1: []}
    assert heard == [Saved(0, Fraction(4), 100, b"s" * 32), Saved(1, Fraction(4), 100, b"s" * 32)]
    assert InProcessDriver().drive({0: life(0)}) == {0: []}


def changed_in_flight():
    array = np.zeros(10_000)

    def sender():
        yield Meet("time 3 (after)", 0, (say(PAIR, 0, 1, 0, "x", array),), (hear(PAIR, 1, 0, 0),))

    def receiver():
        yield Meet("start", 0, (), (hear(PAIR, 0, 1, 0),))
        array[5] = 1  # a receiver that shares memory with the sender, who has not been told that all is sent
        yield Meet("start", 0, (say(PAIR, 1, 0, 0, "y"),), ())

    return {0: sender(), 1: receiver()}


def test_debugging_finds_an_array_that_changed_on_its_way(monkeypatch):
    InProcessDriver().drive(changed_in_flight())
    monkeypatch.setenv(DEBUG, "1")
    with pytest.raises(
        FrameError, match=r"agent 0: an array changed while it was on its way \(time 3 \(after\)\)"
    ):
        InProcessDriver().drive(changed_in_flight())


@pytest.mark.parametrize("checksum_all", [False, True])
def test_debugging_changes_nothing(monkeypatch, checksum_all):
    world = World(topology("ring", 3), [[2], [3], [1]], size=3000)
    plain = digests(world.in_process())
    monkeypatch.setenv(DEBUG, "1")
    assert digests(world.in_process(checksum_all=checksum_all)) == plain


def test_an_error_names_its_agent():
    def fails():
        yield Meet("now", 0, (), ())
        raise ZeroDivisionError("in the learner")

    with pytest.raises(ZeroDivisionError, match="in the learner") as error:
        InProcessDriver().drive({7: fails()})
    assert error.value.__notes__ == ["This happened in agent 7."]
