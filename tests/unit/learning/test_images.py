"""Images out: rehearsal of ptychography keeps two images per row, goes on with the same bits; one model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from mpidcl.errors import ExperimentError
from mpidcl.experiment import kinds
from mpidcl.experiment.reading import from_toml
from mpidcl.learning.gradient.learner import GradientLearner
from mpidcl.run import simulation
from mpidcl.testing import result_of

FILE = """
name = "x"
agents = 2
[stream]
kind = "ptychography"
tasks = 2
size = 16
positions = 4
draw = "iid"
[model]
kind = "ptychonn"
width = 1
init = "he-normal"
[memory]
capacity = "5 rows"
insert = "each step"
[learning]
epochs = 2
batch = 3
objective = "images"
"""
ER = 'learning.terms=[{kind="replay", mix="batch", rows_per_step=2}]'
DERPP = 'learning.terms=[{kind="der", alpha=0.5, beta=1.0, rows_per_step=2}]'


def made(*sets: str) -> tuple[GradientLearner, Any]:
    mine = from_toml(FILE, sets).for_agent(0)
    stream = kinds.resolve("stream", mine.stream.kind)(mine, 0)
    return GradientLearner(mine, 0, stream.shape), stream


@pytest.mark.parametrize("term", [ER, DERPP])
def test_a_memory_of_images_is_learned_from_and_resumed(term: str) -> None:
    whole, stream = made(term)
    whole.begin_task(stream.task(0))
    result_of(whole.learn(0, 0))
    again, _ = made(term)
    again.load(whole.state(), stream.task)
    for who in (whole, again):
        result_of(who.learn(0, 1))
        result_of(who.end_task())
    assert again.digest() == whole.digest()
    rows = whole.memory.rows()
    assert rows["y"].shape == (5, 2, 16, 16)
    train = stream.task(0).train
    known = {row.tobytes(): y.tobytes() for row, y in zip(train.x(), train.y, strict=True)}
    assert all(known[x.tobytes()] == y.tobytes() for x, y in zip(rows["x"], rows["y"], strict=True))


def test_outputs_that_are_kept_are_those_of_their_rows() -> None:
    """Of a model that does not move; and the loss of DER++ is that of its formula."""
    who, stream = made(DERPP, "learning.optimizer=sgd", "learning.lr=1e-30")
    who.begin_task(stream.task(0))
    result_of(who.learn(0, 0))
    held = who.prepared_rows(who.memory.rows())
    torch.testing.assert_close(held.columns["logits"], who.outputs(held).detach(), rtol=1e-5, atol=1e-6)
    batch = next(iter(who.epochs.batches()))
    result_of(who.steps.step(batch))
    first, second = batch.drawn[who.terms[0]]
    away = (who.outputs(first) - first.columns["logits"]).square().mean()
    wanted = 0.5 * away + who.objective.loss_of(who.outputs(second), second.y)
    torch.testing.assert_close(who.terms[0].loss(batch), wanted)


def test_agents_learn_one_model_and_are_measured_by_both_errors(tmp_path: Path) -> None:
    sets = [ER, "learning.one_model=true", "evaluation.ahead=true"]
    assert simulation.run(from_toml(FILE, sets), tmp_path / "run", driver="inprocess", quiet=True) == 0
    found = json.loads((tmp_path / "run" / "summary.json").read_text())
    one, other = found["metrics"]["by_agent"]["final_phase_error"]
    assert one == other, "they have one model, and the same tests"
    assert {"final_amplitude_error", "final_phase_error", "fwt"} <= found["metrics"].keys()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("learning.objective=classification", 'model.kind: should be a model with heads, such as "cnn"'),
        (
            "memory.policy=class-balanced",
            'memory.policy: should be one that needs no classes, such as "reserv',
        ),
    ],
)
def test_what_needs_classes_is_refused(text: str, said: str) -> None:
    with pytest.raises(ExperimentError, match=said):
        from_toml(FILE, [text])


def test_an_objective_of_images_wants_images() -> None:
    who, stream = made("stream={kind='serial', tasks=2}", "model={kind='cnn'}")
    with pytest.raises(ExperimentError, match=r"y of Images should be real numbers \['n', 2, 8, 8\]"):
        who.begin_task(stream.task(0))
