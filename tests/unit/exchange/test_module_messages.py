"""Bytes of module exchanges, what a small room does, and what a wrong message is told."""

import numpy as np
import pytest
from exchange_fakes import UNLIMITED, complete, meet
from hypothesis import given, settings
from hypothesis import strategies as st
from test_modules import LAST, QUERIES, network

from mpidcl.errors import FrameError
from mpidcl.exchange.base import LinkUse, Received
from mpidcl.network.frames.frame import message_bytes
from mpidcl.network.frames.message import Message

MODULE = 6 * 7


def changed(message, without=None, scalars=None, **arrays):
    kept = {name: array for name, array in message.arrays.items() if name != without}
    return Message(message.kind, {**message.scalars, **(scalars or {})}, {**kept, **arrays}, message.room)


def question(exchange):
    exchange.begin_use(LAST)
    return exchange.ask(LinkUse(exchange.neighbourhood.agent, 1, UNLIMITED, UNLIMITED, 0))


# --- bytes ---------------------------------------------------------------------------------------


def test_paper_floats_are_those_of_the_modules_alone():
    for options in ({}, {"rank_by": "leep"}, {"precision": "int8"}, {"head": "none", "structure": False}):
        for count in (1, 2):
            sent = meet(network(complete(2), 2, count=count, **options), task=LAST)
            assert sent[0, 1, 0].floats == 0
            assert sent[1, 0, 1].floats == count * MODULE


@pytest.mark.parametrize("query", QUERIES)
@pytest.mark.parametrize("rank_by", ["label", "leep"])
def test_bytes_range_is_exact_at_both_ends(rank_by, query):
    everywhere = {
        "learner": {"rows": 300},
        "pixels": "float32",
        "rank_by": rank_by,
        "query": query,
        "count": 2,
    }
    exchanges = network(complete(2), 2, **everywhere)
    least, most = exchanges[0].bytes_range(1, None)
    sent = meet(exchanges, task=LAST)
    assert sum(message_bytes(m) for (source, *_), m in sent.items() if source == 1) == most
    exchanges = network(complete(2), 2, **everywhere)
    sent = meet(exchanges, task=LAST, room=least)
    assert sum(message_bytes(m) for (source, *_), m in sent.items() if source == 1) == least
    assert len(sent[1, 0, 1].arrays["task"]) == 1
    assert meet(network(complete(2), 2, **everywhere), task=LAST, room=least - 1) == {}
    assert exchanges[0].bytes_range(1, 10**9).most == most
    assert exchanges[0].bytes_range(1, least + 5) == (least, least + 5)


@settings(max_examples=60)
@given(
    st.sampled_from(QUERIES),
    st.sampled_from(["label", "leep"]),
    st.sampled_from(["auto", "float32", "float16", "int8"]),
    st.integers(1, 3),
    st.integers(0, 6000),
)
def test_every_room_is_respected_and_the_least_brings_a_module(query, rank_by, precision, count, room):
    options = {"query": query, "rank_by": rank_by, "precision": precision, "count": count}
    # Rows that travel as bytes may fit where the widest ones, which `least` counts, do not.
    exchanges = network(complete(2), 2, pixels="float32", **options)
    least, most = exchanges[0].bytes_range(1, room)
    meet(exchanges, task=LAST, room=min(room, most))  # `meet` checks every size against the room
    for exchange in exchanges:
        assert len(exchange.learner.handed) == (1 if room >= least else 0)


def test_a_smaller_room_first_lowers_the_precision_then_the_number_of_modules():
    found = []
    for room in (694, 513, 411, 410):
        sent = meet(network(complete(2), 2, count=2, structure=False), task=LAST, room=room)
        weights = sent[1, 0, 1].arrays["weights"]
        found.append((weights.dtype.name, len(weights) // MODULE))
    assert found == [("float32", 2), ("float16", 2), ("int8", 2), ("int8", 1)]


def test_fewer_rows_are_shown_where_the_answer_would_not_fit_beside_them():
    rows = []
    for room in (UNLIMITED, 2000, 1000, 700):
        exchanges = network(complete(2), 2, rank_by="leep", pixels="float32", learner={"rows": 60})
        rows.append(len(meet(exchanges, task=LAST, room=room)[0, 1, 0].arrays["y"]))
    assert rows == sorted(rows, reverse=True)
    assert rows[0] > 40 and 2 <= rows[-1] < 20


def test_nothing_is_asked_when_no_module_could_come_back():
    exchange = network(complete(2), 2)[0]
    exchange.begin_use(LAST)
    assert exchange.ask(LinkUse(0, 1, UNLIMITED, 100, 0)) is None
    assert exchange.ask(LinkUse(0, 1, 100, UNLIMITED, 0)) is None
    assert exchange.asked == 0


@pytest.mark.parametrize(("precision", "error"), [("float32", 0), ("float16", 2**-11), ("int8", 1 / 254)])
def test_modules_and_heads_come_within_the_error_of_their_form(precision, error):
    exchanges = network(complete(2), 2, precision=precision)
    meet(exchanges, task=LAST)
    (module,) = exchanges[0].learner.handed[0]
    truth = exchanges[1].learner.module(module.origin.module)
    assert np.abs(module.weights - truth).max() <= error * np.abs(truth).max() * 1.001
    assert (np.abs(module.weights - truth).max() == 0) == (precision == "float32")


# --- wrong messages ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"without": "class"}, "array 'class'"),
        ({"class": np.zeros(3, np.uint32)}, "'class'"),
        ({"scalars": {"classes": 0}}, "1 to 65535 classes"),
        ({"scalars": {"classes": 2.0}}, "scalar 'classes'"),
    ],
)
def test_a_wrong_question_by_label_is_named(change, fault):
    asker, sender = network(complete(2), 2)
    with pytest.raises(FrameError, match=fault):
        sender.answer(LinkUse(1, 0, UNLIMITED, 0, 0), changed(question(asker), **change))


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"without": "x"}, "array 'x'"),
        ({"y": np.zeros(3, np.uint16)}, "'x'"),
        ({"y": np.full(30, 2, np.uint16)}, "labels up to 2"),
        ({"x": np.full((30, 6), np.nan, np.float32)}, "not finite"),
        ({"x": np.zeros((0, 6), np.float32), "y": np.zeros(0, np.uint16)}, "0 rows"),
        ({"x": np.zeros((30, 5), np.float32)}, r"\[30, 6\]"),
        ({"x": np.zeros((81, 6), np.float32), "y": np.zeros(81, np.uint16)}, "at most 40 rows.* Found 81"),
    ],
)
def test_wrong_rows_of_a_question_are_named(change, fault):
    asker, sender = network(complete(2), 2, rank_by="leep", query="prepared")
    asked = question(asker)
    assert asked.arrays["y"].shape == (30,)
    with pytest.raises(FrameError, match=fault):
        sender.answer(LinkUse(1, 0, UNLIMITED, 0, 0), changed(asked, **change))


WRONG_ANSWERS = [
    ({"without": "task"}, "array 'task'"),
    ({"without": "weights"}, "array 'weights'"),
    ({"task": np.zeros((1, 1), np.int32)}, "'task'"),
    ({"task": np.array([-1], np.int32)}, "from 0 on"),
    ({"module": np.zeros(2, np.int32)}, "'module'"),
    ({"weights": np.zeros(MODULE - 1, np.float32)}, "'weights'"),
    ({"weights": np.zeros(MODULE, np.float64)}, "float64"),
    ({"weights": np.full(MODULE, np.inf, np.float32)}, "42 of 42"),
    ({"weights": np.zeros(MODULE, np.float16)}, "weights_scale"),
    ({"weights": np.zeros(MODULE, np.int8)}, "weights_steps"),
    ({"weights": np.zeros(MODULE, np.int8), "weights_steps": np.zeros(2, np.float32)}, "weights_steps"),
    ({"weights": np.ones(MODULE, np.int8), "weights_steps": np.array([np.nan], np.float32)}, "finite"),
    ({"head": np.zeros(3, np.float32)}, "'head'"),
    ({"head": np.full(14, np.nan, np.float32)}, "14 of 14"),
    ({"structure": np.zeros((1, 2, 2), np.float32)}, "'structure'"),
    ({"structure": np.full((1, 3, 2), -np.inf, np.float32)}, "6 of 6"),
    ({"sources": np.array([[0, 2]], np.int16)}, "-1 to 1"),
    ({"sources": np.array([[0, -2]], np.int16)}, "-1 to 1"),
    ({"sources": np.zeros((1, 3), np.int16)}, "'sources'"),
    ({"similarity": np.array([np.nan], np.float32)}, "similarity"),
]


@pytest.mark.parametrize(("change", "fault"), WRONG_ANSWERS)
def test_a_wrong_answer_is_named_and_the_learner_is_told_nothing(change, fault):
    asker, sender = network(complete(2), 2)
    answer = sender.answer(LinkUse(1, 0, UNLIMITED, 0, 0), question(asker))
    with pytest.raises(FrameError, match=fault):
        asker.settle([Received(1, changed(answer, **change))])
    assert asker.learner.handed == [] and asker.taken == 0
    asker.settle([Received(1, answer)])  # the same one unharmed is taken
    assert len(asker.learner.handed) == 1


def test_more_modules_than_asked_for_or_an_answer_to_no_question_are_refused():
    generous = network(complete(2), 2, count=3)[1]
    asker = network(complete(2), 2)[0]
    answer = generous.answer(LinkUse(1, 0, UNLIMITED, 0, 0), question(asker))
    with pytest.raises(FrameError, match="at most 1 modules. Found 3"):
        asker.settle([Received(1, answer)])
    with pytest.raises(FrameError, match="only when asked"):
        network(complete(2), 2)[0].settle([Received(1, answer)])


def test_an_answer_of_length_zero_is_silence():
    asker, sender = network(complete(2), 2)
    answer = sender.answer(LinkUse(1, 0, UNLIMITED, 0, 0), question(asker))
    none = {name: array[:0] for name, array in answer.arrays.items()}
    asker.settle([Received(1, Message(answer.kind, {}, none))])
    assert asker.learner.handed == [] and asker.received == 0


def test_modules_of_a_neighbour_that_was_not_asked_are_refused():
    exchanges = network(complete(3), 3)
    answer = meet(exchanges, task=LAST)[2, 0, 1]
    asker = network(complete(3), 3)[0]
    question(asker)  # of agent 1 alone
    with pytest.raises(FrameError, match="agent 2 should send modules only when asked"):
        asker.settle([Received(2, answer)])
    assert not asker.learner.handed
