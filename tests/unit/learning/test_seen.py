"""Rows after the frozen input stage: what is told once must stay as it is."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from learning_fakes import INPUT, learner, task

from mpidcl.learning.seen import PREPARED_AT_ONCE, prepare_rows

CPU = torch.device("cpu")


def rows(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random((count, *INPUT), dtype=np.float32)


@pytest.mark.parametrize("count", [0, 1, 7, PREPARED_AT_ONCE + 3])
def test_rows_are_those_of_the_input_stage(count):
    model = learner().model
    found = prepare_rows(model, rows(count), CPU)
    expected = [model.prepare(part.clone()) for part in torch.from_numpy(rows(count)).split(PREPARED_AT_ONCE)]
    assert torch.equal(found, torch.cat(expected))


@pytest.mark.parametrize("prepare", [lambda x: x, lambda x: x.flatten(1), lambda x: 2 * x.flatten(1)])
@pytest.mark.parametrize("prepares", [True, False])
def test_prepared_rows_stay_when_others_are_prepared(prepare, prepares):
    model = SimpleNamespace(prepare=prepare, prepares=prepares)
    own = rows(5)
    first = prepare_rows(model, own, CPU)
    expected = prepare(torch.from_numpy(rows(5)))
    prepare_rows(model, rows(9, seed=1), CPU)
    own[:] = 0
    assert torch.equal(first, expected)


def test_the_first_rows_may_be_those_of_an_evaluation():
    who, item = learner(), task(0)
    with torch.inference_mode():
        prepare_rows(who.model, item.test.x(), CPU)
    who.begin_task(item)
    list(who.learn(0, 0))
