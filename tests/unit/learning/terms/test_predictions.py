"""The term by which neighbours' answers are learned: its value, what it draws, and where it is refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from learning_fakes import live, shape
from term_fakes import CLASSES, check_resumed, with_term

from mpidcl.errors import ExperimentError
from mpidcl.experiment.reading import from_toml
from mpidcl.learning.gradient.learner import GradientLearner
from mpidcl.learning.terms.distillation import divergence
from mpidcl.learning.terms.predictions import Predictions
from mpidcl.testing.asking import result_of

WHERE = shape(heads=1, classes=6)


def told(**options: object) -> GradientLearner:
    """A learner in its second task, four of whose rows were answered."""
    who = with_term(Predictions, dict(options), where=WHERE)
    live(who, CLASSES[:1])
    who.begin_task(CLASSES[1])
    x = CLASSES[1].train.x()[:4]
    outputs = np.random.default_rng(0).normal(size=(4, 6)).astype(np.float32)
    who.take_predictions(x, np.zeros(4, np.int64), outputs)
    return who


def test_its_loss_is_the_divergence_over_the_classes_begun() -> None:
    who = told(weight=0.7, temperature=3.0, rows_per_step=4)
    x = torch.from_numpy(CLASSES[1].train.x()[:4])
    outputs = torch.from_numpy(np.random.default_rng(0).normal(size=(4, 6)).astype(np.float32))
    who.model.eval()
    found = who.model.logits(who.model.encode(who.model.prepare(x)), torch.zeros(4, dtype=torch.int64))
    wanted = 0.7 * divergence(outputs[:, :4], found[:, :4], 3.0).item()
    batch = next(iter(who.epochs.batches()))
    loss = who.terms[0].loss(batch)
    assert loss is not None and loss.item() == pytest.approx(wanted, rel=1e-4)
    assert batch.present[0]


def test_it_is_silent_before_anybody_has_answered_and_then_moves_the_model() -> None:
    silent = with_term(Predictions, where=WHERE)
    silent.begin_task(CLASSES[0])
    assert silent.terms[0].loss(next(iter(silent.epochs.batches()))) is None
    who, other = told(), told(weight=0.0)
    for one in (who, other):
        result_of(one.learn(1, 0))
    assert who.digest() != other.digest()


def test_a_resumed_learner_has_the_same_bits() -> None:
    class Told(GradientLearner):
        """Is answered at the begin of every task."""

        def begin_task(self, task):  # type: ignore[no-untyped-def]
            super().begin_task(task)
            outputs = np.random.default_rng(task.index).normal(size=(4, 6)).astype(np.float32)
            self.take_predictions(task.train.x()[:4], np.zeros(4, np.int64), outputs)

    def made() -> GradientLearner:
        who = with_term(Predictions, {"rows_per_step": 2}, where=WHERE)
        who.__class__ = Told
        return who

    check_resumed(made, CLASSES)


@pytest.mark.parametrize(
    ("learning", "what"),
    [
        ('terms = ["predictions"]', "exchange.*predictions.*Found none"),
        ('objective = "regression"\nterms = ["predictions"]', "no classes"),
    ],
)
def test_what_it_cannot_go_with(learning: str, what: str) -> None:
    with pytest.raises(ExperimentError, match=what):
        from_toml(f'name = "x"\nagents = 2\n[learning]\n{learning}\n')
