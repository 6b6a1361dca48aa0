"""Distillation: its value, its direction, its size, whose outputs it keeps, and which classes count."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from expert_fakes import TASKS, experts
from learning_fakes import compositional, learner, live, shape
from term_fakes import CLASSES, ONE_HEAD, SMALL, check_resumed, shifted, step, with_term
from term_fakes import TASKS as OF_HEADS

from mpidcl.errors import ExperimentError
from mpidcl.experiment.reading import from_toml
from mpidcl.learning.batches import Batch
from mpidcl.learning.gradient.learner import GradientLearner
from mpidcl.learning.terms.distillation import Distillation, divergence
from mpidcl.run.preview import part_notes
from mpidcl.testing.asking import result_of

STREAMS = {
    "class": (CLASSES, shape(heads=1, classes=6)),
    "domain": (ONE_HEAD, shape(heads=1)),
    "task": (OF_HEADS, shape()),
}


def outputs(rows: int, classes: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(rows, classes, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def started(name: str, index: int = 2, **options: Any) -> GradientLearner:
    tasks, where = STREAMS[name]
    who = with_term(Distillation, options, where=where)
    live(who, tasks[:index])
    who.begin_task(tasks[index])
    return who


def batch_of(who: GradientLearner) -> Batch:
    batch = next(iter(who.epochs.batches()))
    who.model.eval()
    batch.encoded = who.model.encode_rows(batch.z, batch.heads)
    who.objective.loss(who.model, batch)
    return batch


# --- the divergence -----------------------------------------------------------------------------


def test_equal_outputs_and_outputs_moved_by_a_constant_have_none() -> None:
    z = outputs(5, 7)
    for other in (z, z + 3.0, z + outputs(5, 1, 1)):
        assert divergence(z, other, 2.0).item() == pytest.approx(0, abs=1e-14)
    assert divergence(z, 2 * z, 2.0).item() > 0.01


def test_it_is_that_of_the_teacher_from_the_student() -> None:
    """By hand: p = (.8, .2) against q = (.5, .5), times tau^2."""
    p, q = torch.tensor([[0.8, 0.2]]).log(), torch.zeros(1, 2)
    forward = 0.8 * np.log(0.8 / 0.5) + 0.2 * np.log(0.2 / 0.5)
    backward = 0.5 * np.log(0.5 / 0.8) + 0.5 * np.log(0.5 / 0.2)
    assert divergence(p, q, 1.0).item() == pytest.approx(forward)
    assert divergence(3 * p, 3 * q, 3.0).item() == pytest.approx(9 * forward, rel=1e-6)
    assert abs(forward - backward) > 0.02


def test_its_size_does_not_depend_on_rows_or_on_how_many_classes_there_are() -> None:
    teacher, student = outputs(6, 4), outputs(6, 4, 1)
    one = divergence(teacher, student, 2.0).item()
    assert divergence(teacher.repeat(3, 1), student.repeat(3, 1), 2.0).item() == pytest.approx(one)
    # the same distributions over twice as many classes, each halved
    assert divergence(teacher.repeat(1, 2), student.repeat(1, 2), 2.0).item() == pytest.approx(one)
    unlikely = torch.full((6, 90), -1e4, dtype=torch.float64)
    more = divergence(torch.cat([teacher, unlikely], 1), torch.cat([student, unlikely], 1), 2.0)
    assert more.item() == pytest.approx(one)


def test_at_large_temperature_its_gradient_is_one_by_c_times_that_of_matching_logits() -> None:
    teacher, student = outputs(6, 5), outputs(6, 5, 1).requires_grad_()
    (found,) = torch.autograd.grad(divergence(teacher, student, 1e4), student)
    apart = (student - student.mean(1, keepdim=True) - teacher + teacher.mean(1, keepdim=True)) / 6
    torch.testing.assert_close(found, apart.detach() / 5, rtol=1e-3, atol=1e-6)
    sizes = [
        torch.autograd.grad(divergence(teacher, student, tau), student)[0].norm().item()
        for tau in (1.0, 4.0, 100.0)
    ]
    assert max(sizes) < 3 * min(sizes)  # tau^2 keeps the gradient from vanishing


# --- the term -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", STREAMS)
def test_its_loss_is_that_of_the_old_outputs_over_the_classes_before(name: str) -> None:
    who = started(name, weight=0.7, temperature=3.0)
    past, rows = who.tasks.classes(who.tasks.ended), who.tasks.training(2)
    who.model.eval()
    old = {
        head: who.model.heads.one(who.model.encode(rows.z), head).detach()
        for head in np.flatnonzero(past.any(1)).tolist()
    }
    assert len(old) == (2 if name == "task" else 1)
    if name == "class":
        assert past[0].tolist() == [True] * 4 + [False] * 2
    batch = batch_of(who)
    assert who.terms[0].loss(batch).item() == pytest.approx(0, abs=1e-6)
    shifted(who)
    batch = batch_of(who)
    wanted = 0.0
    for head, logits in old.items():
        index = torch.from_numpy(np.flatnonzero(past[head]))
        student = who.model.heads.one(batch.encoded, head).detach()[:, index]
        wanted += 0.7 * divergence(logits[batch.index][:, index], student, 3.0).item()
    assert wanted > 1e-3
    assert who.terms[0].loss(batch).item() == pytest.approx(wanted, rel=1e-4)
    assert all(batch.present[head] for head in old)


@pytest.mark.parametrize("name", STREAMS)
def test_rows_of_the_memory_are_taught_each_through_its_own_head(name: str) -> None:
    who = started(name, on="memory", rows_per_step=6, temperature=3.0)
    (term,) = who.terms
    past = who.tasks.classes(who.tasks.ended)
    batch = next(iter(who.epochs.batches()))
    result_of(who.steps.draw(batch, who.terms))
    (rows,) = batch.drawn[term]
    assert len(rows) == 6
    teacher = who.model.logits(who.model.encode(rows.z), rows.heads).detach()
    shifted(who)
    who.steps.encoding.encode(batch)
    who.objective.loss(who.model, batch)
    student = who.model.logits(who.model.encode(rows.z), rows.heads).detach()
    wanted = 0.0
    for head in torch.unique(rows.heads).tolist():
        mine, index = rows.heads == head, torch.from_numpy(np.flatnonzero(past[head]))
        part = divergence(teacher[mine][:, index], student[mine][:, index], 3.0).item()
        wanted += part * int(mine.sum()) / 6
    found = term.loss(batch)
    assert found is not None and found.item() == pytest.approx(wanted, rel=1e-4) and wanted > 1e-3


@pytest.mark.parametrize("on", ["memory", "both"])
def test_with_a_draw_a_resumed_learner_has_the_same_bits(on: str) -> None:
    check_resumed(lambda: with_term(Distillation, {"on": on, "rows_per_step": 3}))


def test_classes_that_the_teacher_does_not_know_get_no_gradient() -> None:
    who = started("class")
    shifted(who)
    batch = batch_of(who)
    who.parameters.zero_grad()
    who.terms[0].loss(batch).backward()
    slopes = who.model.heads.block.grad[0]
    assert slopes[4:].abs().max() == 0 and slopes[:4].abs().max() > 0


def test_before_a_task_has_ended_it_is_silent_and_weight_nothing_is_nothing() -> None:
    tasks, where = STREAMS["class"]
    for options, upto in (({}, 1), ({"weight": 0.0}, 3)):
        who, plain = (
            with_term(Distillation, options, where=where),
            learner(terms=(), options=SMALL, optimizer="sgd", lr=0.1, epochs=2, where=where),
        )
        for one in (who, plain):
            live(one, tasks[:upto], ticks=2)
        assert who.digest() == plain.digest()


@pytest.mark.parametrize("name", STREAMS)
def test_a_saved_learner_goes_on_with_the_same_bits(name: str) -> None:
    tasks, where = STREAMS[name]
    check_resumed(lambda: with_term(Distillation, {"weight": 2.0}, where=where), tasks)


def test_old_outputs_change_less() -> None:
    changes = []
    for weight in (0.0, 5.0):
        tasks, where = STREAMS["class"]
        who = with_term(Distillation, {"weight": weight}, where=where, lr=0.3)
        live(who, tasks[:1], ticks=10)
        who.begin_task(tasks[1])
        rows = who.tasks.training(1)
        who.model.eval()
        old = who.outputs(rows).detach()[:, :2].softmax(1)
        for _ in range(30):
            step(who)
        who.model.eval()
        changes.append(float((who.outputs(rows).detach()[:, :2].softmax(1) - old).abs().mean()))
    assert changes[1] < 0.5 * changes[0]


def test_experts_that_the_teacher_used_are_the_teachers() -> None:
    """A snapshot keeps who was in use, too: its answers stay when experts go."""
    who = experts(terms=("distillation",))
    live(who, TASKS[:1])
    who.begin_task(TASKS[1])
    batch = batch_of(who)
    assert who.terms[0].loss(batch).item() == pytest.approx(0, abs=1e-6)
    who.model.change(used=np.arange(4) >= 2)
    assert who.terms[0].loss(batch_of(who)).item() > 1e-5


# --- neighbours ---------------------------------------------------------------------------------


def neighbours(who: GradientLearner, count: int) -> dict[int, dict[str, np.ndarray]]:
    """Models that differ from one's own in the shared part, of agents 5, 4, ..."""
    own = who.host_view("shared")
    return {
        5 - one: {
            "shared": own + np.float32(0.3 * (one + 1)) * np.sign(np.sin(np.arange(len(own)))).astype("f")
        }
        for one in range(count)
    }


@pytest.mark.parametrize("mean", ["outputs", "models"])
def test_neighbours_teach_by_the_mean_of_their_outputs_or_of_their_models(mean: str) -> None:
    tasks, where = STREAMS["domain"]
    who = with_term(Distillation, {"teacher": "neighbours", "mean": mean}, where=where)
    who.begin_task(tasks[0])
    (term,) = who.terms
    assert term.loss(batch_of(who)) is None  # nobody has taught yet
    models = neighbours(who, 2)
    who.take_teachers(models)
    batch, own = batch_of(who), who.host_view("shared").copy()
    answers = []
    parts = [one["shared"] for one in models.values()]
    for values in parts if mean == "outputs" else [np.mean(parts, 0)]:
        who.load_span("shared", values.astype(np.float32))
        answers.append(who.model.outputs_of(who.model.encode_rows(batch.z, 0), 0).detach())
    who.load_span("shared", own)
    wanted = divergence(torch.stack(answers).mean(0), batch.logits.detach(), 2.0).item()
    assert wanted > 1e-4
    assert term.loss(batch).item() == pytest.approx(wanted, rel=1e-4)
    who.take_teachers(neighbours(who, 1))  # the others teach no more
    assert term.mark == 1
    who.take_teachers({})  # nobody came: those of before stay
    assert term.mark == 1 and term.loss(batch_of(who)) is not None


def test_a_model_of_another_length_is_refused() -> None:
    who = with_term(Distillation, {"teacher": "neighbours"}, where=STREAMS["domain"][1])
    with pytest.raises(ValueError, match="`shared` should have .* floats. Found"):
        who.take_teachers({1: {"shared": np.zeros(3, np.float32)}})


def test_what_neighbours_taught_is_in_the_checkpoint() -> None:
    tasks, where = STREAMS["domain"]

    def make() -> GradientLearner:
        return with_term(Distillation, {"teacher": "neighbours"}, where=where)

    who, again = make(), make()
    who.begin_task(tasks[0])
    who.take_teachers(neighbours(who, 2))
    list(who.learn(0, 0))
    again.load(who.state(), tasks.__getitem__)
    for one in (who, again):
        list(one.learn(0, 1))
    assert who.digest() == again.digest() and again.terms[0].mark == 2


# --- what is refused ----------------------------------------------------------------------------


def test_what_it_cannot_do_is_said() -> None:
    file = 'name = "x"\nagents = 2\n[learning]\n'
    with pytest.raises(ExperimentError, match="no classes.*regression"):
        from_toml(file + 'objective = "regression"\nterms = ["distillation"]')
    with pytest.raises(ExperimentError, match="no neighbour ever teaches"):
        from_toml(file + 'terms = [{kind = "distillation", teacher = "neighbours"}]')
    with pytest.raises(ExperimentError, match="encodes each task in its own way"):
        Distillation(Distillation.Options(), compositional())
    notes = part_notes(
        from_toml(file + 'terms = ["distillation"]\n[stream]\nclasses_per_task = 2\ntasks = 1')
    )
    assert any('"distillation" keeps nothing' in note for note in notes)
