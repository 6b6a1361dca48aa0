"""GEM: the step disagrees with no task that has ended, and is the nearest such step."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from learning_fakes import check_resuming, gradient_on, learner, live, task

from mpidcl.errors import ExperimentError
from mpidcl.experiment.reading import from_toml
from mpidcl.learning.gradient.learner import GradientLearner
from mpidcl.learning.terms.gem import GEM, step_weights

PLAIN = {"optimizer": "sgd", "lr": 0.1, "options": {"hidden": [6], "dropout": 0.0}}
TASKS = [task(index, head=0) for index in range(4)]


def rehearsing(margin: float = 0.0, **settings: object) -> GradientLearner:
    who = learner(terms=(), **(PLAIN | settings))
    who.add_term(GEM(GEM.Options(margin=margin), who))
    return who


@pytest.mark.parametrize("margin", [0.0, 0.5])
def test_weights_are_those_of_the_shortest_sum(margin):
    """KKT: v_k >= margin; the sum d has d.g_k >= 0, and = 0 where v_k > margin."""
    rng = np.random.default_rng(0)
    for size in (1, 2, 5):
        for floats in (3, 20):
            rows = rng.normal(size=(size + 1, floats))
            weights = step_weights(rows @ rows.T, margin)
            slopes = rows[1:] @ (weights @ rows)
            assert weights[0] == 1 and weights[1:].min() >= margin and slopes.min() > -1e-9
            assert abs((weights[1:] - margin) @ slopes) < 1e-9


def test_the_step_disagrees_with_no_task_that_has_ended():
    who = rehearsing()
    live(who, TASKS[:3])
    who.begin_task(TASKS[3])
    term, changed = who.terms[0], 0
    olds = [who.remembered(tuple(u for u in range(4) if u != task)) for task in range(3)]
    assert [len(rows) for rows in olds] == [6, 6, 6]
    for batch in [batch for _ in range(8) for batch in who.epochs.batches()]:
        own, *gradients = (gradient_on(who, rows) for rows in (batch, *olds))
        found = own.clone()
        who.parameters.grad.copy_(own)
        term.on_gradient(found, batch)
        assert torch.equal(who.parameters.grad, own)
        before, after = (torch.stack([g @ one for g in gradients]) for one in (own, found))
        if bool((before >= 0).all()):
            assert torch.equal(found, own)
            list(who.learn(3, 0))
            continue
        changed += 1
        assert float(after.min()) > -1e-5 * float(own.norm()) * float(gradients[0].norm())
        assert float((found - own).norm()) < float(own.norm())
    assert changed


def test_heads_of_old_tasks_learn_and_a_first_task_is_as_without():
    plain, who = learner(terms=(), **PLAIN), rehearsing(margin=0.5)
    tasks = [task(index) for index in range(2)]
    for one in (plain, who):
        live(one, tasks[:1])
    assert plain.digest() == who.digest()
    who.begin_task(tasks[1])
    taken = set()
    for batch in [batch for _ in range(6) for batch in who.epochs.batches()]:
        who.steps.make_gradient(batch)
        head = who.parameters.span("heads").start
        other = who.parameters.grad[head : head + who.model.heads.block[0].numel()]
        assert bool(batch.present[0]) == bool(other.any())  # a gradient, or no step
        taken.add(bool(batch.present[0]))
        who.optimizer.step(who.epochs.active(batch.present))
    assert taken == {True, False}


def test_what_is_resumed_goes_on_as_if_never_stopped():
    check_resuming(lambda: rehearsing(margin=0.5, options={"width": 8}), TASKS[:3])


def test_a_course_has_the_value_that_it_had():
    who = rehearsing(margin=0.5)
    live(who, TASKS)
    assert float(who.parameters.data.norm()) == pytest.approx(2.70578, rel=1e-4)


def test_a_memory_that_changes_at_each_step_is_refused():
    text = '[memory]\ninsert = "each step"\ncapacity = "99 rows"\n[learning]\nterms = ["gem"]'
    with pytest.raises(ExperimentError, match='memory.insert: should be "task end" with the term "gem"'):
        from_toml(f'name = "x"\nagents = 1\n{text}')
