"""The learner of parallel streams edits its memory: rows, and what a recorded pass saves."""

from __future__ import annotations

from typing import Any
from weakref import ref

import numpy as np
import pytest
import torch
from parallel_fakes import build, live

from mpidcl.learning.combiners.base import MEMORY
from mpidcl.learning.parallel.editing import Editing
from mpidcl.learning.parallel.gradients import OwnGradient
from mpidcl.learning.parallel.learner import ParallelLearner
from mpidcl.stream.parallel.stream import ParallelStream


def test_edited_rows_stay_pixels_and_are_logged() -> None:
    learner, stream = build('learning.editing={kind="align", lr=5.0}')
    live(learner, stream)
    log, memory = learner.log, learner.memory.quota
    assert log is not None
    assert np.nanmax(log.moved_max) > 0
    kept = memory.take(memory.rows)
    assert kept.x.min() >= 0 and kept.x.max() <= 1
    assert memory.displacement(memory.rows).max() > 0
    assert len(learner.tables()["gallery"]["x"]) > 0


NETS = {
    "mlp": 'model={kind="mlp", hidden=[16, 12], dropout=0.3}',
    "projected mlp": 'model={kind="mlp", width=16, dropout=0.5}',
    "cnn": 'model={kind="cnn", channels=[4, 6], dropout=0.2}',
    "resnet": 'model={kind="resnet18", width=4, stem="cifar-pool2"}',
}


@pytest.mark.parametrize("net", NETS)
@pytest.mark.parametrize("editing", ['"align"', '{kind="random", lr=1.0, steps=2}'])
def test_a_recorded_pattern_changes_no_bit_and_saves_a_pass(
    monkeypatch: pytest.MonkeyPatch, net: str, editing: str
) -> None:
    found, flops = [], []
    for recorded in (True, False):
        if not recorded:
            monkeypatch.setattr(Editing, "pattern", lambda _: None)
        learner, stream = build(NETS[net], f"learning.editing={editing}")
        live(learner, stream)
        log, rows = learner.log, learner.memory.quota.state()["columns"]["x"]
        assert log is not None
        assert np.nanmax(log.moved_max) > 0
        found.append((learner.digest(), rows.tobytes(), log.moved_max.tobytes()))
        flops.append(learner.counters()["flops"])
    assert found[0] == found[1]
    edits = int(np.isfinite(log.moved_max).sum())
    learner.model.train()
    with learner.counted("a forward pass"), torch.no_grad():
        learner.rows.loss_of(own_of_memory(learner), 0)(torch.zeros(12, *learner.shape.input_shape))
    assert flops[1] - flops[0] == edits * (learner.counters()["flops"] - flops[1])


def own_of_memory(learner: ParallelLearner) -> OwnGradient:
    batch = learner.memory.batch(12, learner.tests.memory_mask(8))
    return OwnGradient(0, MEMORY, batch, np.zeros(1, np.float32), np.zeros(1, np.float32))


def recorded(learner: ParallelLearner, stream: ParallelStream) -> dict[int, list[int]]:
    """Of each step the tasks whose pass was recorded."""
    gradient, found = learner.rows.gradient, {}

    def watched(*arguments: Any) -> OwnGradient:
        own = gradient(*arguments)
        if own.pattern is not None:
            assert not own.pattern.empty
            found.setdefault(arguments[3], []).append(own.task)
        return own

    learner.rows.gradient = watched  # type: ignore[method-assign]
    live(learner, stream)
    return found


@pytest.mark.parametrize("editing", ["align", "conflict", "none"])
def test_only_the_memory_s_pass_is_recorded_and_only_for_an_edit_that_uses_it(editing: str) -> None:
    learner, stream = build(f'learning.editing="{editing}"')
    found = recorded(learner, stream)
    assert learner.log is not None
    with_memory = np.flatnonzero(learner.log.present[:, 0]).tolist()
    assert len(with_memory) > 3
    assert found == ({step: [MEMORY] for step in with_memory} if editing == "align" else {})


def test_the_memory_of_a_pattern_is_free_after_the_edit() -> None:
    learner, stream = build('learning.editing={kind="align", steps=2}')
    gradient, step, alive = learner.rows.gradient, learner._step, []

    def watched(*arguments: Any) -> OwnGradient:
        own = gradient(*arguments)
        if own.pattern is not None:
            alive.append(ref(own.pattern))
        return own

    def stepped(*arguments: Any) -> None:
        assert all(pattern() is None for pattern in alive)
        step(*arguments)

    learner.rows.gradient, learner._step = watched, stepped  # type: ignore[method-assign]
    live(learner, stream)
    assert alive
