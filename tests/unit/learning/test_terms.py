"""Terms of the loss: separate replay, FedProx and FedCurv, and the Fisher information behind it."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

import numpy as np
import pytest
import torch
from learning_fakes import learner, live, task
from learning_fakes import shape as _shape

from mpidcl.errors import ExperimentError
from mpidcl.learning.batches import Batch
from mpidcl.learning.gradient.learner import GradientLearner
from mpidcl.learning.terms.base import HOST, Draw, Term, TermHost, make_term
from mpidcl.learning.terms.curvature import Curvature
from mpidcl.learning.terms.proximal import Proximal
from mpidcl.learning.terms.replay import Replay
from mpidcl.memory.buffer import Column
from mpidcl.testing.asking import result_of

TASKS = [task(index) for index in range(3)]


def gradient_of(term: Term) -> tuple[float, np.ndarray]:
    """Value of a term and its gradient by the shared parameters."""
    flat = term.host.parameters
    flat.zero_grad()
    loss = term.loss(None)
    loss.backward()
    return loss.item(), flat.grad[flat.span("shared")].numpy().copy()


def test_proximal_is_half_mu_times_the_squared_distance():
    who = learner()
    term = Proximal(Proximal.Options(mu=0.3), who)
    assert term.loss(None) is None
    reference = np.random.default_rng(0).normal(size=len(who.host_view("shared"))).astype(np.float32)
    term.set_reference(reference)
    value, slope = gradient_of(term)
    away = who.host_view("shared") - reference
    assert value == pytest.approx(0.15 * float((away.astype(np.float64) ** 2).sum()), rel=1e-5)
    np.testing.assert_allclose(slope, 0.3 * away, rtol=1e-5, atol=1e-7)


def test_proximal_pulls_learning_towards_its_reference():
    distances = []
    for mu in (0.0, 2.0):
        who = learner(terms=())
        who.add_term(Proximal(Proximal.Options(mu=mu), who))
        start = who.host_view("shared").copy()
        who.terms[0].set_reference(start)
        live(who, TASKS[:1], ticks=10)
        distances.append(float(np.abs(who.host_view("shared") - start).sum()))
    assert 0 < distances[1] < 0.7 * distances[0]


def test_curvature_has_the_gradient_of_the_sum_over_neighbours():
    who = learner()
    rng = np.random.default_rng(0)
    size = len(who.host_view("shared"))
    fishers, weights = rng.random((3, size)), rng.normal(size=(3, size))
    term = Curvature(Curvature.Options(weight=0.7), who)
    assert term.loss(None) is None
    term.set_sums(fishers.sum(0).astype(np.float32), (fishers * weights).sum(0).astype(np.float32))
    value, slope = gradient_of(term)
    own = who.host_view("shared").astype(np.float64)
    np.testing.assert_allclose(slope, 0.7 * (2 * fishers * (own - weights)).sum(0), rtol=1e-4, atol=1e-5)
    constant = 0.7 * (fishers * weights**2).sum()
    assert value + constant == pytest.approx(0.7 * (fishers * (own - weights) ** 2).sum(), rel=1e-4)


@pytest.mark.parametrize("kind", ["proximal", "curvature"])
def test_references_are_copies_and_survive_a_checkpoint(kind):
    who = learner()
    reference = np.ones(len(who.host_view("shared")), dtype=np.float32)

    def make() -> Term:
        return (
            Proximal(Proximal.Options(), who) if kind == "proximal" else Curvature(Curvature.Options(), who)
        )

    term, again, silent = make(), make(), make()
    if kind == "proximal":
        term.set_reference(reference)
    else:
        term.set_sums(reference, 2 * reference)
    before = gradient_of(term)
    reference[:] = 5
    again.load(term.state())
    np.testing.assert_array_equal(gradient_of(again)[1], before[1])
    silent.load(make().state())
    assert silent.loss(None) is None


def test_a_reference_of_another_length_is_refused():
    who = learner()
    with pytest.raises(ValueError, match="should be a vector of"):
        Proximal(Proximal.Options(), who).set_reference(np.zeros(3, np.float32))


def test_separate_replay_adds_a_loss_and_leaves_the_pool_alone():
    who = learner(terms=())
    term = Replay(Replay.Options(mix="separate", weight=0.5, rows_per_step=4), who)
    who.add_term(term)
    live(who, TASKS[:2])
    who.begin_task(TASKS[2])
    batches = list(who.epochs.batches())
    assert [len(b) for b in batches] == [8, 8, 4] and term.rows(2) is None
    batch = batches[0]
    assert batch.present.tolist() == [False, False, True, False, False]
    result_of(who.steps.step(batch))
    assert [len(rows) for rows in batch.drawn[term]] == [4]
    loss = term.loss(batch)
    assert loss.item() > 0 and loss.requires_grad
    assert batch.present[2] and batch.present[:2].any() and not batch.present[3:].any()


def test_separate_replay_without_old_rows_is_silent():
    who = learner(terms=())
    term = Replay(Replay.Options(mix="separate"), who)
    who.begin_task(TASKS[0])
    assert term.loss(next(iter(who.epochs.batches()))) is None


def test_old_heads_learn_under_separate_replay():
    who = learner(terms=())
    who.add_term(Replay(Replay.Options(mix="separate"), who))
    live(who, TASKS[:1])
    head = [s for s in who.parameters.segments if s.kind == "heads"][0]
    before = who.parameters.data[head.start : head.stop].clone()
    live(who, TASKS[1:2])
    assert not torch.equal(before, who.parameters.data[head.start : head.stop])


@pytest.mark.parametrize(
    ("kind", "options"),
    [("mlp", {"width": 5}), ("cnn", {"width": 3, "depth": 2}), ("resnet18", {"width": 2})],
)
def test_fisher_is_the_expected_square_of_the_score(kind, options):
    who = learner(kind=kind, options=options)
    who.begin_task(task(0, rows=6))
    list(who.learn(0, 0))
    who.begin_task(task(1, rows=6))
    found = who.fisher()
    flat, span = who.parameters, who.parameters.span("shared")
    wanted = np.zeros(span.stop)
    who.model.eval()
    for x in prepared_rows(who):
        for label in range(2):
            flat.zero_grad()
            log_p = who.model.heads.one(who.model.encode(x), 1).log_softmax(1)[0, label]
            log_p.backward()
            wanted += log_p.exp().item() * flat.grad[span].numpy().astype(np.float64) ** 2
    np.testing.assert_allclose(found, wanted / 6, rtol=1e-3, atol=1e-9)
    assert found.shape == (span.stop,) and found.dtype == np.float32 and found.min() >= 0 and found.any()


def prepared_rows(who):
    return who.model.prepare(torch.from_numpy(task(1, rows=6).train.x())).split(1)


class Watched(Term):
    """Keeps the outputs of every row, draws twice, and halves the gradient."""

    name = "watched"

    def columns(self) -> tuple[Column, ...]:
        return (Column("logits", "float32", (2,)),)

    def values(self, batch: Batch) -> dict[str, torch.Tensor]:
        return {"logits": batch.logits}

    def draws(self) -> tuple[Draw, ...]:
        return Draw(3), Draw(50)

    def on_gradient(self, grad: torch.Tensor, batch: Batch) -> None:
        grad.mul_(0.5)

    def tables(self) -> dict[str, dict[str, np.ndarray]]:
        return {"watched": {"steps": np.arange(2)}}


def test_columns_come_with_the_rows_that_they_belong_to():
    who = learner(terms=(), options={"width": 8, "dropout": 0.0})
    term = Watched(None, who)
    who.add_term(term)
    live(who, TASKS[:2])
    kept = who.memory.task_rows(1)
    np.testing.assert_allclose(kept["logits"], who.logits(kept["x"], 1), rtol=1e-5, atol=1e-6)
    who.begin_task(TASKS[2])
    batch = next(iter(who.epochs.batches()))
    result_of(who.steps.step(batch))
    few, many = batch.drawn[term]
    assert len(few) == 3 and len(many) == len(who.memory) == 12  # all there are
    whole = who.prepared_rows(who.memory.rows())
    stored = {z.numpy().tobytes(): c.tolist() for z, c in zip(whole.z, whole.columns["logits"], strict=True)}
    for drawn in batch.drawn[term]:
        found = [stored[z.numpy().tobytes()] for z in drawn.z]
        assert found == drawn.columns["logits"].tolist()
    assert list(who.tables()) == ["watched"]


def test_draws_of_two_terms_of_one_name_are_different_and_go_on_after_a_checkpoint():
    def fresh() -> GradientLearner:
        who = learner(terms=())
        for _ in range(2):
            who.add_term(Replay(Replay.Options(mix="separate", rows_per_step=3), who))
        return who

    def drawn(who: GradientLearner) -> list[bytes]:
        found = result_of(who.rehearsal.draw(who.terms))
        return [rows.z.numpy().tobytes() for term in who.terms for rows in found[term]]

    who, again = fresh(), fresh()
    live(who, TASKS[:2])
    first, second = drawn(who)
    assert first != second
    again.load(who.state(), TASKS.__getitem__)
    assert drawn(again) == drawn(who)


def test_rows_that_join_the_batch_are_part_of_its_mean_loss():
    who = learner(terms=())
    who.add_term(Replay(Replay.Options(mix="batch", rows_per_step=6), who))
    live(who, TASKS[:2])
    who.begin_task(TASKS[2])
    batch = next(iter(who.epochs.batches()))
    own = len(batch)
    result_of(who.steps.step(batch))
    (drawn,) = batch.drawn[who.terms[0]]
    assert len(drawn) == 6 and len(batch) == own + 6
    assert torch.equal(batch.z[own:], drawn.z) and torch.equal(batch.heads[own:], drawn.heads)
    assert batch.logits is not None and len(batch.logits) == own + 6
    assert batch.present[[0, 1, 2]].tolist() == [h in batch.heads for h in range(3)]


class Beside(Term):
    """Replay of two draws of four rows, which go through the model with the batch, or apart."""

    name = "beside"
    together = True

    def draws(self) -> tuple[Draw, ...]:
        return (Draw(4, beside=self.together),) * 2

    def loss(self, batch: Batch) -> torch.Tensor | None:
        drawn = batch.drawn.get(self)
        if not drawn:
            return None
        first, second = (self.host.outputs(rows) for rows in drawn)
        return first.square().sum() + (2 * second - 1).square().sum()


class Apart(Beside):
    together = False


@pytest.mark.parametrize(
    ("kind", "options", "at_once"),
    [("mlp", {"width": 8, "dropout": 0.0}, True), ("resnet18", {"width": 2}, False)],
)
def test_rows_beside_the_batch_have_the_outputs_and_gradients_of_rows_apart(kind, options, at_once):
    found = []
    for term in (Beside, Apart):
        shape = (1, 8, 8)
        tasks = [task(index, input_shape=shape) for index in range(2)]
        who = learner(terms=(), kind=kind, options=options, where=_shape(shape))
        who.add_term(term(None, who))
        live(who, tasks[:1], ticks=1)
        who.begin_task(tasks[1])
        passes = []
        encode = who.model.encode_rows
        who.model.encode_rows = lambda z, heads, to=passes, do=encode: to.append(len(z)) or do(z, heads)
        batch = next(iter(who.epochs.batches()))
        result_of(who.steps.step(batch))
        found.append(who.parameters.grad.clone())
        different = np.union1d(*(rows.place for rows in batch.drawn[who.terms[0]]))
        assert 4 < len(different) <= 6 == len(who.memory)
        assert passes == ([8 + len(different)] if term is Beside and at_once else [8, 4, 4])
    torch.testing.assert_close(*found, rtol=1e-5, atol=1e-6)


def test_terms_know_the_classes_of_tasks_and_when_a_task_begins():
    class Told(Term):
        name = "told"
        seen: ClassVar[list[tuple[int, tuple[int, ...], list[list[bool]]]]] = []

        def before_task(self, task: int) -> None:
            tasks = self.host.tasks
            self.seen.append((task, tasks.ended, tasks.classes(tasks.ended).tolist()))

    who = learner(terms=(), joint=2)
    who.add_term(Told(None, who))
    live(who, TASKS[:3], joint=2)
    some, none = [True, True], [False, False]
    assert Told.seen == [(1, (), [none] * 5), (2, (0, 1), [some, some, none, none, none])]


def test_a_gradient_is_changed_before_the_optimiser_sees_it():
    plain, halved = (learner(terms=(), optimizer="sgd", lr=0.1) for _ in range(2))
    halved.add_term(Watched(None, halved))
    steps = []
    for who in (plain, halved):
        who.begin_task(TASKS[0])
        before = who.parameters.data.clone()
        result_of(who.steps.step(next(iter(who.epochs.batches()))))
        steps.append(who.parameters.data - before)
    torch.testing.assert_close(steps[1], 0.5 * steps[0], rtol=1e-4, atol=1e-7)


def test_what_a_term_needs_and_its_learner_has_not_is_told_at_the_start():
    class Greedy(Replay):
        name = "greedy"
        needs = ("remembered", "telescope")

    with pytest.raises(ExperimentError, match=r'"greedy" \(Greedy\).*`telescope`.*GradientLearner'):
        make_term(Greedy, None, learner())
    methods = {"current", "remembered", "outputs"}
    assert set(HOST) == {name for name in vars(TermHost)["__annotations__"]} | methods
    assert len(HOST) <= 10


def test_columns_of_one_name_are_one_or_refused():
    class Other(Watched):
        name = "other"

        def columns(self) -> tuple[Column, ...]:
            return (Column("logits", "float32", (7,)),)

    who = learner(terms=())
    who.add_term(Watched(None, who))
    who.add_term(Watched(None, who))
    with pytest.raises(ExperimentError, match='`logits` of the term "other".*"watched"'):
        who.add_term(Other(None, who))


def test_agents_with_shared_joint_tasks_draw_alike_until_these_are_over():
    where = replace(_shape(joint=2), joint_shared=True)
    settings = {"insert": "each step", "capacity": "12 rows"}
    agents = [learner(agent, where=where, terms=(), **settings) for agent in (0, 1)]
    for who in agents:
        who.add_term(Replay(Replay.Options(mix="batch", rows_per_step=3), who))
        live(who, TASKS[:2], joint=2)
    assert agents[0].digest() == agents[1].digest()
    found = [result_of(who.rehearsal.draw(who.terms))[who.terms[0]][0].z for who in agents]
    assert not torch.equal(*found)


def test_gradients_are_added_to_before_they_are_projected_and_cut():
    order: list[str] = []

    class Early(Term):
        name = "early"

        def on_gradient(self, grad: torch.Tensor, batch: Batch) -> None:
            order.append(self.name)

    class Late(Early):
        name, turn = "late", 1

    who = learner(terms=())
    for kind in (Late, Early):
        who.add_term(kind(None, who))
    live(who, TASKS[:1], ticks=1)
    assert order[:2] == ["early", "late"] and len(order) % 2 == 0


def test_operations_are_those_of_each_step_whatever_the_draws_have_in_common():
    """A resumed learner has forgotten what a step costs, and must find the same."""

    def fresh() -> GradientLearner:
        who = learner(terms=(), insert="each step", capacity="9 rows", options={"width": 8, "dropout": 0.0})
        who.add_term(Beside(None, who))
        return who

    straight, first, second = fresh(), fresh(), fresh()
    live(straight, TASKS)
    live(first, TASKS[:2])
    second.load(first.state(), TASKS.__getitem__)
    live(second, TASKS[2:])
    assert second.digest() == straight.digest()
    assert second.counters() == straight.counters()


@pytest.mark.parametrize(
    ("draws", "loss", "said"),
    [
        (3, None, r"`draws` of the term \"odd\" \(Odd\) should be a tuple of Draw.*Found 3"),
        ((), torch.zeros(2), r"`loss` of the term \"odd\" \(Odd\) should be a scalar.*Found shape \[2\]"),
    ],
)
def test_what_a_term_gives_in_another_form_is_told(draws, loss, said):
    class Odd(Term):
        name = "odd"

        def draws(self) -> tuple[Draw, ...]:
            return draws

        def loss(self, batch: Batch) -> torch.Tensor | None:
            return loss

    who = learner(terms=())
    with pytest.raises(ExperimentError, match=said):
        who.add_term(Odd(None, who))
        live(who, TASKS[:1])
