"""Rows that are offered to the memory at each step: which ones, with what beside them, by which law."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch
from learning_fakes import learner, live, shape, task

from mpidcl.errors import ExperimentError
from mpidcl.experiment.reading import from_toml
from mpidcl.learning import rehearsal
from mpidcl.learning.batches import Batch
from mpidcl.learning.gradient.learner import GradientLearner
from mpidcl.learning.rehearsal import positions
from mpidcl.learning.terms.base import Draw, Term
from mpidcl.learning.terms.ewc import EWC
from mpidcl.learning.terms.replay import Replay
from mpidcl.memory.buffer import Column
from mpidcl.testing.asking import result_of

TASKS = [task(index) for index in range(3)]
EACH = {"insert": "each step", "capacity": "10 rows"}


class Outputs(Term):
    """Keeps the outputs that each row had, and says what they were."""

    name = "outputs"
    had: list[tuple[bytes, list[float]]]

    def columns(self) -> tuple[Column, ...]:
        return (Column("logits", "float32", (2,)),)

    def values(self, batch: Batch) -> dict[str, torch.Tensor]:
        rows = zip(batch.z, batch.logits.tolist(), strict=True)
        self.had += [(z.numpy().tobytes(), outputs) for z, outputs in rows]
        return {"logits": batch.logits}

    def draws(self) -> tuple[Draw, ...]:
        return (Draw(4),)


def watched(**settings: object) -> GradientLearner:
    who = learner(terms=(), **(EACH | settings))
    term = Outputs(None, who)
    term.had = []
    who.add_term(term)
    return who


@pytest.mark.parametrize("insert", [{}, EACH])
def test_rows_that_nobody_reads_are_not_kept_and_nothing_else_changes(insert, monkeypatch):
    idle = learner(terms=("ewc",), **insert)
    monkeypatch.setattr(EWC, "reads_memory", True)
    filled = learner(terms=("ewc",), **insert)
    for one in (idle, filled):
        live(one, TASKS[:2])
    assert idle.digest() == filled.digest() and idle.counters()["flops"] == filled.counters()["flops"]
    assert len(filled.memory) > 0 == len(idle.memory) == idle.counters()["replay_bytes"]
    assert GradientLearner.remembers(learner(terms=("replay",)).experiment)


@pytest.mark.parametrize("options", [{"width": 8}, {"hidden": [12]}])
def test_each_row_is_offered_with_the_outputs_that_it_had(options):
    who = watched(options=options)
    live(who, TASKS[:2], ticks=2)
    rows = who.prepared_rows(who.memory.rows())
    had = who.terms[0].had
    assert 0 < len(had) <= 2 * 2 * 20 and len(rows) == 10
    for z, outputs in zip(rows.z, rows.columns["logits"].tolist(), strict=True):
        assert (z.numpy().tobytes(), outputs) in had
    stored = who.memory.rows()
    for index in (0, 1):
        own = {x.tobytes(): y for x, y in zip(TASKS[index].train.x(), TASKS[index].train.y, strict=True)}
        mine = stored["task"] == index
        assert [own[x.tobytes()] for x in stored["x"][mine]] == stored["y"][mine].tolist()


def test_only_rows_of_the_task_are_offered_after_the_step_that_drew():
    who = learner(**EACH, terms=("replay",))
    live(who, TASKS[:1], ticks=1)
    who.begin_task(TASKS[1])
    offered = []
    offer = who.memory.offer
    who.memory.offer = lambda task, head, y, give: (
        offered.append((task, len(y))) or offer(task, head, y, give)
    )
    list(who.learn(1, 0))
    assert {index for index, _ in offered} == {1} and sum(count for _, count in offered) == 20


def test_joint_tasks_offer_the_rows_of_each():
    who = watched(joint=2, capacity="40 rows")
    for item in TASKS[:2]:
        who.begin_task(item)
    list(who.learn(1, 0))
    result_of(who.end_task())
    assert Counter(who.memory.rows()["task"].tolist()) == {0: 20, 1: 20}


def test_a_reservoir_keeps_every_row_of_the_stream_alike():
    """After each number k of rows offered, each of them is kept with probability N / k."""
    kept, offered = np.zeros((3, 60)), (20, 40, 60)
    runs = 150
    for agent in range(runs):
        who = learner(agent, terms=("gem",), **EACH, batch=20, where=shape(heads=1))
        seen: dict[bytes, int] = {}
        for moment, item in enumerate(TASKS):
            who.begin_task(task(item.index, head=0))
            batch = next(iter(who.epochs.batches()))
            for z in batch.z:
                seen[z.numpy().tobytes()] = len(seen)
            who.insertion.step(batch)
            rows = who.prepared_rows(who.memory.rows())
            kept[moment, [seen[z.numpy().tobytes()] for z in rows.z]] += 1
    for moment, count in enumerate(offered):
        share = 10 / count
        error = np.sqrt(share * (1 - share) / runs)
        assert np.abs(kept[moment, :count] / runs - share).max() < 4.5 * error
        assert not kept[moment, count:].any()


def test_what_is_filled_at_each_step_goes_on_after_a_checkpoint():
    for policy in ("reservoir", "class-balanced"):
        straight, first, second = (watched(policy=policy) for _ in range(3))
        live(straight, TASKS, ticks=2)
        live(first, TASKS[:2], ticks=2)
        second.load(first.state(), TASKS.__getitem__)
        live(second, TASKS[2:], ticks=2)
        assert second.digest() == straight.digest()
        found, wanted = second.memory.rows(), straight.memory.rows()
        assert all(np.array_equal(found[name], wanted[name]) for name in wanted)


def test_experience_replay_draws_from_the_stream_so_far():
    who = learner(terms=(), **EACH)
    who.add_term(Replay(Replay.Options(mix="separate", rows_per_step=3), who))
    who.begin_task(TASKS[0])
    counts = []
    loss = who.terms[0].loss
    who.terms[0].loss = lambda batch: (
        counts.append(sum(map(len, batch.drawn.get(who.terms[0], ())))) or loss(batch)
    )
    list(who.learn(0, 0))
    assert counts == [0, 3, 3]


FILE = 'name = "x"\nagents = 1\n'


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            '[learning]\nkind = "compositional"\n[model]\nkind = "compositional-mlp"',
            "memory.insert.*compositional",
        ),
        (
            '[learning]\nkind = "parallel"\n[stream]\nkind = "parallel"\n[memory]\npolicy = "class-quota"',
            "memory.insert.*parallel",
        ),
        ('[memory]\ncapacity = "10 %"', "memory.capacity.*each step"),
    ],
)
def test_who_cannot_says_so(text, said):
    whole = FILE + text + ("" if "[memory]" in text else "\n[memory]") + '\ninsert = "each step"'
    with pytest.raises(ExperimentError, match=said):
        from_toml(whole)


@pytest.mark.parametrize("policy", ["reservoir", "fifo", "overwrite", "class-balanced"])
@pytest.mark.parametrize("capacity", ["7 rows", "3 rows per class"])
def test_rows_that_are_made_only_if_they_stay_are_those_that_a_push_would_keep(policy, capacity):
    pushed, offered = (learner(policy=policy, capacity=capacity, terms=()).memory for _ in range(2))
    for index, item in enumerate(TASKS):
        x, y = item.train.x(), item.train.y.astype(np.int64)
        made: list[int] = []
        for part in np.split(np.arange(20), (3, 4, 15)):
            columns = {
                "x": x[part],
                "z": np.repeat(x[part, 0, 0, :1], 64, 1)[:, : pushed.columns[-1].shape[0]],
            }

            def give(kept, columns=columns, made=made):
                made.extend(kept)
                return {name: values[kept] for name, values in columns.items()}

            assert pushed.push(index, index, y[part], columns) == offered.offer(index, index, y[part], give)
        assert len(made) < 20 or index == 0
    found, wanted = offered.rows(), pushed.rows()
    assert all(np.array_equal(found[name], wanted[name]) for name in wanted)


@pytest.mark.parametrize("many", [0, 64])
def test_a_quick_draw_is_a_uniform_set(many, monkeypatch):
    monkeypatch.setattr(rehearsal, "MANY", many)  # 0: as from a large memory
    """Of 5 rows each of the 10 pairs a tenth of the time; all rows where the memory has no more."""
    rng = np.random.default_rng(0)
    pairs = Counter(tuple(sorted(positions(Draw(2, quick=True), 5, rng).tolist())) for _ in range(4000))
    assert len(pairs) == 10 and max(abs(count - 400) for count in pairs.values()) < 4.5 * np.sqrt(360)
    assert positions(Draw(9, quick=True), 4, rng).tolist() == [0, 1, 2, 3]
