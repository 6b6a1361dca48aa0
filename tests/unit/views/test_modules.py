"""Counting modules: growth, what is kept, who gave; what the pictures stand on."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given as cases
from hypothesis import strategies as st

from mpidcl.learning.compositional.decisions import DECISIONS, STRUCTURES, ModuleDecision
from mpidcl.record.records import AgentRecord
from mpidcl.record.tables import to_columns
from mpidcl.views.modules.counts import (
    final_modules,
    first_modules,
    given,
    growth,
    kept,
    module_summary,
    shares,
)
from mpidcl.views.modules.provenance import _places
from mpidcl.views.modules.structures import MOST_TASKS, chosen_tasks
from mpidcl.views.modules.view import ModulesView


def decision(task: int, module: int, modules: int, source: int = -1, candidate: int = 0) -> ModuleDecision:
    return ModuleDecision(task, candidate, module, 0.9, 0.8, source, source, source, math.nan, modules)


def agent(number: int, *decisions: ModuleDecision, modules: int = 4, tasks: int = 4) -> AgentRecord:
    structures = {"share": np.zeros((tasks, modules, 4))}
    tables = {DECISIONS: to_columns(ModuleDecision, decisions), STRUCTURES: structures}
    return AgentRecord(number, tables=tables)


GROWN = agent(0, decision(1, 4, 5), decision(2, -1, 5), decision(3, 5, 6, source=1), modules=6)


def test_growth_counts_from_the_first_modules_to_the_last() -> None:
    assert growth(GROWN) == [4, 5, 5, 6]
    assert (first_modules(GROWN), final_modules(GROWN)) == (4, 6)
    assert [one.module for one in kept(GROWN)] == [4, 5]


def test_several_candidates_of_one_task_add_one_module() -> None:
    record = agent(
        0, decision(1, -1, 5), decision(1, 4, 5, candidate=1), decision(2, -1, 5), modules=5, tasks=3
    )
    assert first_modules(record) == 4
    assert growth(record) == [4, 5, 5]


def test_an_agent_without_candidates_keeps_what_it_began_with() -> None:
    record = agent(0, tasks=2)
    assert growth(record) == [4, 4]
    assert final_modules(record) == 4
    assert ModulesView().sees(record)
    assert not ModulesView().sees(AgentRecord(0))


def test_growth_ends_with_the_modules_that_the_structures_have(synthetic: SimpleNamespace) -> None:
    for record in synthetic.modular(tasks=8, candidates=3):
        assert growth(record)[-1] == final_modules(record) == shares(record).shape[1]
        assert np.all(np.diff(growth(record)) >= 0)


def test_given_counts_what_others_kept() -> None:
    dropped = agent(1, decision(1, -1, 4, source=0))
    assert given([GROWN, dropped]) == {1: 1}
    assert given([dropped]) == {}


def test_summary_of_known_agents() -> None:
    found = ModulesView().summary([GROWN, agent(1), AgentRecord(2)])["modules"]
    assert (found["by_agent"], found["mean"]) == ([6, 4], 5.0)
    assert found["standard_error"] == pytest.approx(1.0)
    assert found["standard_error_over"] == "2 agents of one seed"
    counts = ("candidates", "kept", "received", "received_kept")
    assert [found[name] for name in counts] == [3, 2, 1, 1]
    assert found["kept_gain"] == pytest.approx(0.1)


def test_summary_without_a_kept_candidate_has_no_gain() -> None:
    assert module_summary([agent(0)])["kept_gain"] is None
    assert module_summary([agent(0)])["standard_error"] is None


def test_every_kept_module_has_a_place_of_its_own(synthetic: SimpleNamespace) -> None:
    records = synthetic.modular(agents=5, tasks=9)
    lanes = {record.agent: record.agent for record in records}
    places = _places(records, lanes, {task: task for task in range(9)})
    owned = {(record.agent, one.module): one for record in records for one in kept(record)}
    assert set(places) == set(owned)
    assert len(set(places.values())) == len(owned)
    assert all(places[key] == (key[0], one.task) for key, one in owned.items())
    sources = [one for one in owned.values() if one.received]
    assert sources
    assert all(places[one.source, one.source_module][1] == one.source_task for one in sources)


@cases(st.integers(1, 60))
def test_chosen_tasks_are_spread_and_hold_the_ends(tasks: int) -> None:
    found = chosen_tasks(tasks)
    assert found[0] == 0
    assert found[-1] == tasks - 1
    assert len(found) == min(tasks, MOST_TASKS)
    gaps = np.diff(found)
    assert not len(gaps) or gaps.max() - gaps.min() <= 1
