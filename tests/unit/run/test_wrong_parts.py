"""Parts that do not keep their word: one message names the class, the member and the fix."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from network_fakes import World, topology

from mpidcl.base.state import state_of
from mpidcl.errors import CheckpointError, ExperimentError, RecordError, RequestError
from mpidcl.exchange.base import ByteRange, Exchange
from mpidcl.exchange.capabilities import SharesRows
from mpidcl.experiment.reading import from_toml
from mpidcl.learning.objectives.classification import Classification
from mpidcl.learning.objectives.regression import Regression
from mpidcl.learning.terms.base import Term
from mpidcl.memory.buffer import Column
from mpidcl.network.inprocess import InProcessDriver
from mpidcl.network.schedule.lockstep import Lockstep
from mpidcl.network.schedule.timetable import Use
from mpidcl.record.checkpoint import write_state
from mpidcl.record.measures import Measure, declared_by, measured
from mpidcl.record.records import counted_by
from mpidcl.record.tables import checked, joined
from mpidcl.run.building import set_timetables
from mpidcl.stream.tasks import StreamShape
from mpidcl.testing import check_term

HERE = __name__
PLAIN = 'name = "x"\nagents = 2\n'


def live(**methods: Any) -> None:
    """A run of one agent whose learner has other methods."""
    agent = World(topology("ring", 1), [[1]], ()).agent(0)
    for name, method in methods.items():
        setattr(agent.learner, name, method)
    InProcessDriver().drive({0: agent.live()})


@pytest.mark.parametrize(
    ("name", "arguments"), [("learn", "task, tick"), ("end_task", ""), ("evaluate", "upto")]
)
def test_what_may_ask_is_a_generator(name: str, arguments: str) -> None:
    method = eval(f"lambda {arguments}: None")
    with pytest.raises(RequestError, match=rf"Learner.{name} should be a generator.*returns NoneType"):
        live(**{name: method})


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (None, "should give the measures .* Found None"),
        ({"mse": 3.0}, "one number for each task"),
        ({"mse": np.zeros((2, 2))}, "one number for each task"),
        ({"mse": [1.0]}, "a value for each task so far, 2. Found 1"),
        ({"mse": [1.0, 2.0, 3.0]}, "a value for each task so far, 2. Found 3"),
    ],
)
def test_values_are_those_of_the_tasks_so_far(found: Any, said: str) -> None:
    with pytest.raises(RecordError, match=said):
        measured("Mine", (Measure("mse"),), found, 2)
    assert measured("Mine", (Measure("mse"),), {"mse": [1.0, np.nan]}, 2)["mse"][0] == 1.0


@pytest.mark.parametrize("measures", [(), ("mse",), Measure("mse"), (Measure("mse"), Measure("mse"))])
def test_measures_are_some_with_names_of_their_own(measures: Any) -> None:
    with pytest.raises(RecordError, match=r"Mine.measures should hold at least one .*Measure"):
        declared_by("Mine", measures)


def test_tables_of_two_parts_of_one_class_are_told_apart_from_those_of_two_classes() -> None:
    table = {"seen": {"column": np.zeros(2)}}
    with pytest.raises(RecordError, match="which Mine has, too. Rename"):
        joined([("Mine", table), ("Yours", table)])
    with pytest.raises(RecordError, match="which another has, too. Use one of this class"):
        joined([("Mine", table), ("Mine", table)])
    with pytest.raises(RecordError, match="should be tables by name"):
        checked({"seen": np.zeros(2)}, "Mine")  # type: ignore[dict-item]


@pytest.mark.parametrize(
    ("sets", "said"),
    [
        (["agent=[{ids=[0], learning={one_model=true}}]"], "agent.0.learning.one_model: should stand in"),
        (
            ["learning.objective=regression", "memory.policy=class-balanced"],
            "memory.policy: should be one that needs no classes",
        ),
    ],
)
def test_settings_that_do_not_go_together_are_told(sets: list[str], said: str) -> None:
    with pytest.raises(ExperimentError, match=said):
        from_toml(PLAIN, sets)


def test_agents_of_one_model_step_together() -> None:
    experiment = from_toml(PLAIN, ["learning.one_model=true"])
    with pytest.raises(ExperimentError, match=r"Found \[3, 3\] in agent 0 and \[3, 2\] in agent 1"):
        set_timetables([], experiment, topology("ring", 2), [(3, 3), (3, 2)])


def test_targets_are_those_of_the_objective() -> None:
    shape = StreamShape((4,), 1, 3)
    Classification().check(np.zeros(5, np.int64), shape)
    with pytest.raises(
        ExperimentError, match=r"Classification should be whole numbers \['n'\]. Found float32"
    ):
        Classification().check(np.zeros(5, np.float32), shape)
    with pytest.raises(ExperimentError, match="Regression should be real numbers .* Found int64"):
        Regression().check(np.zeros(5, np.int64), shape)


class Worded(Regression):
    kernels = "gram"  # type: ignore[assignment]


def test_a_word_in_place_of_a_tuple_is_told() -> None:
    with pytest.raises(ExperimentError, match=r'`kernels` of .*Worded" should be a tuple, \("gram",\)'):
        from_toml(PLAIN, [f"learning.objective={__name__}:Worded"])


@pytest.mark.parametrize(
    ("events", "said"),
    [
        (lambda whole: None, r"Timetable.events\(\) should be an iterator of events. Found NoneType"),
        (lambda whole: iter([3]), r"Timetable.events\(\) should give .*Event, .* Found 3"),
        (
            lambda whole: iter([whole[1], whole[0]]),
            "in order, all after time 0.* Found time 0 .begin task. then",
        ),
        (lambda whole: iter([whole[0], whole[0]]), "in order"),
        (lambda whole: iter(whole[:-1]), "a last event at time 1 .cut., where all save. Found none after"),
        (
            lambda whole: iter([whole[0]._replace(uses=(Use(0, (0,)),))]),
            "should name neighbours with a link .* Found Use",
        ),
    ],
)
def test_events_are_events_in_order_up_to_the_last_cut(events: Any, said: str) -> None:
    agent = World(topology("ring", 1), [[1]], ()).agent(0)
    whole = list(agent.timetable.events())

    class Timetable(type(agent.timetable)):  # type: ignore[misc]
        def events(self, after: Any = None) -> Any:
            return events(whole)

    agent.timetable = Timetable(**vars(agent.timetable))
    with pytest.raises(RequestError, match=said):
        InProcessDriver().drive({0: agent.live()})


class Sundial(Lockstep):
    """Counts in what no clock knows, or makes no timetable."""

    def timetable(self, **words: Any) -> Any:
        return iter(())


class InHours(Lockstep):
    units = ("hour",)  # type: ignore[assignment]


class InAWord(Lockstep):
    units = "task"  # type: ignore[assignment]


class InNumbers(Lockstep):
    units = {"task": 1}  # type: ignore[assignment]


@pytest.mark.parametrize(
    ("clock", "said"),
    [
        ("InHours", 'names InHours, whose `units` should be some of "task", .*Found "hour"'),
        ("InAWord", r'`units` of ".*InAWord" should be a tuple, \("task",\)'),
        ("InNumbers", '`units` of ".*InNumbers" should be a tuple of words. Found {'),
    ],
)
def test_units_of_a_clock_are_some_that_cadences_have(clock: str, said: str) -> None:
    with pytest.raises(ExperimentError, match=said):
        from_toml(PLAIN, [f"clock={HERE}:{clock}"])


def test_a_clock_makes_timetables() -> None:
    experiment = from_toml(PLAIN, [f"clock={HERE}:Sundial"])
    agent = World(topology("ring", 2), [[1], [1]], ()).agent(0)
    with pytest.raises(
        ExperimentError, match=r"Sundial.timetable\(\) should give a .*Timetable. .* no `done`"
    ):
        set_timetables([agent], experiment, topology("ring", 2), [(1,), (1,)])


class Demanding(Exchange):
    """Needs something, and says it in ways that are none."""

    def bytes_range(self, target: int, budget: int | None) -> ByteRange:
        return ByteRange(0, 0)

    def ask(self, link: Any) -> None:
        return None

    def settle(self, received: Any) -> None:
        return None


class NeedsOne(Demanding):
    @classmethod
    def needs(cls, options: Any) -> Any:
        return SharesRows


class NeedsAWord(Demanding):
    @classmethod
    def needs(cls, options: Any) -> Any:
        return ("rows",)


class NeedsItself(Demanding):
    def needs(self, options: Any) -> Any:  # type: ignore[override]
        return (SharesRows,)


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (
            "NeedsOne",
            r"NeedsOne.needs should be a classmethod that gives a tuple of protocols.* Found <class",
        ),
        ("NeedsAWord", r"NeedsAWord.needs should .* Found \('rows',\)"),
        ("NeedsItself", "NeedsItself.needs should .* write @classmethod above it"),
    ],
)
def test_needs_of_an_exchange_are_protocols(kind: str, said: str) -> None:
    with pytest.raises(ExperimentError, match=said):
        from_toml(f'{PLAIN}[[exchange]]\nkind = "{HERE}:{kind}"\nwhen = "after"\n')


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (None, "Found None"),
        ({"flops": -1}, r"Found `flops` = -1 \(int\). Give an int of 0 or more"),
        ({"flops": 0.5}, r"Found `flops` = 0.5 \(float\)"),
        ({"flops": 2**63}, "Found `flops` = 9223372036854775808"),
        ({3: 1}, "none agent, joint_tasks or digest. Found 3. Rename it"),
        ({"digest": 1}, "Found 'digest'"),
    ],
)
def test_counters_are_whole_numbers_by_words(found: Any, said: str) -> None:
    with pytest.raises(RecordError, match=rf"Mine.counters\(\) should give .*{said}"):
        counted_by("Mine", found)
    assert counted_by("Mine", {"flops": np.int64(3)}) == {"flops": 3}


class Saved:
    """A part with this state."""

    def __init__(self, state: Any) -> None:
        self.state = lambda: state


@pytest.mark.parametrize(
    ("state", "said"),
    [
        ({"of": {"one": object()}}, r"Saved.state\(\) should hold .* Found object .* under the key `of/one`"),
        ({"rows": np.array([None])}, r"Saved.state\(\) .* Found an array of object under the key `rows`"),
        ({"a/b": 1}, r"Saved.state\(\) should have keys that are texts without '/'. Found 'a/b'"),
        (None, r"Saved.state\(\) should give a dict .* Found NoneType"),
    ],
)
def test_what_cannot_be_saved_is_named_with_its_class(state: Any, said: str, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=said):
        write_state(tmp_path / "x.h5", {"whole": {"terms": {"0": state_of(Saved(state))}}})


class Careless(Term):
    """Declares a column and gives another one."""

    name = "careless"

    def columns(self) -> Any:
        return [Column("score", "float32", (2,))]

    def values(self, batch: Any) -> Any:
        return {"score": batch.logits[:, 0]}


def test_columns_of_a_term_that_it_does_not_give_are_told() -> None:
    tables = {"model": {"hidden": [8]}}
    with pytest.raises(
        ExperimentError, match=r'term "careless" \(Careless\) should give the columns declared'
    ):
        check_term(Careless, tables)
