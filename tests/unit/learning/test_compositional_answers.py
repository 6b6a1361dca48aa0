"""What a compositional learner tells: accuracies, structures, Fisher information, operations."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from learning_fakes import accuracies, compositional, live, shape
from modular_fakes import CNN, TASKS, ask, changed, floats, foreign, grown

from mpidcl.learning.batches import Batch
from mpidcl.learning.compositional.learner import CompositionalLearner
from mpidcl.learning.terms.replay import Replay
from mpidcl.testing.asking import result_of

# --- evaluation ---------------------------------------------------------------------------------


def check_fresh(who: CompositionalLearner, what: str) -> np.ndarray:
    """What is told equals a measurement that remembers nothing."""
    found = accuracies(who, who.task)
    who.epochs.known.clear()
    np.testing.assert_array_equal(found, accuracies(who, who.task), err_msg=what)
    return found


def changes(who: CompositionalLearner) -> Iterator[tuple[str, Any]]:
    """Everything that may change an answer."""
    rng = np.random.default_rng(5)

    def average() -> None:
        shared = who.device_view("shared")
        shared += rng.normal(0, 0.5, len(shared)).astype(np.float32)

    yield "averaging in place", average
    yield "a span replaced", lambda: who.load_span("shared", np.roll(who.host_view("shared"), 7))
    yield "assimilation", lambda: list(who.learn(3, 0))
    yield "accommodation", lambda: list(who.learn(3, 2))
    yield "a candidate", lambda: who.take_candidates([foreign(who, 1, head=False, structure=False)])
    yield "a head", lambda: who.take_candidates([foreign(who, 2, structure=False)])
    yield "a structure", lambda: who.take_candidates([foreign(who, 3, head=False)])
    yield "the end of the task", who.end_task


@pytest.mark.parametrize("settings", [{}, CNN])
def test_what_is_remembered_of_an_evaluation_equals_a_fresh_one(settings):
    who = grown(**settings)
    check_fresh(who, "at the start")
    different = 0
    for what, change in changes(who):
        before = accuracies(who, 3)
        change()
        different += not np.array_equal(before, check_fresh(who, what))
    assert different >= 2  # the changes are large enough to be seen


def test_what_has_not_changed_is_not_measured_again():
    who = grown()
    accuracies(who, 3)
    measured = []
    test = who.epochs._test
    who.epochs._test = lambda u, answer: measured.append(u) or test(u, answer)
    list(who.learn(3, 0))
    accuracies(who, 3)
    list(who.learn(3, 2))
    accuracies(who, 3)
    assert measured == [3, 0, 1, 2, 3]


@pytest.mark.parametrize(
    ("without", "found", "best"),
    [(0.5, (0.6, 0.7), 5), (0.5, (0.6, 0.4), 4), (0.5, (0.5, 0.5), None), (0.5, (0.1, 0.2), None)],
)
def test_the_best_of_with_and_without_candidates_is_told(without, found, best):
    who = grown(how={"candidates": 2, "threshold": -1.0})
    who.validation_accuracy = {None: without, 4: found[0], 5: found[1]}.__getitem__
    visible = []
    who.epochs._test = lambda u, answer: visible.append(who.model.active) or (0.0,)
    accuracies(who, 3)
    assert visible == [best] * 4 and who.model.active == 4  # whose turn it is has not changed


# --- what others may ask ------------------------------------------------------------------------


def test_asking_changes_nothing():
    quiet, asked = compositional(joint=2), compositional(joint=2)
    live(quiet, TASKS[:4], joint=2)
    for item in TASKS[:4]:
        asked.begin_task(item)
        for tick in range(0 if item.index < 1 else 3):
            ask(asked)
            list(asked.learn(item.index, tick))
        ask(asked)
        result_of(asked.end_task())
    assert asked.digest() == quiet.digest()


def test_facts_tell_shapes_and_the_input_stage():
    who, other, seed = compositional(0), compositional(1), compositional(0, seed=5)
    facts = who.module_facts()
    assert facts == other.module_facts()
    assert facts["input"] != seed.module_facts()["input"]  # another seed, another projection
    shapes = {"module": [8, 9], "basis": 3, "depth": 3, "head": [2, 9]}
    assert {name: facts[name] for name in shapes} == shapes
    wide = compositional(where=shape((2, 3, 5)))
    assert wide.module_facts()["input"] != other.module_facts()["input"]


def test_parts_that_are_told_are_copies():
    who = grown()
    before = who.digest()
    for part in (who.module(3), who.head_of(0), who.structure_of(2), who.host_view("shared").copy()):
        part[:] = 7
    assert who.digest() == before
    assert np.array_equal(who.module(3), who.parameters.numpy("modules")[: len(who.module(3))])


def test_prepared_rows_give_the_same_logits():
    for settings in ({}, CNN):
        who = grown(**settings)
        x = TASKS[1].test.x()
        for u in range(4):
            np.testing.assert_array_equal(who.logits_of_prepared(who.prepared(x), u), who.logits(x, u))


def test_shares_are_softmax_weights_of_what_a_task_sees():
    who = grown()
    weights = who.tables()["structures"]["share"]
    assert weights.shape == (4, 4, 3) and weights.dtype == np.float64
    np.testing.assert_allclose(weights.sum(1), 1)
    assert set(weights[:2].ravel()) == {0.0, 1.0} and (weights[:2, 3] == 0).all()
    assert (weights[2:, 3] > 0).all()
    np.testing.assert_array_equal(np.isinf(who.structure_of(0)), weights[0] == 0)
    assert compositional().tables()["structures"]["share"].shape == (0, 3, 3)


@pytest.mark.parametrize("settings", [{}, CNN])
def test_fisher_information_is_of_the_basis(settings):
    """The mean over rows of the expected square of the score, of the shared floats alone."""
    who = grown(**settings)
    list(who.learn(3, 0))
    found, flat = who.fisher(), who.parameters
    span = flat.span("shared")
    wanted = np.zeros(span.stop)
    who.model.train()  # these nets have no dropout
    who.model.learning = "all"
    z = who.model.prepare(torch.from_numpy(TASKS[3].train.x()))
    for row in z.split(1):
        for label in range(2):
            flat.zero_grad()
            log_p = who.model.heads.one(who.model.encode_rows(row, 3), 3).log_softmax(1)[0, label]
            log_p.backward()
            wanted += log_p.exp().item() * flat.grad[span].numpy().astype(np.float64) ** 2
    assert found.shape == (span.stop,) and found.any()
    np.testing.assert_allclose(found, wanted / len(z), rtol=1e-3, atol=1e-9)


@pytest.mark.parametrize("kind", ["proximal", "curvature"])
def test_terms_of_averaging_act_on_the_basis_only(kind):
    from mpidcl.learning.terms.curvature import Curvature
    from mpidcl.learning.terms.proximal import Proximal

    def one(strength: float) -> CompositionalLearner:
        who = compositional(joint=2, terms=(), how={"threshold": -1.0})
        made = Proximal(Proximal.Options(mu=strength), who)
        if kind == "curvature":
            made = Curvature(Curvature.Options(weight=strength), who)
        who.add_term(made)
        live(who, TASKS[:3], joint=2)
        who.begin_task(TASKS[3])
        reference = np.full(len(who.host_view("shared")), 0.5, dtype=np.float32)
        if kind == "proximal":
            made.set_reference(reference)
        else:
            made.set_sums(np.ones_like(reference), reference)
        return who

    free, pulled = one(0.0), one(50.0)
    for who in (free, pulled):
        list(who.learn(3, 0))
    assert free.digest() == pulled.digest()  # assimilation: the basis does not learn
    for who in (free, pulled):
        list(who.learn(3, 2))
    away = [np.abs(who.host_view("shared") - 0.5).mean() for who in (free, pulled)]
    assert away[1] < away[0]
    first = [floats(who) for who in (free, pulled)]
    assert torch.equal(first[0]["head.3"], first[1]["head.3"])


def test_separate_replay_acts_in_accommodation():
    from mpidcl.learning.terms.replay import Replay

    who = compositional(joint=2, terms=(), how={"threshold": -1.0})
    who.add_term(Replay(Replay.Options(mix="separate", rows_per_step=6), who))
    live(who, TASKS[:3], joint=2)
    who.begin_task(TASKS[3])
    state = who.rehearsal.state()
    list(who.learn(3, 0))
    assert who.rehearsal.state() == state
    before = floats(who)
    list(who.learn(3, 2))
    assert who.rehearsal.state() != state
    assert changed(who, before) == {f"module.{number}" for number in range(5)}


def test_operations_of_convolutions_are_torchs_count():
    from torch.utils.flop_counter import FlopCounterMode

    for tick, rows in ((0, 24), (2, 24 + 3 * 6)):
        who = grown(**CNN)
        told = who.counters()["flops"]
        with FlopCounterMode(display=False) as counter:
            list(who.learn(3, tick))
        counts = counter.get_flop_counts()["Global"]
        convolutions = sum(n for kind, n in counts.items() if "convolution" in str(kind))
        heads = 2 * 6 * rows * 2 * who.model.width  # visible and hidden; two classes; three products
        assert who.counters()["flops"] - told == convolutions + heads


def test_operations_of_linear_modules_by_hand():
    """24 rows, 3 depths: 5 modules of which one learns, then 4 of which none does; 8 units and a bias."""
    who = grown()
    told = who.counters()["flops"]
    list(who.learn(3, 0))
    visible = (5 + 1) + 2 * (5 + 5 + 1)
    hidden = 4 + 2 * (4 + 4)
    assert who.counters()["flops"] - told == 24 * ((visible + hidden) * 2 * 8 * 9 + 2 * 6 * 2 * 8)
    told, rows = who.counters()["flops"], 40
    who.epochs.known.clear()
    who.epochs.standing = nullcontext
    accuracies(who, 3)
    modules = 3 + 3 + 3 * 4 + 3 * 5  # at three depths: two fixed orders, task 2 with its module, task 3
    assert who.counters()["flops"] - told == rows * (modules * 2 * 8 * 9 + 4 * 2 * 2 * 8)


def test_operations_count_the_rows_that_a_separate_replay_draws():
    separate = SimpleNamespace(kind="replay", options=Replay.Options(mix="separate", rows_per_step=3))
    plain, who = grown(terms=[]), grown(terms=[separate])
    told, drawn = [one.counters()["flops"] for one in (plain, who)], []
    loss = who.terms[0].loss

    def noted(batch: Batch) -> torch.Tensor:
        drawn.extend(batch.drawn[who.terms[0]][0].heads.tolist())
        return loss(batch)

    who.terms[0].loss = noted
    for one in (plain, who):
        list(one.learn(3, 2))
    more = sum(who.model.flops(task, 1, training=True) for task in drawn)
    more += who.model.heads.flops(len(drawn), training=True)
    assert len(drawn) == 2 * 3 * 3 and set(drawn) == {0, 1, 2}
    assert who.counters()["flops"] - told[1] == plain.counters()["flops"] - told[0] + more
