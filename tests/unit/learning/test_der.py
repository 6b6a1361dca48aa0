"""DER and DER++: outputs beside their own rows, two independent draws, the loss against its formula."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from learning_fakes import INPUT, FakeRows, check_resuming, learner, live, shape, task

from mpidcl.errors import ExperimentError
from mpidcl.experiment.reading import from_toml
from mpidcl.learning.gradient.learner import GradientLearner
from mpidcl.learning.terms.der import DER
from mpidcl.stream.tasks import Task
from mpidcl.testing.asking import result_of

TASKS = [task(index) for index in range(3)]
EACH = {"insert": "each step", "capacity": "10 rows"}


def rehearsing(alpha: float = 0.3, beta: float = 0.7, rows: int = 4, **settings: object) -> GradientLearner:
    who = learner(terms=(), **(EACH | {"options": {"hidden": [6], "dropout": 0.0}} | settings))
    who.add_term(DER(DER.Options(alpha=alpha, beta=beta, rows_per_step=rows), who))
    return who


def marked(index: int) -> Task:
    """A task whose rows are constant pixels, each another one."""
    values = np.linspace(0.1, 0.9, 20, dtype=np.float32) + index
    x = np.broadcast_to(values.reshape(-1, 1, 1, 1), (20, *INPUT)).copy()
    rows = FakeRows(x, np.arange(20) % 2)
    return Task(index, "marked", (0, 1), rows, rows, rows, head=index)


@pytest.mark.parametrize("options", [{"hidden": [6], "dropout": 0.0}, {"width": 8, "dropout": 0.0}])
@pytest.mark.parametrize("insert", ["each step", "task end"])
def test_stored_outputs_are_those_of_their_own_rows(options, insert):
    """Of a model that does not move, every row in the memory and in a draw has the outputs of now."""
    who = rehearsing(options=options, insert=insert, optimizer="sgd", lr=1e-30)
    live(who, [marked(0), marked(1)], ticks=2)
    stored = who.memory.rows()
    assert len(np.unique(stored["x"][:, 0, 0, 0])) > 4 and {0, 1} == set(stored["task"])
    who.begin_task(marked(2))
    batch = next(iter(who.epochs.batches()))
    result_of(who.steps.step(batch))
    drawn = batch.drawn[who.terms[0]]
    held = who.prepared_rows(stored)
    for rows in (held, *drawn):
        now = who.outputs(rows).detach()
        torch.testing.assert_close(rows.columns["logits"], now, rtol=1e-5, atol=1e-6)
        assert len(torch.unique(now[:, 0])) == len(torch.unique(rows.z.flatten(1)[:, 0]))  # rows differ


def test_outputs_are_those_before_the_step():
    who = rehearsing(optimizer="sgd", lr=5.0)
    who.begin_task(TASKS[0])
    batch = next(iter(who.epochs.batches()))
    before = who.outputs(batch).detach().numpy()
    result_of(who.steps.step(batch))
    who.insertion.step(batch)
    np.testing.assert_allclose(who.memory.rows()["logits"], before, rtol=1e-5, atol=1e-6)
    assert np.abs(who.outputs(batch).detach().numpy() - before).max() > 0.1


def test_value_and_gradient_are_those_of_the_formula():
    """With o the outputs and [h 1] their inputs: d/dW = sum_i (by o_i) [h_i 1]."""
    who = rehearsing(alpha=0.3, beta=0.7, where=shape(heads=1))
    live(who, [task(0, head=0)])
    term, model = who.terms[0], who.model
    batch = next(iter(who.epochs.batches()))
    batch.drawn = result_of(who.rehearsal.draw(who.terms))
    first, second = batch.drawn[term]
    who.parameters.zero_grad()
    loss = term.loss(batch)
    loss.backward()

    def seen(rows) -> tuple[np.ndarray, np.ndarray]:
        with torch.no_grad():
            h = model.encode(rows.z).double().numpy()
            return np.hstack([h, np.ones((len(h), 1))]), who.outputs(rows).double().numpy()

    (h1, o1), (h2, o2) = seen(first), seen(second)
    away = o1 - first.columns["logits"].double().numpy()
    p = np.exp(o2) / np.exp(o2).sum(1, keepdims=True)
    own = p[np.arange(4), second.y.numpy()]
    assert loss.item() == pytest.approx(0.3 * (away**2).mean() - 0.7 * np.log(own).mean(), rel=1e-5)
    p[np.arange(4), second.y.numpy()] -= 1
    wanted = 0.3 * 2 / away.size * away.T @ h1 + 0.7 / 4 * p.T @ h2
    np.testing.assert_allclose(model.heads.block.grad[0].numpy(), wanted, rtol=1e-4, atol=1e-6)


def test_the_two_draws_are_independent():
    """A row of ten each, 400 times: one and the same in a tenth of them."""
    who = rehearsing(rows=1)
    live(who, TASKS[:1])
    draws = [result_of(who.rehearsal.draw(who.terms))[who.terms[0]] for _ in range(400)]
    same = sum(torch.equal(first.z, second.z) for first, second in draws)
    assert abs(same - 40) < 4.5 * np.sqrt(400 * 0.1 * 0.9)


def test_der_draws_once_and_an_empty_memory_adds_nothing():
    who = rehearsing(beta=0.0)
    term = who.terms[0]
    assert len(term.draws()) == 1 and len(rehearsing(beta=0.1).terms[0].draws()) == 2
    who.begin_task(TASKS[0])
    batch = next(iter(who.epochs.batches()))
    result_of(who.steps.step(batch))
    assert term.loss(batch) is None


@pytest.mark.parametrize("insert", ["each step", "task end"])
def test_what_is_resumed_goes_on_as_if_never_stopped(insert):
    check_resuming(lambda: rehearsing(insert=insert, options={"width": 8}), TASKS)


def test_a_course_has_the_value_that_it_had():
    who = rehearsing()
    live(who, TASKS)
    batch = next(iter(who.epochs.batches()))
    batch.drawn = result_of(who.rehearsal.draw(who.terms))
    assert who.terms[0].loss(batch).item() == pytest.approx(PINNED, rel=1e-4)


PINNED = 0.462368


def test_a_draw_larger_than_a_memory_of_bytes_and_a_column_that_nobody_keeps_are_named():
    with pytest.raises(ExperimentError, match='draw of the term "der" should be of at most 6 rows.*Found 7'):
        rehearsing(capacity="1000 B", rows=7)
    who = learner(terms=())
    live(who, TASKS[:1])
    with pytest.raises(ExperimentError, match="`logits` should be one that the memory has: none"):
        who.remembered().columns["logits"]


@pytest.mark.parametrize("term", ['kind = "der", rows_per_step = 11', 'kind = "replay", mix = "batch"'])
@pytest.mark.parametrize("capacity", ["10 rows", "2 rows per task", "1 row per class"])
def test_a_draw_larger_than_the_memory_is_refused_when_the_file_is_read(term, capacity):
    stream = '[stream]\ndataset = "digits"\ntasks = 5\nclasses_per_task = 2\n'
    whole = f'name = "x"\nagents = 1\n{stream}[memory]\ncapacity = "{capacity}"\n[learning]\nterms = '
    with pytest.raises(ExperimentError, match=f"rows_per_step: should be at most 10: .*{capacity}.*Found"):
        from_toml(whole + "[{" + term + "}]")
    from_toml(whole + '[{ kind = "der", rows_per_step = 10 }]')
