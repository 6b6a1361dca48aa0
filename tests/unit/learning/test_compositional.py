"""The compositional learner: what each phase changes, against torch's own Adam, and resuming bit for bit."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from learning_fakes import accuracies, compositional, learner, live, model, shape, task
from modular_fakes import TASKS, ask, changed, floats, grown
from torch import nn
from torch.nn import functional

from mpidcl.errors import ExperimentError
from mpidcl.experiment.reading import from_toml
from mpidcl.learning.compositional.learner import CompositionalLearner
from mpidcl.learning.terms.replay import Replay
from mpidcl.testing.asking import result_of

# --- what each phase changes --------------------------------------------------------------------


def test_joint_tasks_learn_the_basis_and_their_heads():
    who = compositional(joint=2)
    who.begin_task(TASKS[0])
    result_of(who.end_task())
    who.begin_task(TASKS[1])
    before = floats(who)
    list(who.learn(1, 0))
    assert changed(who, before) == {"module.0", "module.1", "module.2", "head.0", "head.1"}
    assert set(np.unique(who.model.orders[:2])) == {0, 1, 2} and not len(who.candidates)


def test_assimilation_changes_head_structure_and_candidate_of_the_task_only():
    who = grown()
    before = floats(who)
    list(who.learn(3, 0))
    assert changed(who, before) == {"module.4", "head.3", "structure.3"}


def test_accommodation_changes_modules_only():
    who = grown()
    before = floats(who)
    list(who.learn(3, 2))
    assert changed(who, before) == {f"module.{number}" for number in range(5)}


def test_frozen_candidates_learn_in_accommodation_only():
    who = grown(how={"threshold": -1.0, "candidate": "frozen"})
    before = floats(who)
    list(who.learn(3, 0))
    assert changed(who, before) == {"head.3", "structure.3"}
    before = floats(who)
    list(who.learn(3, 2))
    assert "module.4" in changed(who, before)


def test_without_candidates_the_phases_stay():
    who = grown()
    who.candidates.close(None)
    before = floats(who)
    list(who.learn(3, 0))
    assert changed(who, before) == {"head.3", "structure.3"}
    before = floats(who)
    list(who.learn(3, 2))
    assert changed(who, before) == {f"module.{number}" for number in range(4)}


def test_no_joint_tasks_means_one_initial_task():
    who = compositional(joint=0)
    live(who, TASKS[:2])
    assert sorted(who.model.orders[0].tolist()) == [0, 1, 2] and who.model.orders[1, 0] == -1
    assert [made.task for made in who.decisions] == [1]


def test_accommodation_comes_as_often_as_asked():
    who = compositional(joint=2, epochs=6, how={"accommodate": 2})
    live(who, TASKS[:2], joint=2)
    who.begin_task(TASKS[2])
    kinds = []
    for tick in range(6):
        before = floats(who)
        list(who.learn(2, tick))
        kinds.append("module.0" in changed(who, before))
    assert kinds == [False, True] * 3


def seen_batches(who: CompositionalLearner, tick: int) -> list[tuple[int | None, Counter[int]]]:
    """The active candidate and the heads of the rows of each step of an epoch."""
    steps = []
    step = who.steps.step

    def note(batch: Any) -> None:
        steps.append((who.model.active, Counter(batch.heads.tolist())))
        yield from step(batch)

    who.steps.step = note
    list(who.learn(who.task, tick))
    del who.steps.step
    return steps


def test_rows_of_assimilation_are_those_of_the_task_and_received_for_it():
    who = grown()
    sent = task(9, rows=5).train
    who.set_received_capacity(5)
    for u in (0, 3):
        who.receive_rows(u, sent.x(), sent.y)
    visible = [rows for active, rows in seen_batches(who, 0) if active is not None]
    assert sum(visible, Counter()) == {3: 24 + 5}


def test_rows_of_accommodation_are_all():
    who = grown()
    sent = task(9, rows=5).train
    who.set_received_capacity(5)
    for u in (0, 3):
        who.receive_rows(u, sent.x(), sent.y)
    steps = seen_batches(who, 2)
    for wanted in (None, 4):
        rows = [heads for active, heads in steps if active == wanted]
        assert sum(rows, Counter()) == {3: 24 + 5, 0: 6 + 5, 1: 6, 2: 6}


def test_candidates_take_turns():
    who = grown(how={"candidates": 3, "threshold": -1.0})
    first, second, third = who.candidates.places
    assert (first, second, third) == (4, 5, 6)
    turns = [active for active, _ in seen_batches(who, 0)]
    assert turns == [4, None, 5, None, 6, None]  # 24 rows, 8 in a batch
    turns = [active for active, _ in seen_batches(who, 2)]
    count = len(turns) // 3
    assert turns == [4, None] * (count // 2) + [5, None] * (count // 2) + [6, None] * (count // 2)


def test_each_step_of_a_batch_draws_and_uses_its_own_old_rows():
    """What the visible step drew for a separate replay is not learned in the hidden one."""
    separate = SimpleNamespace(kind="replay", options=Replay.Options(mix="separate", rows_per_step=1))
    who = grown(terms=[separate])
    used = []
    active = who.epochs.active
    who.epochs.active = lambda present: used.append(np.flatnonzero(present).tolist()) or active(present)
    for _ in range(4):
        list(who.learn(3, 2))
    assert len(used) == 4 * 3 * 2 and all(len(tasks) == 2 and tasks[1] == 3 for tasks in used)


# --- against torch ------------------------------------------------------------------------------


class Twin(nn.Module):
    """The published net in a few lines; a hidden module takes no part in the softmax."""

    def __init__(self, who: CompositionalLearner) -> None:
        super().__init__()
        units = who.model.width
        self.components = nn.ModuleList(nn.Linear(units, units) for _ in range(who.model.kept + 1))
        self.decoder = nn.ModuleList(nn.Linear(units, 2) for _ in range(5))
        self.structure = nn.ParameterList(torch.ones(len(self.components), who.model.depth) for _ in range(5))
        self.orders = torch.from_numpy(who.model.orders)
        self.seen = who.model.seen.tolist()
        with torch.no_grad():
            for number, component in enumerate(self.components):
                block = who.model.module(number)
                component.weight.copy_(block[:, :-1])
                component.bias.copy_(block[:, -1])
            for number, decoder in enumerate(self.decoder):
                decoder.weight.copy_(who.model.heads.block[number, :, :-1])
                decoder.bias.copy_(who.model.heads.block[number, :, -1])
                self.structure[number].copy_(who.model.structures[number, : len(self.components)])

    def forward(self, values: torch.Tensor, task: int, visible: bool) -> torch.Tensor:
        count = self.seen[task] + int(visible and task == 3)
        weights = torch.softmax(self.structure[task][:count], 0)
        for depth in range(weights.shape[1]):
            order = self.orders[task, depth]
            if order >= 0:
                values = functional.relu(self.components[order](values))
                continue
            each = [functional.relu(f(values)) for f in self.components[:count]]
            values = sum(weights[j, depth] * each[j] for j in range(count))
        return self.decoder[task](values)

    def step(self, optimizer: torch.optim.Adam, batch: SimpleNamespace, visible: bool, learns: Any) -> None:
        for name, parameter in self.named_parameters():
            parameter.requires_grad_(learns(name))
        optimizer.zero_grad()
        loss = 0
        for t in batch.heads.unique().tolist():
            own = batch.heads == t
            logits = self(batch.z[own], t, visible)
            loss = loss + functional.cross_entropy(logits, batch.y[own], reduction="sum")
        (loss / len(batch.y)).backward()
        optimizer.step()


def batches(who: CompositionalLearner, tick: int) -> list[SimpleNamespace]:
    who.epochs.enter(accommodating=tick == 2)
    return [
        SimpleNamespace(z=b.z.clone(), y=b.y.clone(), heads=b.heads.clone()) for b in who.epochs.batches()
    ]


def test_a_task_is_learned_as_with_torchs_adam():
    """Two epochs of assimilation and one of accommodation, step by step, at float tolerance."""
    who, source = (grown(reset_optimizer=True) for _ in range(2))
    twin = Twin(who)
    optimizer = torch.optim.Adam(twin.parameters(), lr=1e-2)
    phases = [lambda name: name.startswith(("components.4", "decoder.3", "structure.3"))] * 2
    phases.append(lambda name: name.startswith("components"))
    for tick, learns in enumerate(phases):
        for batch in batches(source, tick):
            twin.step(optimizer, batch, True, learns)
            hidden = learns if tick == 2 else lambda name: name.startswith(("decoder.3", "structure.3"))
            twin.step(optimizer, batch, False, hidden)
        list(who.learn(3, tick))
    close = {"rtol": 1e-3, "atol": 2e-5}
    for number, component in enumerate(twin.components):
        block = torch.cat([component.weight, component.bias[:, None]], 1).detach()
        torch.testing.assert_close(who.model.module(number), block, **close)
    for number, decoder in enumerate(twin.decoder):
        block = torch.cat([decoder.weight, decoder.bias[:, None]], 1).detach()
        torch.testing.assert_close(who.model.heads.block[number].detach(), block, **close)
    torch.testing.assert_close(who.model.structures.detach()[3, :5], twin.structure[3].detach(), **close)


def test_learning_beats_chance_and_modules_are_kept():
    options = {"width": 32, "depth": 3, "dropout": 0.0}
    who = compositional(joint=2, options=options, lr=5e-3, capacity="16 rows per task")
    live(who, [task(i, rows=60) for i in range(5)], ticks=15, joint=2)
    assert accuracies(who, 4).min() > 0.8


# --- the rest -----------------------------------------------------------------------------------


def test_agents_with_one_beginning_leave_it_alike():
    made = []
    for agent in (0, 1):
        settings = {"kind": "compositional-mlp", "options": {"width": 8, "depth": 3}, "joint": 2}
        who = compositional(agent, **settings)
        where = replace(shape(joint=2), joint_shared=True)
        who = CompositionalLearner(who.experiment, agent, where)
        live(who, TASKS[:2], joint=2)
        made.append(who)
    assert made[0].digest() == made[1].digest()
    np.testing.assert_array_equal(made[0].model.orders, made[1].model.orders)
    for who in made:
        who.begin_task(TASKS[2])
    assert not np.array_equal(made[0].module(3), made[1].module(3))  # from here each draws for itself


def test_the_same_seed_repeats_and_another_agent_differs():
    digests = []
    for agent in (0, 0, 1):
        who = compositional(agent, joint=2)
        live(who, TASKS[:3], joint=2)
        digests.append(who.digest())
    assert digests[0] == digests[1] != digests[2]


def test_nothing_draws_from_a_global_generator(untouched_global_generators):
    who = grown()
    list(who.learn(3, 0))
    ask(who)
    result_of(who.end_task())


def test_orders_of_deep_nets_are_found():
    who = compositional(joint=0, options={"width": 4, "depth": 24, "dropout": 0.0})
    assert sorted(who.model.orders[0].tolist()) == list(range(24))


def test_misfits_are_refused_with_the_fix():
    with pytest.raises(ExperimentError, match='model.kind should be a compositional.*Found "mlp"'):
        compositional(kind="mlp", options={"width": 8})
    with pytest.raises(ExperimentError, match='learning.kind should be "compositional".*"compositional-mlp"'):
        learner(kind="compositional-mlp", options={"width": 8})
    for name in ("validation_per_class", "validation_share"):
        text = 'name = "x"\nagents = 1\nmodel = {kind = "compositional-mlp"}\n'
        text += '[learning]\nkind = "compositional"\n'
        stream = f"[stream]\n{name} = 0\n"
        with pytest.raises(ExperimentError, match=f"stream.{name}: should be above 0.*candidates = 1"):
            from_toml(text + stream)
        assert from_toml(f"{text}candidates = 0\n{stream}").learning.options.candidates == 0
    incremental = replace(shape(), incremental="class")
    with pytest.raises(ExperimentError, match="stream.incremental"):
        compositional(where=incremental)
    assert isinstance(model("compositional-mlp", {}, shape()), nn.Module)
