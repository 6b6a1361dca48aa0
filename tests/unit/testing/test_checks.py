"""The checks for own parts: ours pass them, and each broken promise is told by name."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import pytest

from mpidcl.errors import ExperimentError, RecordError
from mpidcl.exchange.base import ByteRange, Exchange
from mpidcl.exchange.data.exchange import DataExchange
from mpidcl.exchange.experts.exchange import ExpertsExchange
from mpidcl.exchange.modules.exchange import ModulesExchange
from mpidcl.exchange.parameters.exchange import ParametersExchange
from mpidcl.exchange.predictions.exchange import PredictionsExchange
from mpidcl.experiment import kinds
from mpidcl.learning.learner import Learner
from mpidcl.learning.terms.base import Term
from mpidcl.memory.policies import Policy
from mpidcl.network.frames.message import Message
from mpidcl.stream.stream import Stream
from mpidcl.stream.tasks import StreamShape
from mpidcl.testing import check_exchange, check_learner, check_policy, check_stream, check_term

MODEL = {"model": {"hidden": [8]}}
ONE_HEAD = MODEL | {"stream": {"incremental": "class", "draw": "iid"}}
MODULAR = {
    "learning": {"kind": "compositional", "threshold": -1},
    "model": {"kind": "compositional-mlp", "width": 8},
}
EXPERTS = {
    "learning": {"kind": "experts"},
    "model": {"kind": "experts-mlp", "encoder": [8], "experts": 3, "hidden": 4, "width": 4},
}
PARALLEL = {
    **MODEL,
    "memory": {"policy": "class-quota", "capacity": "16 rows"},
    "stream": {
        "kind": "parallel",
        "tasks": 3,
        "classes_per_task": 2,
        "train_per_class": 8,
        "test_per_class": 4,
    },
    "learning": {"kind": "parallel"},
}


# --- ours ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "tables"),
    [("gradient", MODEL), ("experts", EXPERTS), ("compositional", MODULAR), ("parallel", PARALLEL)],
)
def test_our_learners(kind: str, tables: Any) -> None:
    check_learner(kinds.resolve("learner", kind), tables)


@pytest.mark.parametrize(("kind", "tables"), [("serial", {}), ("parallel", PARALLEL)])
def test_our_streams(kind: str, tables: Any) -> None:
    check_stream(kinds.resolve("stream", kind), {**tables, "stream": {"tasks": 3, "train_per_class": 8}})


@pytest.mark.parametrize("kind", [kind for kind in kinds.BUILT_IN["policy"] if kind != "class-quota"])
def test_our_policies(kind: str) -> None:
    check_policy(kinds.resolve("policy", kind), MODEL | {"memory": {"capacity": "6 rows"}})


NEEDED = {
    "icarl": MODEL | {"learning": {"objective": "one-vs-rest"}},
    "balance": EXPERTS,
    "predictions": ONE_HEAD | {"exchange": [{"kind": "predictions", "when": "before", "every": "1 epoch"}]},
}


@pytest.mark.parametrize("kind", kinds.BUILT_IN["term"])
def test_our_terms(kind: str) -> None:
    check_term(kinds.resolve("term", kind), NEEDED.get(kind, MODEL))


@pytest.mark.parametrize(
    ("exchange", "tables"),
    [
        (ParametersExchange, MODEL | {"exchange": {"method": "fedprox"}}),
        (ExpertsExchange, ONE_HEAD | {"exchange": {"merge": "sparse", "score": "mixed"}}),
        (ExpertsExchange, ONE_HEAD | {"exchange": {"merge": "matched", "silent": "newest"}}),
        (DataExchange, MODEL | {"exchange": {"queries": 2}}),
        (PredictionsExchange, ONE_HEAD | {"exchange": {"rows": 5}, "learning": {"terms": ["predictions"]}}),
        (ModulesExchange, MODULAR | {"exchange": {"when": "task start", "every": "1 task", "from_task": 1}}),
    ],
)
def test_our_exchanges(exchange: type[Exchange], tables: Any) -> None:
    check_exchange(exchange, tables)


# --- broken promises ----------------------------------------------------------------------------


class Numbers(Stream):
    """Tasks are numbers."""

    shape = StreamShape((3,), 1, 1)
    ticks = (2, 2)

    def __init__(self, experiment: Any, agent: int) -> None:
        self.agent, self.asked = agent, 0

    def task(self, index: int) -> Any:
        if index >= len(self.ticks):
            raise IndexError(index)
        return index


class Vector(Learner):
    """Learns a vector."""

    def __init__(self, experiment: Any, agent: int, shape: Any) -> None:
        super().__init__(experiment, agent, shape)
        self.vector, self.rng = np.full(3, float(agent)), np.random.default_rng(agent)

    def begin_task(self, task: Any) -> None:
        self.vector = self.vector + task

    def learn(self, task: int, tick: int) -> Any:
        yield from ()
        self.vector = self.vector + self.rng.normal(size=3)

    def evaluate(self, upto: int) -> Any:
        yield from ()
        return {"accuracy": np.full(upto + 1, 0.5)}

    def digest(self) -> str:
        return hashlib.sha256(self.vector.tobytes()).hexdigest()

    def state(self) -> Any:
        return {"vector": self.vector.copy(), "rng": repr(self.rng.bit_generator.state)}

    def load(self, state: Any, task_of: Any) -> None:
        self.vector = state["vector"]
        self.rng.bit_generator.state = eval(state["rng"])


class Listless(Vector):
    def learn(self, task: int, tick: int) -> Any:
        return []


class Global(Vector):
    def learn(self, task: int, tick: int) -> Any:
        yield from ()
        self.vector = self.vector + np.random.random(3)  # noqa: NPY002


class Forgetful(Vector):
    def state(self) -> Any:
        return {**super().state(), "vector": np.zeros(3)}


class Restless(Vector):
    def evaluate(self, upto: int) -> Any:
        self.vector = self.vector + 1
        return (yield from super().evaluate(upto))


class Mistaken(Vector):
    def evaluate(self, upto: int) -> Any:
        yield from ()
        return {"acuracy": np.zeros(upto + 1)}


class Endless(Vector):
    def evaluate(self, upto: int) -> Any:
        yield from ()
        return {"accuracy": np.full(upto + 1, np.inf)}


class Uneven(Vector):
    def tables(self) -> Any:
        return {"odd": {"one": np.zeros(1), "two": np.zeros(2)}}


class Chaotic(Vector):
    drawn = 0

    def learn(self, task: int, tick: int) -> Any:
        yield from ()
        Chaotic.drawn += 1
        self.vector = self.vector + Chaotic.drawn


class Half(Vector):
    digest = Learner.digest  # type: ignore[assignment]
    __abstractmethods__ = frozenset({"digest"})


NUMBERS = {"stream": {"kind": f"{__name__}:Numbers"}}


def test_a_small_learner_passes() -> None:
    check_learner(Vector, NUMBERS)


@pytest.mark.parametrize(
    ("broken", "error", "said"),
    [
        (Listless, AssertionError, "Listless.learn should be a generator.* returns list"),
        (Global, AssertionError, "Global should draw from generators of its own"),
        (Forgetful, AssertionError, r"Forgetful should go on from its state .* Stopped before Moment\("),
        (Restless, AssertionError, "Restless.evaluate should change nothing"),
        (Mistaken, AssertionError, "Mistaken.evaluate should give its measures, .*'acuracy'"),
        (Endless, AssertionError, "Endless.evaluate should give one number per task.*inf"),
        (Uneven, RecordError, r"Uneven.tables\(\): .* Found in `odd`: `one` 1, `two` 2"),
        (Chaotic, AssertionError, "Chaotic should give the same bits with the same seed"),
        (Half, ExperimentError, "should name a learner, .*, complete. .* has no `digest`: write it"),
    ],
)
def test_a_broken_learner_is_told(broken: type[Learner], error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        check_learner(broken, NUMBERS)


class Open(Numbers):
    def task(self, index: int) -> Any:
        return index


class Moody(Numbers):
    @property
    def ticks(self) -> Any:  # type: ignore[override]
        self.asked += 1
        return (self.asked,)


class Fractional(Numbers):
    ticks = (0.5,)  # type: ignore[assignment]


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        (Open, r"Open.task\(2\) should raise IndexError"),
        (Moody, "Moody.ticks should"),
        (Fractional, "Fractional.ticks should be whole numbers"),
    ],
)
def test_a_broken_stream_is_told(broken: type[Stream], said: str) -> None:
    with pytest.raises(AssertionError, match=said):
        check_stream(broken, {"learning": {"kind": f"{__name__}:Vector"}})


class Outside(Policy):
    def late(self, arrival: Any, capacity: int, rng: Any) -> Any:
        return np.full(len(arrival), capacity)


class Drawn(Policy):
    count = 0

    def late(self, arrival: Any, capacity: int, rng: Any) -> Any:
        Drawn.count += 1
        return np.full(len(arrival), Drawn.count % capacity)


@pytest.mark.parametrize(
    ("broken", "said"),
    [(Outside, "should give slots below 1, or REFUSED"), (Drawn, "the same for the same generator")],
)
def test_a_broken_policy_is_told(broken: type[Policy], said: str) -> None:
    with pytest.raises(AssertionError, match=said):
        check_policy(broken, MODEL)


class Growing(Term):
    """Adds more at each step, and forgets how much."""

    steps = 0

    def loss(self, batch: Any) -> Any:
        self.steps += 1
        return self.steps * batch.logits.square().mean()


def test_a_broken_term_is_told() -> None:
    with pytest.raises(AssertionError, match="Growing should go on from its state"):
        check_term(Growing, MODEL)


class Talk(Exchange):
    """Sends the sum of the learner's vector; counts what came."""

    heard = 0

    def bytes_range(self, target: int, budget: int | None) -> ByteRange:
        return ByteRange(200, 300)

    def ask(self, link: Any) -> Message | None:
        return Message("talk", arrays={"x": np.zeros(2)})

    def settle(self, received: Any) -> None:
        self.heard += len(received)
        self.learner.vector = self.learner.vector + self.heard


class Loud(Talk):
    def ask(self, link: Any) -> Message | None:
        return Message("talk", arrays={"x": np.zeros(1000)})


class Upside(Talk):
    def bytes_range(self, target: int, budget: int | None) -> ByteRange:
        return ByteRange(300, 200)


class Pushy(Talk):
    def ask(self, link: Any) -> Message | None:
        self.learner.vector = self.learner.vector + 1
        return super().ask(link)


class Faithful(Talk):
    def state(self) -> Any:
        return {"heard": self.heard}

    def load(self, state: Any) -> None:
        self.heard = state["heard"]


VECTORS = {**NUMBERS, "learning": {"kind": f"{__name__}:Vector"}}


def test_a_small_exchange_passes() -> None:
    check_exchange(Faithful, VECTORS)


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        (Loud, "Loud.ask should fit into link.room = 200"),
        (Upside, r"Upside.bytes_range should be \(least, most\)"),
        (Pushy, "Pushy.ask should change nothing in the learner"),
        (Talk, "Talk should go on from its state"),
    ],
)
def test_a_broken_exchange_is_told(broken: type[Exchange], said: str) -> None:
    with pytest.raises(AssertionError, match=said):
        check_exchange(broken, VECTORS)
