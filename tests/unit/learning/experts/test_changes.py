"""Experts come, are frozen and go: by the options, and with the weights that they should have."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from expert_fakes import TASKS, experts, moved, weights
from learning_fakes import live

from mpidcl.learning.experts.learner import ExpertsLearner
from mpidcl.learning.experts.log import CAME, FROZEN, WENT
from mpidcl.learning.experts.specialisation import Specialisation
from mpidcl.learning.terms.base import Term, make_term
from mpidcl.learning.terms.ewc import EWC
from mpidcl.learning.terms.preservation import Preservation
from mpidcl.learning.terms.si import SI

SIX = {"experts": 6, "active": 2}


def measured(load: list[float]) -> Specialisation:
    """As if the experts had this load."""
    nothing = np.zeros(len(load))
    return Specialisation(nothing[None], np.array(load), nothing, nothing, 0.0, 0.0, 0.0, 0.0)


def changes(who: ExpertsLearner) -> list[tuple[int, int, int, int]]:
    return [(one.task, one.expert, one.change, one.other) for one in who.log.changes]


def test_some_are_in_use_first_and_more_come_with_each_later_task() -> None:
    who = experts(how={"first": 2, "grow": 3}, options=SIX)
    assert who.used_modules().tolist() == [True, True, False, False, False, False]
    before = weights(who)
    live(who, TASKS[:1])
    assert not set(moved(who, before)) - {0, 1}
    who.begin_task(TASKS[1])
    assert who.used_modules().tolist() == [True] * 5 + [False]
    live(who, [], ticks=0)
    assert changes(who) == [(1, 2, CAME, -1), (1, 3, CAME, -1), (1, 4, CAME, -1)]
    assert all(torch.equal(weights(who)[one], before[one]) for one in (2, 3, 4))  # their own first weights


def test_a_new_expert_inherits_from_the_one_of_its_shape_with_most_load() -> None:
    how = {"first": 4, "grow": 2, "inherit": "similar"}
    who = experts(how=how, options=SIX | {"hidden": [3, 4, 4, 3, 4, 3]})
    who.changes.end_task(0, measured([0.4, 0.2, 0.3, 0.1, 0.0, 0.0]))
    before = weights(who)
    who.changes.begin_task(1)
    assert changes(who) == [(1, 4, CAME, 2), (1, 5, CAME, 0)]
    assert torch.equal(weights(who)[4], before[2]) and torch.equal(weights(who)[5], before[0])


def test_specialised_experts_are_frozen_and_stay_so() -> None:
    who = experts(how={"freeze_above": 0.5})
    who.model.change(specialisation=np.array([0.6, 0.4, 0.5, 0.9]), used=np.arange(4) < 3)
    who.changes.end_task(0, measured([0.25] * 4))
    assert who.model.frozen.tolist() == [True, False, False, False]
    who.model.change(specialisation=np.zeros(4))
    who.changes.end_task(1, measured([0.25] * 4))
    assert who.model.frozen.tolist() == [True, False, False, False]
    assert changes(who) == [(0, 0, FROZEN, -1)]


def test_idle_experts_go_after_so_many_tasks_in_a_row() -> None:
    who = experts(how={"retire_below": 0.5, "retire_after": 2, "keep": 0.0})
    before = weights(who)
    for task, load in enumerate(([0.1, 0.1, 0.4, 0.4], [0.1, 0.2, 0.3, 0.4], [0.1, 0.1, 0.4, 0.4])):
        who.changes.end_task(task, measured(load))
    assert changes(who) == [(1, 0, WENT, -1)]
    assert who.used_modules().tolist() == [False, True, True, True]
    assert list(who.changes.retired) == [(1, 0)] and torch.equal(who.changes.retired[1, 0], before[0])


def test_as_many_stay_as_answer_a_row() -> None:
    who = experts(how={"retire_below": 0.9, "retire_after": 1})
    who.changes.end_task(0, measured([0.0, 0.0, 0.0, 1.0]))
    assert who.used_modules().tolist() == [False, False, True, True]


def test_handing_over_copies_exactly_the_largest_share_into_the_most_similar() -> None:
    who = experts(how={"retire_below": 0.5, "retire_after": 1, "keep": 0.3})
    spans, data = who.model.module_spans, who.parameters.data
    data[spans[2]] = data[spans[0]] + 0.01  # the most similar one
    data[spans[3]] = data[spans[0]]  # still more, but frozen
    who.model.change(frozen=np.arange(4) == 3)
    before = weights(who)
    who.changes.end_task(0, measured([0.0, 0.3, 0.3, 0.4]))
    after = weights(who)
    assert changes(who) == [(0, 0, WENT, 2)]
    largest = before[0].abs().topk(int(0.3 * len(before[0]))).indices
    wanted = before[2].clone()
    wanted[largest] = before[0][largest]
    assert torch.equal(after[2], wanted) and int((after[2] != before[2]).sum()) == len(largest)
    assert all(torch.equal(after[one], before[one]) for one in (0, 1, 3))


def test_a_slot_that_is_used_again_begins_anew() -> None:
    """Weights, moments and its line of the router: the old one was made to be avoided."""
    who = experts(
        how={"retire_below": 0.5, "retire_after": 1, "keep": 0.0, "grow": 1}, optimizer="adam", lr=0.05
    )
    who.begin_task(TASKS[0])
    list(who.learn(0, 0))
    span, starts = who.model.module_spans[1], who.optimizer.starts
    mine = (starts >= span.start) & (starts < span.stop)
    router = who.model.router.weight.detach().clone()
    assert who.optimizer.steps[mine].min() > 0
    who.changes.end_task(0, measured([0.3, 0.0, 0.3, 0.4]))
    old = who.changes.retired[0, 1]
    who.changes.begin_task(1)
    assert who.used_modules().all() and changes(who)[-1] == (1, 1, CAME, -1)
    assert not torch.equal(weights(who)[1], old)
    assert who.optimizer.steps[mine].max() == 0 and who.optimizer.moments["mean"][span].abs().max() == 0
    changed = (who.model.router.weight != router).any(1)
    assert changed.tolist() == [False, True, False, False]


OF_THE_PAST: dict[str, tuple[type[Term], dict[str, Any]]] = {
    "ewc": (EWC, {}),
    "si": (SI, {}),
    "preservation": (Preservation, {}),
    "injection": (Preservation, {"transfer": "injection", "score": "magnitude", "share": 1.0}),
}


@pytest.mark.parametrize("name", OF_THE_PAST)
@pytest.mark.parametrize("inherit", ["nothing", "similar"])
def test_terms_forget_what_they_know_of_weights_that_are_replaced(name: str, inherit: str) -> None:
    """Else a new expert is pulled to the one that had its slot, and what was handed over is undone."""
    how = {"retire_below": 0.5, "retire_after": 1, "keep": 0.3, "grow": 1, "inherit": inherit}
    who = experts(how=how)
    kind, options = OF_THE_PAST[name]
    past: Any = make_term(kind, kind.Options(**options), who)
    who.add_term(past)
    live(who, TASKS[:1])
    who.model.change(used=np.ones(4, np.bool_))
    who.changes.end_task(0, measured([0.3, 0.0, 0.3, 0.4]))
    assert past.penalty() == 0
    before = weights(who)
    who.begin_task(TASKS[1])
    assert who.model.used.all() and moved(who, before) == [1] and past.penalty() == 0
    came = weights(who)
    past.after_task(1)  # injection: what the past has kept comes back
    assert not moved(who, came)


def test_a_snapshot_is_that_of_the_experts_before_new_ones_came() -> None:
    who = experts(how={"first": 3, "grow": 1}, terms=("distillation",))
    live(who, TASKS[:1])
    who.begin_task(TASKS[1])
    term: Any = who.terms[0]
    (teacher,) = term._teachers.values()
    assert teacher.model.used.tolist() == [True] * 3 + [False] and who.model.used.all()


def test_one_class_freezes_nobody() -> None:
    """Of one class alone every expert would look as specialised as can be."""
    who = experts(how={"freeze_above": 0.0})
    task = TASKS[0]
    only = np.flatnonzero(task.validation.y == 0)
    live(who, [_with_validation(task, only)])
    assert not who.model.frozen.any()
    assert np.isnan(who.tables()["experts"]["specialisation"]).all()


def _with_validation(task: Any, rows: np.ndarray) -> Any:
    return replace(task, validation=task.validation.part(rows))


def test_a_small_run_is_what_it_was() -> None:
    """Pinned: what became of whom with these options."""
    how = {"first": 3, "grow": 2, "retire_below": 0.6, "retire_after": 1, "freeze_above": 0.35}
    who = experts(how=how, options=SIX, optimizer="adam", lr=0.02, terms=("replay",))
    live(who, TASKS, ticks=10)
    assert changes(who) == PINNED
    assert who.used_modules().sum() == 3 + sum(
        {CAME: 1, FROZEN: 0, WENT: -1}[change] for _, _, change, _ in changes(who)
    )


PINNED = [
    (0, 1, WENT, 0),
    (1, 1, CAME, -1), (1, 3, CAME, -1), (1, 0, WENT, 3), (1, 1, WENT, 2),
    (2, 0, CAME, -1), (2, 1, CAME, -1), (2, 0, WENT, 1), (2, 2, WENT, 3),
]  # fmt: skip


@pytest.mark.parametrize("inherit", ["nothing", "similar"])
def test_the_same_run_changes_in_the_same_way(inherit: str) -> None:
    how = {"first": 3, "grow": 2, "retire_below": 0.6, "retire_after": 1, "inherit": inherit}
    found = []
    for _ in range(2):
        who = experts(how=how, options=SIX)
        live(who, TASKS)
        found.append((who.digest(), changes(who)))
    assert found[0] == found[1] and found[0][1]
