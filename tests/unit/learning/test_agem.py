"""A-GEM: the step never disagrees with remembered rows, and is otherwise the step that it was."""

from __future__ import annotations

import pytest
import torch
from learning_fakes import check_resuming, gradient_on, learner, live, task

from mpidcl.learning.gradient.learner import GradientLearner
from mpidcl.learning.terms.agem import AGEM
from mpidcl.testing.asking import result_of

TASKS = [task(index, head=0) for index in range(3)]
PLAIN = {"optimizer": "sgd", "lr": 0.1, "options": {"hidden": [6], "dropout": 0.0}}


def rehearsing(**settings: object) -> GradientLearner:
    who = learner(terms=(), **(PLAIN | settings))
    who.add_term(AGEM(AGEM.Options(rows_per_step=5), who))
    return who


def test_the_gradient_is_projected_where_it_disagrees_and_only_there():
    who = rehearsing()
    live(who, TASKS[:2])
    who.begin_task(TASKS[2])
    term, projected = who.terms[0], 0
    for _ in range(2):
        for batch in who.epochs.batches():
            batch.drawn = result_of(who.rehearsal.draw(who.terms))
            own, reference = (gradient_on(who, rows) for rows in (batch, *batch.drawn[term]))
            found = own.clone()
            who.parameters.grad.copy_(own)
            term.on_gradient(found, batch)
            assert torch.equal(who.parameters.grad, own)  # what was there is there
            product = float(own @ reference)
            if product >= 0:
                assert torch.equal(found, own)
                continue
            projected += 1
            assert abs(float(found @ reference)) < 1e-5 * float(own.norm() * reference.norm())
            torch.testing.assert_close(found, own - product / float(reference @ reference) * reference)
        list(who.learn(2, 0))
    assert 0 < projected < 6


def test_heads_of_drawn_rows_take_a_step_only_where_it_is_projected():
    """Momentum would move them on without a gradient."""
    who = rehearsing(momentum=0.9)
    tasks = [task(index) for index in range(2)]
    live(who, tasks[:1])
    who.begin_task(tasks[1])
    taken = set()
    for batch in [batch for _ in range(6) for batch in who.epochs.batches()]:
        before, own = who.model.heads.block[0].clone(), who.terms[0]
        result_of(who.steps.step(batch))
        assert own in batch.drawn
        head = who.parameters.span("heads").start
        projected = bool(who.parameters.grad[head : head + before.numel()].any())
        assert torch.equal(who.model.heads.block[0], before) != projected
        taken.add(projected)
    assert taken == {True, False}


def test_it_is_silent_without_old_rows():
    plain, who = learner(terms=(), **PLAIN), rehearsing()
    for one in (plain, who):
        live(one, TASKS[:1])
    assert plain.digest() == who.digest()


@pytest.mark.parametrize("settings", [{}, {"insert": "each step", "capacity": "10 rows"}])
def test_what_is_resumed_goes_on_as_if_never_stopped(settings):
    check_resuming(lambda: rehearsing(**settings, options={"width": 8}), TASKS)


def test_a_course_has_the_value_that_it_had():
    who = rehearsing()
    live(who, TASKS)
    assert float(who.parameters.data.norm()) == pytest.approx(2.593434, rel=1e-4)
