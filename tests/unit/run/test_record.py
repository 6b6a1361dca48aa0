"""What an agent's record says of what its parts know."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from network_fakes import World, topology

from mpidcl.errors import RecordError
from mpidcl.network.inprocess import InProcessDriver
from mpidcl.network.requests import Asking
from mpidcl.network.schedule.timetable import Moment, Phase
from mpidcl.record.measures import ACCURACY, Measure
from mpidcl.record.records import DIVERGED
from mpidcl.views.summary import summarise

TABLE = {"length": np.ones(3), "wall_s": np.zeros(3)}


def test_an_agent_hands_over_what_its_learner_knows() -> None:
    """A learner without tables and counters leaves the fields empty."""
    one = World(topology("ring", 1), [[1]], ()).agent(0)
    plain = one.record()
    assert (plain.tables, plain.counters, plain.measures) == ({}, {}, (ACCURACY,))
    one.learner.tables = lambda: {"norms": TABLE}
    one.learner.counters = lambda: {"training_floats": 192 * 784}
    found = one.record()
    assert found.tables["norms"] is TABLE
    assert found.counters == {"training_floats": 192 * 784}


def test_an_agent_whose_parameters_are_not_finite_says_so_also_after_resuming() -> None:
    one, warned = World(topology("ring", 1), [[1]], ()).agent(0), list[str]()
    one.warn = warned.append
    one.learner.finite = lambda: False
    (record,) = InProcessDriver().drive({0: one.live()}).values()
    assert record.diverged and record.counters[DIVERGED] == 0 and len(warned) == 1
    assert summarise([record])["diverged"] == [0]
    again = World(topology("ring", 1), [[1]], ()).agent(0)
    assert not again.record().diverged and "diverged" not in summarise([again.record()])
    again.load(one.state(), Moment(Fraction(1), Phase.CUT))
    assert again.record().diverged


def test_a_table_that_no_record_can_hold_is_refused_with_its_class() -> None:
    one = World(topology("ring", 1), [[1]], ()).agent(0)
    one.learner.tables = lambda: {"norms": {"length": np.ones(3), "of": np.ones(2)}}
    with pytest.raises(RecordError, match=rf"{type(one.learner).__name__}.tables\(\).*`of` 2"):
        one.record()


@pytest.mark.parametrize(
    ("found", "said"),
    [
        ({}, "`accuracy` is missing"),
        ({"accuracy": [0.5], "loss": [1.0]}, "Found `loss`, too"),
        ({"accuracy": [np.inf]}, r"finite numbers.*`accuracy`"),
    ],
)
def test_measures_that_are_not_the_declared_ones_are_refused(
    found: dict[str, list[float]], said: str
) -> None:
    one = World(topology("ring", 1), [[1]], ()).agent(0)

    def evaluate(upto: int) -> Asking[dict[str, list[float]]]:
        yield from ()
        return found

    one.learner.evaluate = evaluate
    with pytest.raises(RecordError, match=rf"{type(one.learner).__name__}\.evaluate\(\).*{said}"):
        InProcessDriver().drive({0: one.live()})


def test_further_measures_stand_beside_the_main_one() -> None:
    one = World(topology("ring", 1), [[1]], ()).agent(0)
    one.learner.measures = (Measure("loss", better="lower"), ACCURACY)

    def evaluate(upto: int) -> Asking[dict[str, list[float]]]:
        yield from ()
        return {"accuracy": [0.5] * (upto + 1), "loss": [2.0] * (upto + 1)}

    one.learner.evaluate = evaluate
    InProcessDriver().drive({0: one.live()})
    assert list(one.evaluations[-1].values) == ["loss", "accuracy"]
    assert one.evaluations[-1].main == (2.0,)
