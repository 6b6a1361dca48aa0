"""ER-ACE: outputs of old classes are left alone by rows that come, and learn from remembered ones."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from learning_fakes import FakeRows, check_resuming, learner, live, shape, task

from mpidcl.errors import ExperimentError
from mpidcl.experiment.reading import from_toml
from mpidcl.learning.gradient.learner import GradientLearner
from mpidcl.learning.terms.er_ace import ERACE
from mpidcl.learning.terms.replay import Replay
from mpidcl.stream.tasks import Task
from mpidcl.testing.asking import result_of

WHERE = shape(heads=1, classes=8)


def new_classes(index: int) -> Task:
    """Two of eight classes of one head."""
    plain = task(index, head=0)
    every = (plain.train, plain.validation, plain.test)
    parts = [FakeRows(rows.pixels, rows.y + 2 * index) for rows in every]
    return Task(index, "fake", (2 * index, 2 * index + 1), *parts, head=0)


TASKS = [new_classes(index) for index in range(3)]


def rehearsing(task_free: bool = False, **settings: object) -> GradientLearner:
    plain = {"options": {"hidden": [6], "dropout": 0.0}, "insert": "each step", "capacity": "20 rows"}
    who = learner(terms=(), where=WHERE, **(plain | settings))
    who.add_term(ERACE(ERACE.Options(rows_per_step=5, task_free=task_free), who))
    return who


def test_classes_of_the_batch_and_new_ones_compete():
    """The gradient of the head is 0 for classes that are known and not in the batch, and else the formula."""
    who = rehearsing()
    live(who, TASKS[:1])
    who.begin_task(TASKS[1])
    batch = next(b for b in who.epochs.batches() if len(b) == 8)
    batch.y = torch.full_like(batch.y, 3)
    batch.competing = who.terms[0].competing(batch)
    assert batch.competing.int().tolist() == [[0, 0, 1, 1, 1, 1, 1, 1]] * 8
    who.steps.make_gradient(batch)
    head = who.model.heads.block.grad[0].numpy()
    assert not head[:2].any() and head[2:].any(1).all()
    with torch.no_grad():
        h = who.model.encode(batch.z).double().numpy()
        logits = who.outputs(batch).double().numpy()
    np.testing.assert_allclose(batch.logits.detach().numpy(), logits, rtol=1e-5, atol=1e-6)  # all of them
    p = np.exp(logits[:, 2:])
    p /= p.sum(1, keepdims=True)
    p[:, 1] -= 1
    np.testing.assert_allclose(head[2:], p.T @ np.hstack([h, np.ones((8, 1))]) / 8, rtol=1e-4, atol=1e-6)


def test_a_class_seen_before_the_batch_stays_out_in_its_own_task_too():
    who = rehearsing(task_free=True)
    who.begin_task(TASKS[0])
    batch = next(iter(who.epochs.batches()))
    masks = []
    for y in (0, 1, 0):
        batch.y = torch.full_like(batch.y, y)
        masks.append(who.terms[0].competing(batch)[0, :3].tolist())
    assert masks == [[True, True, True], [False, True, True], [True, False, True]]


def test_remembered_rows_learn_among_all_classes_from_the_second_task_on():
    who = rehearsing()
    term = who.terms[0]
    live(who, TASKS[:1])
    batch = next(iter(who.epochs.batches()))
    batch.drawn = result_of(who.rehearsal.draw(who.terms))
    assert term.competing(batch) is None and term.loss(batch) is None
    who.begin_task(TASKS[1])
    (rows,) = batch.drawn[term]
    wanted = torch.nn.functional.cross_entropy(who.outputs(rows), rows.y)
    assert term.loss(batch).item() == wanted.item()
    rehearsed = rehearsing(task_free=True)
    rehearsed.begin_task(TASKS[0])
    assert rehearsed.terms[0].competing(next(iter(rehearsed.epochs.batches()))) is not None


def test_rows_that_joined_the_batch_compete_with_all_and_operations_are_counted_once():
    who = rehearsing()
    who.add_term(Replay(Replay.Options(mix="batch", rows_per_step=4), who))
    live(who, TASKS[:1])
    who.begin_task(TASKS[1])
    batch = next(iter(who.epochs.batches()))
    before = who.meter.total
    result_of(who.steps.step(batch))
    assert batch.competing[8:].all() and not batch.competing[:8].all() and len(batch.competing) == 12
    products = 30 * 6 + 6 * 8  # the net's weights
    rows, first = 12 + 5, 17 * 2 * 30 * 6  # the first layer needs no gradient by its inputs
    assert who.meter.total - before == 6 * rows * products - first


@pytest.mark.parametrize("task_free", [False, True])
def test_what_is_resumed_goes_on_as_if_never_stopped(task_free):
    check_resuming(lambda: rehearsing(task_free, options={"width": 8}), TASKS)


def test_a_course_has_the_value_that_it_had():
    who = rehearsing()
    live(who, TASKS)
    assert float(who.parameters.data.norm()) == pytest.approx(2.843445, rel=1e-4)


def test_an_objective_without_classes_is_refused():
    text = 'name = "x"\nagents = 1\n[learning]\nobjective = "regression"\nterms = ["er-ace"]'
    with pytest.raises(ExperimentError, match="objective: should know classes with the term"):
        from_toml(text)
