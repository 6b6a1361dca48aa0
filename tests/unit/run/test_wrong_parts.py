"""Parts that do not keep their word: one message names the class, the member and the fix."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from network_fakes import World, topology

from mpidcl.errors import ExperimentError, RecordError, RequestError
from mpidcl.experiment.reading import from_toml
from mpidcl.learning.objectives.classification import Classification
from mpidcl.learning.objectives.regression import Regression
from mpidcl.learning.terms.base import Term
from mpidcl.memory.buffer import Column
from mpidcl.network.inprocess import InProcessDriver
from mpidcl.record.measures import Measure, declared_by, measured
from mpidcl.record.tables import checked, joined
from mpidcl.run.building import set_timetables
from mpidcl.stream.tasks import StreamShape
from mpidcl.testing import check_term

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
