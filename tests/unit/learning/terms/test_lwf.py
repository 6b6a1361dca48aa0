"""Learning without forgetting: old outputs, whose rows they belong to, and the warm-up of new ones."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from learning_fakes import compositional, learner, live, shape
from term_fakes import (
    CLASSES,
    ONE_HEAD,
    SMALL,
    TASKS,
    check_resumed,
    shifted,
    slope_along,
    somewhere,
    step,
    with_term,
)

from mpidcl.errors import ExperimentError
from mpidcl.experiment.reading import from_toml
from mpidcl.learning.batches import Batch
from mpidcl.learning.gradient.learner import GradientLearner
from mpidcl.learning.terms.lwf import LwF
from mpidcl.learning.terms.replay import Replay
from mpidcl.randomness import numpy_generator
from mpidcl.run.preview import part_notes

STREAMS = {
    "class": (CLASSES, shape(heads=1, classes=6)),
    "domain": (ONE_HEAD, shape(heads=1)),
    "task": (TASKS, shape()),
}
FILE = 'name = "x"\nagents = 2\n[learning]\n'


def started(name: str, index: int = 2, **options: float) -> GradientLearner:
    """A learner that has just begun task `index` of a stream."""
    tasks, where = STREAMS[name]
    who = with_term(LwF, options, where=where)
    live(who, tasks[:index])
    who.begin_task(tasks[index])
    return who


def first_batch(who: GradientLearner) -> Batch:
    """A batch, encoded as in a step, in eval mode."""
    batch = next(iter(who.epochs.batches()))
    encode(who, batch)
    return batch


def encode(who: GradientLearner, batch: Batch) -> Batch:
    who.model.eval()
    batch.encoded = who.model.encode_rows(batch.z, batch.heads)
    who.objective.loss(who.model, batch)
    return batch


def shares(logits: torch.Tensor, past: np.ndarray, power: float) -> torch.Tensor:
    """The paper's and Mammoth's form: powers of the probabilities of past classes, normalised."""
    p = logits.detach().double()[:, np.flatnonzero(past)].softmax(1) ** power
    return p / p.sum(1, keepdim=True)


@pytest.mark.parametrize("name", STREAMS)
def test_the_loss_is_the_cross_entropy_of_normalised_powers_over_past_classes(name):
    who = started(name, alpha=0.7, temperature=3.0)
    tasks = who.tasks
    past, rows = tasks.classes(tasks.ended), tasks.training(2)
    who.model.eval()
    old = {
        h: who.model.heads.one(who.model.encode(rows.z), h).detach()
        for h in np.flatnonzero(past.any(1)).tolist()
    }
    assert len(old) == (2 if name == "task" else 1)
    shifted(who)
    batch = first_batch(who)
    wanted = 0.0
    for head, logits in old.items():
        q_old = shares(logits[batch.index], past[head], 1 / 3)
        q_new = shares(who.model.heads.one(batch.encoded, head), past[head], 1 / 3)
        wanted -= 0.7 * float((q_old * q_new.log()).sum(1).mean())
    assert who.terms[0].loss(batch).item() == pytest.approx(wanted, rel=1e-5)
    assert all(batch.present[head] for head in old)


@pytest.mark.parametrize("name", STREAMS)
def test_the_loss_is_least_where_new_outputs_are_the_old_ones(name):
    who = started(name)
    (term,), flat = who.terms, who.parameters
    batch = first_batch(who)
    flat.zero_grad()
    least = term.loss(batch)
    least.backward()
    assert flat.grad.abs().max() < 1e-7
    for seed in range(3):
        start = flat.data.clone()
        flat.data.add_(somewhere(len(start), seed), alpha=0.3)
        assert term.loss(encode(who, batch)).item() > least.item()
        flat.data.copy_(start)


def test_its_gradient_is_that_of_finite_differences():
    who = started("class")
    (term,), flat = who.terms, who.parameters
    weights, batch = shifted(who), first_batch(who)
    flat.zero_grad()
    term.loss(batch).backward()
    way = somewhere(len(weights)) * flat.grad.ne(0)
    wanted = float(flat.grad @ way)
    found = slope_along(lambda: term.loss(encode(who, batch)).item(), weights, way, 3e-3)
    assert found == pytest.approx(wanted, rel=0.02)


def test_before_there_is_a_past_class_nothing_is_changed():
    tasks, where = STREAMS["class"]
    digests = []
    for terms in ((LwF,), ()):
        who = learner(terms=(), options=SMALL, where=where)
        for kind in terms:
            who.add_term(kind(kind.Options(), who))
        live(who, tasks[:1])
        digests.append(who.digest())
    assert digests[0] == digests[1]


def test_rows_have_their_own_old_outputs_and_rows_from_elsewhere_none():
    who = with_term(LwF, where=shape(heads=1, classes=6))
    who.add_term(Replay(Replay.Options(), who))  # all remembered rows join the pool
    live(who, CLASSES[:1])
    who.begin_task(CLASSES[1])
    mixed = [encode(who, batch) for batch in who.epochs.batches()]
    own = who.tasks.training(1)
    old = who.outputs(own).detach()[:, :2].div(2).softmax(1)
    elsewhere = 0
    for batch in mixed:
        mine = np.flatnonzero(batch.index < len(own))
        elsewhere += len(batch) - len(mine)
        assert torch.equal(batch.z[mine], own.z[batch.index[mine]])
        new = batch.logits.detach()[mine][:, :2].div(2).log_softmax(1)
        wanted = -(old[batch.index[mine]] * new).sum(1).mean()
        torch.testing.assert_close(who.terms[0].loss(batch).detach(), wanted)
    assert elsewhere == 6


def test_the_warm_up_is_sgd_on_the_outputs_of_new_classes_and_touches_nothing_else():
    tasks, where = STREAMS["class"]
    who = with_term(LwF, {"warm_up": 3}, where=where)
    live(who, tasks[:1])
    before, block = who.parameters.data.clone(), who.model.heads.block.detach().clone()
    who.begin_task(tasks[1])
    rows = who.tasks.training(1)
    encoded = who.model.encode(rows.z).detach()
    head = torch.nn.Linear(encoded.shape[1], 2)
    head.weight.data, head.bias.data = block[0, 2:4, :-1].clone(), block[0, 2:4, -1].clone()
    sgd = torch.optim.SGD(head.parameters(), lr=0.1)
    rng = numpy_generator(who.seed, who.agent, "lwf warm-up 1")
    losses = []
    for _ in range(3):
        for part in torch.from_numpy(rng.permutation(20)).split(8):
            losses.append(torch.nn.functional.cross_entropy(head(encoded[part]), rows.y[part] - 2))
            sgd.zero_grad()
            losses[-1].backward()
            sgd.step()
    wanted = block.clone()
    wanted[0, 2:4] = torch.cat([head.weight.detach(), head.bias.detach().unsqueeze(1)], 1)
    torch.testing.assert_close(who.model.heads.block.detach(), wanted)
    changed = (who.model.heads.block != block).any(-1)[0]
    assert changed.tolist() == [False, False, True, True, False, False]
    assert sum(losses[-3:]) < sum(losses[:3])
    first = who.parameters.span("heads").start
    assert torch.equal(who.parameters.data[:first], before[:first])


@pytest.mark.parametrize("name", STREAMS)
def test_a_saved_learner_goes_on_with_the_same_bits(name):
    tasks, where = STREAMS[name]
    check_resumed(lambda: with_term(LwF, {"alpha": 2.0}, where=where), tasks)


def test_old_outputs_change_less_and_have_their_value():
    tasks, where = STREAMS["class"]
    changes = []
    for alpha in (0.0, 5.0):
        who = with_term(LwF, {"alpha": alpha}, where=where, lr=0.3)
        live(who, tasks[:1], ticks=10)
        who.begin_task(tasks[1])
        rows = who.tasks.training(1)
        old = who.outputs(rows).detach()[:, :2].softmax(1)
        for _ in range(30):
            step(who)
        who.model.eval()
        changes.append(float((who.outputs(rows).detach()[:, :2].softmax(1) - old).abs().mean()))
    assert changes[1] < 0.5 * changes[0]
    assert changes[1] == pytest.approx(0.01301, rel=2e-2)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ('objective = "regression"\nterms = ["lwf"]', "no classes.*regression"),
        ('one_model = true\nterms = ["lwf"]', "warm_up = 0 with learning.one_model"),
    ],
)
def test_what_it_cannot_do_is_said_when_the_file_is_read(text, what):
    with pytest.raises(ExperimentError, match=what):
        from_toml(FILE + text)


def test_a_model_that_encodes_each_task_in_its_own_way_is_refused():
    with pytest.raises(ExperimentError, match="encodes each task in its own way"):
        LwF(LwF.Options(), compositional())


@pytest.mark.parametrize(
    ("stream", "said"),
    [("tasks = 1", "one task"), ("tasks = 3\njoint_tasks = 3", "3 tasks"), ("tasks = 2", "")],
)
@pytest.mark.parametrize("kind", ["ewc", "si", "lwf"])
def test_a_term_that_never_acts_is_noted(kind, stream, said):
    notes = part_notes(from_toml(f'{FILE}terms = ["{kind}"]\n[stream]\nclasses_per_task = 2\n{stream}'))
    assert len([note for note in notes if f'"{kind}" keeps nothing' in note and said in note]) == bool(said)
