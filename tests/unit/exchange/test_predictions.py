"""Predictions: who is asked what, what is kept of the answers, and what a damaged one is."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from exchange_fakes import complete, neighbourhoods

from mpidcl.errors import ExperimentError, FrameError
from mpidcl.exchange.base import LinkUse, Received
from mpidcl.exchange.predictions.exchange import PredictionsExchange, PredictionsOptions
from mpidcl.experiment.reading import from_toml
from mpidcl.learning.gradient.learner import GradientLearner
from mpidcl.network.frames.frame import message_bytes
from mpidcl.network.frames.message import Message
from mpidcl.run.preview import check
from mpidcl.stream.serial.stream import SerialStream
from mpidcl.testing.asking import result_of
from mpidcl.testing.exchanges import check_exchange

EXPERIMENT = """
name = "predictions"
agents = 3
[stream]
dataset = "digits"
kind = "serial"
tasks = 2
classes_per_task = 3
incremental = "class"
draw = "iid"
train_per_class = 8
[model]
kind = "mlp"
hidden = [9]
dropout = 0
[memory]
capacity = "6 rows per task"
[learning]
terms = ["replay"]
"""
MUCH = 10**9


class Taking(GradientLearner):
    """Keeps what it was told."""

    told: Any = None

    def take_predictions(self, x: Any, heads: Any, outputs: Any) -> None:
        self.told = x.copy(), heads.copy(), outputs.copy()


def network(tasks: int = 1, **options: Any) -> list[PredictionsExchange]:
    """Three agents that have begun so many tasks."""
    found = []
    for agent, near in enumerate(neighbourhoods(complete(3), 3)):
        mine = from_toml(EXPERIMENT).for_agent(agent)
        stream = SerialStream(mine, agent)
        learner = Taking(mine, agent, stream.shape)
        for task in range(tasks):
            learner.begin_task(stream.task(task))
            if task + 1 < tasks:
                result_of(learner.end_task())
        found.append(PredictionsExchange(PredictionsOptions(**options), learner, near))
    return found


def counts(one: PredictionsExchange) -> tuple[int, int]:
    """Rows asked about and unanswered, of all tasks."""
    table = one.tables()["predictions"]
    return int(np.sum(table["asked"])), int(np.sum(table["unanswered"]))


def use(source: int, target: int, room: int = MUCH) -> LinkUse:
    return LinkUse(source, target, room, room, 0)


def meet(who: list[PredictionsExchange], absent: tuple[int, ...] = (), room: int = MUCH) -> None:
    """Agent 0 asks all others that are there."""
    who[0].begin_use(0)
    received = []
    for other in range(1, 3):
        asked = who[0].ask(use(0, other, room))
        assert asked is not None
        if other not in absent:
            answer = who[other].answer(use(other, 0, room), asked)
            assert answer is not None and message_bytes(answer) <= room
            received.append(Received(other, answer))
    who[0].settle(received)


def test_it_is_an_exchange() -> None:
    terms = [{"kind": "replay"}, {"kind": "predictions", "rows_per_step": 4}]
    check_exchange(
        PredictionsExchange,
        {"learning": {"terms": terms}, "stream": {"draw": "iid"}, "exchange": {"rows": 6}},
    )


def test_the_mean_of_the_neighbours_outputs_is_kept_beside_their_rows() -> None:
    who = network(rows=10, precision="float32")
    meet(who)
    x, heads, outputs = who[0].learner.told
    assert x.shape == (10, *who[0].learner.shape.input_shape) and not heads.any()
    wanted = (who[1].learner.logits(x, 0).astype(np.float64) + who[2].learner.logits(x, 0)) / 2
    np.testing.assert_allclose(outputs, wanted, rtol=1e-6)
    rows = {row.tobytes() for row in who[0].learner.pool(0)[0]}
    assert len({row.tobytes() for row in x}) == 10 and all(row.tobytes() in rows for row in x)
    assert counts(who[0]) == (10, 0)


def test_an_absent_neighbour_is_left_out_and_rows_without_answer_are_counted() -> None:
    who = network(rows=10, precision="float32")
    meet(who, absent=(2,))
    x, _, outputs = who[0].learner.told
    np.testing.assert_allclose(outputs, who[1].learner.logits(x, 0), rtol=1e-6)
    who[0].learner.told = None
    meet(who, absent=(1, 2))
    assert who[0].learner.told is None
    assert counts(who[0]) == (20, 10)


def test_remembered_rows_are_those_of_the_tasks_before() -> None:
    who = network(tasks=2, rows=100, of="memory")
    meet(who)
    remembered = {row.tobytes() for row in who[0].learner.pool(0)[0]}
    assert {row.tobytes() for row in who[0].learner.told[0]} == remembered
    first = network(of="memory")[0]
    first.begin_use(0)
    assert first.ask(use(0, 1)) is None  # no task has ended


def test_little_room_is_fewer_rows() -> None:
    who = network(rows=20)
    least, _ = who[0].bytes_range(1, None)
    meet(who, room=least + 500)
    few = len(who[0].learner.told[0])
    assert 1 < few < 20 and counts(who[0]) == (20, 20 - few)


def test_half_precision_is_near() -> None:
    exact, half = network(rows=10, precision="float32"), network(rows=10)
    for who in (exact, half):
        meet(who)
    np.testing.assert_allclose(half[0].learner.told[2], exact[0].learner.told[2], rtol=2e-3, atol=1e-3)


@pytest.mark.parametrize(
    ("arrays", "what"),
    [
        ({"row": np.array([0, 10], np.uint16), "outputs": np.zeros((2, 10), np.float32)}, "of the 10 asked"),
        ({"row": np.array([1, 1], np.uint16), "outputs": np.zeros((2, 10), np.float32)}, "different ones"),
        ({"row": np.array([1], np.uint16), "outputs": np.zeros((2, 10), np.float32)}, "a row each"),
        ({"row": np.array([1], np.uint16), "outputs": np.zeros((1, 9), np.float32)}, r"\[n, 10\]"),
        ({"outputs": np.zeros((1, 10), np.float32)}, "a row each"),
        ({"row": np.array([1], np.uint16), "outputs": np.full((1, 10), np.nan, np.float32)}, "finite"),
    ],
)
def test_a_damaged_answer_is_named_with_its_sender(arrays: Any, what: str) -> None:
    (who, *_) = network(rows=10)
    who.begin_use(0)
    with pytest.raises(FrameError, match=rf"agent 2.*{what}"):
        who.settle([Received(2, Message("outputs", {}, arrays))])


def test_a_damaged_question_is_refused() -> None:
    (who, *_) = network()
    wrong = Message("rows", {"coding": 0}, {"x": np.zeros((2, 3), np.float32), "head": np.zeros(2, np.int32)})
    with pytest.raises(FrameError, match="rows should be x"):
        who.answer(use(0, 1), wrong)


def test_outputs_that_mean_something_else_are_refused() -> None:
    one, other, _ = network()
    mine, theirs = one.start_facts(), other.start_facts()
    assert one.compare_facts(mine, theirs) is None
    assert "as many outputs" in str(one.compare_facts(mine, theirs | {"classes": 7}))
    assert "inputs of one shape" in str(one.compare_facts(mine, theirs | {"input_shape": [1, 9, 9]}))


def test_a_second_one_is_refused() -> None:
    text = EXPERIMENT.replace('["replay"]', '["replay", {kind = "predictions"}]')
    text += 2 * '[[exchange]]\nkind = "predictions"\nwhen = "before"\nevery = "1 epochs"\n'
    with pytest.raises(ExperimentError, match=r'exchange.1.kind: should not be "predictions" twice'):
        check(from_toml(text))


def test_counts_go_on_with_a_run() -> None:
    (who, *_) = one = network(rows=10)
    meet(one, absent=(1, 2))
    (later, *_) = network(rows=10)
    later.load_tables(who.tables())
    later.load(who.state())
    assert counts(later) == counts(who) == (10, 10)
