"""Online EWC: the Fisher information by labels, the penalty and what fades."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from learning_fakes import compositional, learner, live, shape, task
from term_fakes import SMALL, TASKS, check_resumed, shifted, slope_along, somewhere, with_term

from mpidcl.errors import ExperimentError
from mpidcl.experiment.reading import from_toml
from mpidcl.learning.batches import Prepared
from mpidcl.learning.gradient import squares
from mpidcl.learning.gradient.learner import GradientLearner
from mpidcl.learning.gradient.squares import label_fisher
from mpidcl.learning.terms.ewc import EWC
from mpidcl.model.layers import Linear
from mpidcl.model.mlp import MLP


def rows_of(who: GradientLearner, count: int = 5) -> Prepared:
    """Rows of two tasks, each with its own head."""
    for index in (0, 1):
        who.begin_task(task(index, rows=count))
        if not index:
            parts = [who.tasks.training(0)]
    return Prepared.joined([*parts, who.tasks.training(1)])


def row_by_row(who: GradientLearner, rows: Prepared, weighted: bool) -> np.ndarray:
    """The same in float64, a backward pass of the learner's own for each row."""
    flat, total = who.parameters, 0.0
    for z, y, head in zip(rows.z.split(1), rows.y, rows.heads.split(1), strict=True):
        flat.zero_grad()
        encoded = who.model.encode_rows(z, head)
        log_p = who.model.logits(encoded, head).log_softmax(1)[0, y]
        log_p.backward()
        total += (log_p.exp().item() if weighted else 1) * flat.grad.numpy().astype(np.float64) ** 2
    return total / len(rows)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(
    ("kind", "options"),
    [("mlp", SMALL), ("mlp", {"width": 5}), ("cnn", {"width": 3, "depth": 2}), ("resnet18", {"width": 2})],
)
def test_fisher_is_the_mean_square_of_the_gradient_of_every_row(kind, options, weighted):
    who = learner(kind=kind, options=options)
    rows = rows_of(who)
    who.model.eval()
    wanted = row_by_row(who, rows, weighted)
    found = label_fisher(who.model, rows, weighted).numpy()
    np.testing.assert_allclose(found, wanted, rtol=1e-3, atol=1e-6 * wanted.max())
    assert (squares.by_layers(who.model, rows, weighted) is not None) == (kind == "mlp")
    if kind == "mlp":
        slow = squares.by_rows(who.model, rows, weighted)
        np.testing.assert_allclose(found, slow, rtol=1e-4, atol=1e-9)


def test_fisher_of_a_compositional_model_sees_modules_and_structures():
    who = compositional(joint=0)
    who.begin_task(task(0, rows=4))
    rows = who.tasks.training(0)
    who.model.train()
    wanted = row_by_row(who, rows, False)
    np.testing.assert_allclose(label_fisher(who.model, rows), wanted, rtol=1e-3, atol=1e-6 * wanted.max())


def test_fisher_of_the_heads_of_a_logistic_model_has_a_closed_form():
    who = learner(options=SMALL)
    rows = rows_of(who)
    who.model.eval()
    h = who.model.encode(rows.z).detach().double()
    p = who.model.logits(h.float(), rows.heads).detach().double().softmax(1)
    off = (torch.eye(2)[rows.y] - p).square()
    wide = torch.cat([h, torch.ones(len(h), 1)], 1).square()
    wanted = torch.zeros(who.model.heads.block.shape, dtype=torch.float64)
    for head in (0, 1):
        mine = rows.heads == head
        wanted[head] = off[mine].T @ wide[mine] / len(rows)
    span = who.parameters.span("heads")
    found = label_fisher(who.model, rows)[span].view(wanted.shape)
    torch.testing.assert_close(found.double(), wanted, rtol=1e-4, atol=1e-9)
    assert not found[2:].any() and found[:2].any(-1).all()


class Tied(MLP):
    """Uses the weights of its first layer once more, behind that layer's back."""

    def encode(self, z):
        first: Linear = self.layers[0]
        return super().encode(z) + 0.5 * (z @ first.weight.T)


def test_weights_that_are_used_elsewhere_too_are_taken_row_by_row(monkeypatch):
    who = learner(options={"hidden": [6], "dropout": 0.0})
    who.model.__class__ = Tied
    rows = rows_of(who)
    who.model.eval()
    wanted = row_by_row(who, rows, False)
    assert squares.by_layers(who.model, rows, False) is not None
    np.testing.assert_allclose(label_fisher(who.model, rows), wanted, rtol=1e-3, atol=1e-6 * wanted.max())


def test_the_gradient_is_that_of_the_penalty_and_zero_at_the_anchor():
    who = with_term(EWC, {"weight": 3.0})
    (term,) = who.terms
    grad = torch.ones_like(who.parameters.grad)
    term.on_gradient(grad, None)
    assert grad.eq(1).all() and term.penalty() == 0  # silent before a task has ended
    live(who, TASKS[:1])
    term.on_gradient(grad, None)
    assert grad.eq(1).all() and term.penalty() == 0  # at the anchor
    weights = shifted(who)
    term.on_gradient(grad.zero_(), None)
    way = somewhere(len(weights))
    found = slope_along(term.penalty, weights, way, 0.1)
    assert found == pytest.approx(float(grad.double() @ way.double()), rel=1e-4) and found != 0


def test_the_penalty_is_half_of_weight_times_fisher_times_squared_distance():
    who = with_term(EWC, {"weight": 3.0})
    who.begin_task(TASKS[0])
    fisher = label_fisher(who.model, who.tasks.training(0)).double()
    who.terms[0].after_task(0)
    anchor = who.parameters.data.double()[: len(fisher)]
    away = shifted(who).double() - anchor
    assert who.terms[0].penalty() == pytest.approx(1.5 * float((fisher * away**2).sum()), rel=1e-5)


@pytest.mark.parametrize(("kind", "options"), [("mlp", SMALL), ("cnn", {"width": 3, "depth": 2})])
def test_the_end_of_a_task_is_counted_and_comes_from_its_rows(kind, options):
    who = with_term(EWC, kind=kind, options=options)
    who.begin_task(TASKS[0])
    before = who.meter.total
    who.terms[0].after_task(0)
    assert who.meter.total - before > 20 * 2 * len(who.parameters.grad[: who.parameters.span("shared").stop])
    wanted = label_fisher(who.model, who.tasks.training(0)).numpy()
    np.testing.assert_array_equal(who.terms[0].state()["fisher"], wanted)


@pytest.mark.parametrize("joint", [0, 2])
def test_the_past_fades_once_for_all_tasks_that_end_together(joint):
    who = with_term(EWC, {"gamma": 0.25}, joint=joint)
    parts = []
    ones = np.ones(len(who.parameters.grad), np.float32)
    who.terms[0].load({"fisher": ones, "anchor": ones})
    for index in range(2):
        who.begin_task(TASKS[index])
        if index + 1 >= joint:
            for u in who.current:
                who.terms[0].after_task(u)
                parts.append(label_fisher(who.model, who.tasks.training(u)).numpy())
    fades = (0.25, 1.0) if joint else (0.25, 0.25)
    wanted = parts[1] + fades[1] * (parts[0] + fades[0])
    np.testing.assert_allclose(who.terms[0].state()["fisher"], wanted, rtol=1e-5)
    np.testing.assert_array_equal(who.terms[0].state()["anchor"], who.parameters.data.numpy())


def test_a_saved_learner_goes_on_with_the_same_bits():
    check_resumed(lambda: with_term(EWC, {"weight": 50.0, "fisher": "weighted"}))


def test_learning_stays_nearer_to_where_it_was_and_has_its_value():
    away = []
    for weight in (0.0, 50.0):
        who = with_term(EWC, {"weight": weight}, where=shape(heads=1))
        live(who, [task(0, head=0)])
        start = who.parameters.data.clone()
        live(who, [task(1, head=0)])
        away.append(float((who.parameters.data - start).square().sum()))
    assert away[1] < 0.5 * away[0]
    assert away[1] == pytest.approx(3.1155e-3, rel=1e-2)
    assert float(who.terms[0].state()["fisher"].sum()) == pytest.approx(1.1328, rel=1e-2)


def test_an_objective_without_labels_is_refused():
    file = 'name = "x"\nagents = 1\n[learning]\nobjective = "regression"\nterms = ["ewc"]'
    with pytest.raises(ExperimentError, match=r"learning.terms.0: .*no classes.*regression"):
        from_toml(file)
