"""Gradients made by hand are those of autograd, bit for bit; who says no slopes is taken through autograd."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from learning_fakes import experiment, shape, task
from one_model_fakes import PLAIN

from mpidcl.experiment.options import Options
from mpidcl.learning.gradient.by_hand import knows_slopes
from mpidcl.learning.gradient.learner import GradientLearner
from mpidcl.learning.objectives.classification import Classification, OneVsRest
from mpidcl.learning.objectives.regression import Regression
from mpidcl.learning.terms.base import Draw, Term
from mpidcl.learning.terms.der import DER
from mpidcl.learning.terms.replay import Replay
from mpidcl.model.mlp import MLP
from mpidcl.testing.asking import result_of

EACH = {"insert": "each step", "capacity": "9 rows"}


def learner(heads: int = 3, terms: Any = (), **settings: Any) -> GradientLearner:
    whole: Any = experiment(**{**PLAIN, **settings})
    whole.agents = 1
    who = GradientLearner(whole, 0, shape(heads=heads))
    for kind, options in terms:
        who.add_term(kind(kind.Options(**options), who))
    return who


CASES: dict[str, Any] = {
    "plain": {},
    "DCL": {"options": {}, "optimizer": "adam"},
    "dropout": {"options": {"width": 8, "dropout": 0.3}},
    "deep": {"options": {"hidden": (9, 7, 5), "dropout": 0.0}},
    "replay": {"terms": [(Replay, {})]},
    "batch": {"terms": [(Replay, {"mix": "batch"})], **EACH},
    "separate": {"terms": [(Replay, {"mix": "separate"})], **EACH},
    "DER++": {"heads": 1, "terms": [(DER, {"alpha": 0.3, "beta": 0.7, "rows_per_step": 7})], **EACH},
    "DER": {"heads": 1, "terms": [(DER, {"alpha": 0.2, "rows_per_step": 4})], **EACH},
    "DER, heads": {"terms": [(DER, {"alpha": 0.2, "beta": 1.0, "rows_per_step": 4})], **EACH},
    "both": {"heads": 1, "terms": [(DER, {"alpha": 0.2}), (Replay, {"mix": "batch"})], **EACH},
    "DER, dropout": {
        "heads": 1, "terms": [(DER, {"alpha": 0.3, "beta": 0.7})], "options": {"width": 8, "dropout": 0.5},
        **EACH,
    },
}  # fmt: skip
THROUGH_AUTOGRAD = ("separate", "DER, heads")


@pytest.mark.parametrize("name", CASES)
def test_the_bits_are_those_of_autograd(name):
    settings = dict(CASES[name])
    heads = settings.pop("heads", 3)
    one, other = (learner(heads, **settings) for _ in range(2))
    other.steps._hand = None
    assert one.steps._by_hand(one.terms) == (name not in THROUGH_AUTOGRAD)
    assert not other.steps._by_hand(other.terms)
    for who in (one, other):
        for index in range(2):
            who.begin_task(task(index, head=0 if heads == 1 else index))
            for tick in range(3):
                result_of(who.learn(index, tick))
            result_of(who.end_task())
    assert one.digest() == other.digest()
    assert one.meter.total == other.meter.total > 0
    assert np.array_equal(one.memory.rows()["x"], other.memory.rows()["x"])
    for column in one.memory.columns:
        assert np.array_equal(one.memory.rows()[column.name], other.memory.rows()[column.name])


@pytest.mark.parametrize("kind", [Classification, OneVsRest])
@pytest.mark.parametrize("rows", [1, 7, 128])
def test_slopes_of_objectives_are_those_of_autograd(kind, rows):
    rng = torch.Generator().manual_seed(rows)
    outputs, y = torch.randn(rows, 5, generator=rng), torch.randint(0, 5, (rows,), generator=rng)
    leaf = outputs.clone().requires_grad_()
    objective = kind()
    (wanted,) = torch.autograd.grad(0.37 * objective.loss_of(leaf, y), leaf)
    assert torch.equal(objective.slope_of(outputs, y, 0.37), wanted)


def test_slopes_of_an_objective_that_says_none_are_asked_of_autograd():
    outputs, y = torch.tensor([[1.0], [2.0]]), torch.tensor([[0.0], [5.0]])
    torch.testing.assert_close(Regression().slope_of(outputs, y, 2.0), 2 * (outputs - y))


class Loss(Term):
    name: ClassVar[str] = "loss"

    def loss(self, batch: Any) -> Any:
        return None


class Other(DER):
    """Its slopes are those of DER, and its loss is another one."""

    def loss(self, batch: Any) -> Any:
        return None


class Apart(DER):
    """Its rows go through the model in a pass of their own."""

    def draws(self) -> tuple[Draw, ...]:
        return (Draw(3),)


def test_a_term_that_does_not_say_its_slopes_goes_through_autograd():
    who = learner(1)
    assert knows_slopes(Term(Options(), who), 1)
    assert not knows_slopes(Loss(Options(), who), 1)
    der = DER.Options(alpha=1.0)
    assert knows_slopes(DER(der, who), 1) and not knows_slopes(DER(der, who), 2)
    assert not knows_slopes(Other(der, who), 1)
    assert not knows_slopes(Apart(der, who), 1)


def test_what_is_no_chain_or_no_classification_goes_through_autograd():
    assert learner().steps._hand is not None
    assert learner(objective="one-vs-rest").steps._hand is None

    class Mine(MLP):
        def encode(self, z: Any) -> Any:
            return 2 * super().encode(z)

    whole: Any = experiment(**PLAIN)
    whole.agents = 1

    class Own(GradientLearner):
        def build_model(self) -> Any:
            model = super().build_model()
            model.__class__ = Mine
            return model

    assert Own(whole, 0, shape()).steps._hand is None
