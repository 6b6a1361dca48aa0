"""iCaRL: targets of old classes, which rows are learned and kept, answers by the nearest mean."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from learning_fakes import accuracies, check_resuming, compositional, learner, live, shape
from term_fakes import (
    CLASSES,
    ONE_HEAD,
    TASKS,
    check_resumed,
    shifted,
    slope_along,
    somewhere,
    with_term,
)

from mpidcl.errors import ExperimentError
from mpidcl.experiment.reading import from_toml
from mpidcl.learning.batches import Batch, Prepared
from mpidcl.learning.gradient.learner import GradientLearner
from mpidcl.learning.nearest_mean import LEAST
from mpidcl.learning.terms.icarl import ICaRL
from mpidcl.run.preview import part_notes
from mpidcl.testing.asking import result_of

ONE = shape(heads=1, classes=6)
STREAMS = {"class": (CLASSES, ONE), "domain": (ONE_HEAD, shape(heads=1)), "task": (TASKS, shape())}
WIDE = {"hidden": [24, 16], "dropout": 0.0}
HERDING = {"objective": "one-vs-rest", "policy": "herding", "capacity": "12 rows", "options": WIDE}
FILE = 'name = "x"\nagents = 2\n[stream]\nincremental = "class"\nreplacement = false\n[learning]\n'
ICARL = 'objective = "one-vs-rest"\nterms = ["icarl"]\n'


def made(where: Any = ONE, mirrored: bool = False, **settings: Any) -> GradientLearner:
    return with_term(ICaRL, {"mirrored": mirrored}, where=where, **(HERDING | settings))


def started(name: str, **settings: Any) -> GradientLearner:
    """A learner that has just begun task 2 of a stream."""
    tasks, where = STREAMS[name]
    who = made(where, **settings)
    live(who, tasks[:2])
    who.begin_task(tasks[2])
    return who


def whole_loss(who: GradientLearner, batch: Batch) -> torch.Tensor:
    """Objective and term, in eval mode."""
    who.model.eval()
    batch.encoded = who.model.encode_rows(batch.z, batch.heads)
    loss = who.objective.loss(who.model, batch)
    added = who.terms[0].loss(batch)
    return loss if added is None else loss + added


def outputs(who: GradientLearner, batch: Batch | Prepared) -> dict[int, np.ndarray]:
    """Of every head, in double precision."""
    who.model.eval()
    encoded = who.model.encode(batch.z)
    heads = range(len(who.model.heads.block))
    return {h: who.model.heads.one(encoded, h).detach().double().numpy() for h in heads}


def cross_entropy(o: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    p = 1 / (1 + np.exp(-o))
    return -(wanted * np.log(p) + (1 - wanted) * np.log(1 - p))


@pytest.mark.parametrize("name", STREAMS)
def test_the_loss_is_binary_cross_entropy_with_old_outputs_for_old_classes(name: str) -> None:
    who = started(name)
    batch = next(iter(who.epochs.batches()))
    old = outputs(who, batch)
    shifted(who)
    past = who.tasks.classes((0, 1)) & ~who.tasks.classes((2,))
    found, now = whole_loss(who, batch).item(), outputs(who, batch)
    own, wanted = batch.heads.numpy(), 0.0
    for head, o in now.items():
        targets = np.eye(o.shape[1])[batch.y.numpy()]
        targets[:, past[head]] = (1 / (1 + np.exp(-old[head])))[:, past[head]]
        counted = past[head] | (own == head)[:, None]  # all outputs of the own head, and old ones
        wanted += (cross_entropy(o, targets) * counted).sum() / o.size
    assert len(set(own.tolist())) == (2 if name == "task" else 1)
    assert found == pytest.approx(wanted, rel=1e-5)
    assert (who.terms[0].loss(batch) is None) == (name == "domain")
    assert batch.present[past.any(1)].all()


def test_its_gradient_is_that_of_finite_differences() -> None:
    who = started("class")
    weights, batch, flat = shifted(who), next(iter(who.epochs.batches())), who.parameters
    flat.zero_grad()
    whole_loss(who, batch).backward()
    way = somewhere(len(weights)) * flat.grad.ne(0)
    wanted = float(flat.grad @ way)
    found = slope_along(lambda: whole_loss(who, batch).item(), weights, way, 1e-3)
    assert found == pytest.approx(wanted, rel=0.02)


def test_exemplars_join_the_rows_of_a_task_and_those_of_a_class_have_the_nearest_mean() -> None:
    who = started("class")
    kept = who.memory.rows()
    assert np.bincount(kept["y"]).tolist() == 4 * [3]
    assert len(who.epochs.pools[0].rows) == 20 + 12
    assert {row.tobytes() for row in kept["x"]} <= {
        row.tobytes() for item in CLASSES[:2] for row in item.train.x()
    }
    again = made()
    live(again, CLASSES[:1])
    rows, one = CLASSES[0].train, CLASSES[0].train.y == 1
    features = unit(again.features(rows.x()[one], 0))
    mine = again.memory.rows()
    mean = unit(again.features(mine["x"][mine["y"] == 1], 0)).mean(0)
    rng = np.random.default_rng(0)
    others = [rng.permutation(one.sum())[:6] for _ in range(20)]
    away = [np.linalg.norm(features[some].mean(0) - features.mean(0)) for some in others]
    assert np.linalg.norm(mean - features.mean(0)) < np.mean(away)


def unit(features: np.ndarray) -> np.ndarray:
    features = features.astype(np.float64)
    return features / np.linalg.norm(features, axis=-1, keepdims=True)


@pytest.mark.parametrize("name", ["class", "task"])
@pytest.mark.parametrize("mirrored", [False, True])
def test_answers_are_those_of_the_nearest_mean(name: str, mirrored: bool) -> None:
    tasks, _ = STREAMS[name]
    measures = {"kind": "one-vs-rest", "measures": ("accuracy", "task_accuracy", "top5")}
    who = started(name, mirrored=mirrored, objective=measures)
    rows, classes = who.memory.rows(), who.shape.classes_per_head
    found = result_of(who.evaluate(2))
    for u in (0, 1):
        head = tasks[u].head
        distance = np.full((len(tasks[u].test), classes), -LEAST)
        for c in np.unique(rows["y"][rows["head"] == head]):
            x = rows["x"][(rows["head"] == head) & (rows["y"] == c)]
            mean = unit(who.features(x, u)).mean(0)
            if mirrored:
                mean = mean + unit(who.features(x[..., ::-1].copy(), u)).mean(0)
            gap = unit(who.features(tasks[u].test.x(), u)) - unit(mean)
            distance[:, c] = np.square(gap).sum(1)
        y = tasks[u].test.y
        assert found["accuracy"][u] == pytest.approx((distance.argmin(1) == y).mean())
        own = np.unique(y)
        assert found["task_accuracy"][u] == pytest.approx((own[distance[:, own].argmin(1)] == y).mean())
        assert found["accuracy"][u] > 0.5 or name == "class"
    assert found["accuracy"][2] == 0 or name == "task", "no exemplar has come yet"


def test_before_there_is_a_past_class_learning_is_plain_and_heads_answer() -> None:
    plain, who = learner(terms=(), optimizer="sgd", lr=0.1, where=ONE, **HERDING), made()
    for one in (plain, who):
        one.begin_task(CLASSES[0])
        list(one.learn(0, 0))
    assert plain.digest() == who.digest() and who.terms[0].answering() is None
    assert accuracies(plain, 0) == accuracies(who, 0)
    for one in (plain, who):
        result_of(one.end_task())
    assert plain.digest() == who.digest() and who.terms[0].answering() is not None


def test_tests_change_nothing() -> None:
    who, untested = started("class"), started("class")
    accuracies(who, 2)
    for one in (who, untested):
        list(one.learn(2, 0))
    assert who.digest() == untested.digest()


@pytest.mark.parametrize("name", STREAMS)
def test_a_saved_learner_goes_on_with_the_same_bits(name: str) -> None:
    tasks, where = STREAMS[name]
    check_resumed(lambda: made(where), tasks)
    check_resuming(lambda: made(where), tasks)


def test_operations_are_counted_alike_by_a_resumed_learner() -> None:
    """What is measured once for all must not be another thing later: heads answer first, then means."""
    straight, first, second = made(), made(), made()
    for who in (straight, first):
        who.begin_task(CLASSES[0])
        accuracies(who, 0)
        result_of(who.end_task())
    second.load(first.state(), CLASSES.__getitem__)
    for who in (straight, second):
        accuracies(who, 0)
    assert straight.counters()["flops"] == second.counters()["flops"]


def test_statistics_of_old_batches_answer_for_the_old_model() -> None:
    who = made(kind="resnet18", options={"width": 2}, epochs=1, batch=20)
    live(who, CLASSES[:1], ticks=1)
    who.begin_task(CLASSES[1])
    rows, old = who.tasks.training(1), who.terms[0]._old
    before = outputs(who, rows)[0]
    list(who.learn(1, 0))
    found = old.heads.one(old.encode(rows.z), 0).detach().numpy()
    np.testing.assert_allclose(found, before, rtol=1e-4, atol=1e-5)
    assert not np.allclose(outputs(who, rows)[0], before, atol=1e-3)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ('terms = ["icarl"]', 'one-vs-rest" with the term "icarl".*Found "classification"'),
        ('objective = "regression"\nterms = ["icarl"]', 'one-vs-rest" with the term "icarl".*"regression"'),
        (ICARL + "one_model = true", "learning.one_model = true: each agent would answer"),
        (ICARL + "restart = true", 'restart: should be false with the term "icarl"'),
        ('objective = "one-vs-rest"\nterms = ["replay", "icarl"]', 'should not have "replay" beside "icarl"'),
        (
            ICARL + '[memory]\npolicy = "herding"\ninsert = "each step"\ncapacity = "9 rows"',
            'should be "task end" with memory.policy = "herding"',
        ),
        ('objective = "regression"\n[memory]\npolicy = "herding"', "should be one that needs no classes"),
    ],
)
def test_what_it_cannot_do_is_said_when_the_file_is_read(text: str, what: str) -> None:
    with pytest.raises(ExperimentError, match=what):
        from_toml(FILE + text)


def test_what_cannot_be_made_is_refused_before_the_first_task() -> None:
    with pytest.raises(ExperimentError, match="encodes each task in its own way"):
        ICaRL(ICaRL.Options(), compositional())
    with pytest.raises(ExperimentError, match='at least 6 rows.*Found "5 rows", which is room for 5'):
        made(capacity="5 rows")
    with pytest.raises(ExperimentError, match="mirrored should be false.*rows \\[30\\] and MLP"):
        made(shape((30,), heads=1), mirrored=True)
    with pytest.raises(ExperimentError, match="mirrored should be false.*frozen input stage"):
        made(options={"width": 8}, mirrored=True)


@pytest.mark.parametrize(
    ("text", "notes"),
    [
        ("epochs = 1\n" + ICARL + '[memory]\npolicy = "herding"', 0),
        ("epochs = 2\n" + ICARL + '[memory]\npolicy = "herding"', 1),
        ("epochs = 2\n" + ICARL, 2),
    ],
)
def test_other_exemplars_and_tests_within_a_task_are_noted(text: str, notes: int) -> None:
    assert sum('"icarl"' in note for note in part_notes(from_toml(FILE + text))) == notes
