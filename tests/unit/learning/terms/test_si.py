"""Synaptic intelligence: the path integral, the penalty, and what is clipped."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from learning_fakes import live, shape, task
from term_fakes import ONE_HEAD, TASKS, check_resumed, shifted, slope_along, somewhere, step, with_term

from mpidcl.learning.terms.si import SI


def loss_of(who) -> float:
    rows = who.tasks.training(who.task)
    return who.objective.loss_of(who.outputs(rows).double(), rows.y).item()


def test_the_path_integral_is_the_fall_of_the_loss_where_steps_are_small():
    who = with_term(SI, {"clip": 0}, batch=20, lr=5e-3)
    who.begin_task(TASKS[0])
    before = loss_of(who)
    for _ in range(100):
        step(who)
    fallen = before - loss_of(who)
    assert float(who.terms[0].state()["path"].sum()) == pytest.approx(fallen, rel=0.02) and fallen > 0.01


def test_the_end_of_a_task_makes_importance_of_the_path():
    who = with_term(SI, {"xi": 0.3})
    (term,) = who.terms
    start = who.parameters.data.clone()
    who.begin_task(TASKS[0])
    for _ in range(3):
        step(who)
    path, way = term.state()["path"], (who.parameters.data - start).numpy()
    assert path.any()
    term.after_task(0)
    np.testing.assert_allclose(term.state()["important"], path / (way**2 + 0.3), rtol=1e-5)
    assert not term.state()["path"].any()
    np.testing.assert_array_equal(term.state()["anchor"], who.parameters.data.numpy())
    before = term.state()
    term.after_task(1)  # of joint tasks, which end together, the others change nothing
    for name, kept in before.items():
        np.testing.assert_array_equal(term.state()[name], kept)


def test_the_gradient_is_that_of_the_penalty_and_zero_at_the_anchor():
    who = with_term(SI, {"c": 2.0, "clip": 0})
    (term,) = who.terms
    live(who, TASKS[:1])
    grad = torch.ones_like(who.parameters.grad)
    term.on_gradient(grad, None)
    assert grad.eq(1).all() and term.penalty() == 0
    weights = shifted(who)
    term.on_gradient(grad.zero_(), None)
    way = somewhere(len(weights))
    found = slope_along(term.penalty, weights, way, 0.1)
    assert found == pytest.approx(float(grad.double() @ way.double()), rel=1e-4) and found != 0
    away = weights.double() - torch.from_numpy(term.state()["anchor"])
    wanted = 2.0 * float((torch.from_numpy(term.state()["important"]).double() * away**2).sum())
    assert term.penalty() == pytest.approx(wanted, rel=1e-6)


def test_the_path_has_the_gradient_of_the_loss_alone_and_the_step_all_of_it_clipped():
    who = with_term(SI, {"c": 100.0, "clip": 0.02})
    (term,) = who.terms
    live(who, TASKS[:1])
    shifted(who)
    before, state = who.parameters.data.clone(), term.state()
    slope = somewhere(len(before), 2) * 0.05
    grad = slope.clone()
    term.on_gradient(grad, None)
    pull = 200 * torch.from_numpy(state["important"]) * (before - torch.from_numpy(state["anchor"]))
    torch.testing.assert_close(grad, (slope + pull).clamp(-0.02, 0.02), rtol=1e-4, atol=1e-6)
    assert not torch.equal(grad, slope.clamp(-0.02, 0.02))
    who.parameters.data.sub_(grad)
    term.after_step()
    found = torch.from_numpy(term.state()["path"] - state["path"])
    torch.testing.assert_close(found, slope * (before - who.parameters.data))
    who.parameters.data.add_(1)
    term.after_step()  # a step of others, to which this agent gave no gradient
    assert torch.equal(found, torch.from_numpy(term.state()["path"] - state["path"]))


@pytest.mark.parametrize("tasks", [TASKS, ONE_HEAD])
def test_a_saved_learner_goes_on_with_the_same_bits(tasks):
    check_resumed(lambda: with_term(SI, {"c": 3.0}, where=shape(heads=5)), tasks)


def test_learning_stays_nearer_to_where_it_was_and_has_its_value():
    away = []
    for c in (0.0, 20.0):
        who = with_term(SI, {"c": c}, where=shape(heads=1))
        live(who, [task(0, head=0)])
        start = who.parameters.data.clone()
        live(who, [task(1, head=0)])
        away.append(float((who.parameters.data - start).square().sum()))
    assert away[1] < 0.7 * away[0]
    assert away[1] == pytest.approx(2.557e-3, rel=1e-2)
    assert float(who.terms[0].state()["important"].sum()) == pytest.approx(1.0023, rel=1e-2)
