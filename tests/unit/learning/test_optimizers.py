"""Optimisers against torch's, with parameters that take part in some steps only (`grad=None` otherwise)."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from mpidcl.learning.optimizers import SGD, Adam, AdamW
from mpidcl.model.flat import FlatParameters, Placement

SETTINGS = [
    (SGD, torch.optim.SGD, {}),
    (SGD, torch.optim.SGD, {"momentum": 0.9}),
    (SGD, torch.optim.SGD, {"momentum": 0.5, "weight_decay": 0.1}),
    (Adam, torch.optim.Adam, {}),
    (Adam, torch.optim.Adam, {"betas": (0.7, 0.9), "eps": 1e-4, "weight_decay": 0.1}),
    (AdamW, torch.optim.AdamW, {"weight_decay": 0.1}),
]
PARTS = (7, 130, 1, 64)
# Which parts take part at each step: the second appears late, the third pauses, the last never comes.
PLAN = [(0, 2), (0, 2), (0, 1), (0, 1, 2), (1,), (0, 1, 2), (2,)] * 3


class Parts(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.parts = nn.ParameterList(torch.randn(size, generator=generator) for size in PARTS)


def learning(**changes) -> SimpleNamespace:
    plain = {"lr": 0.01, "momentum": 0.0, "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0.0}
    return SimpleNamespace(**(plain | changes))


def gradients(step: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(step + 1)
    return [torch.randn(size, generator=generator) for size in PARTS]


def ours(kind, changes, use_torch_form: bool = False, plan=PLAN, stop_at: int | None = None):
    flat = FlatParameters(Parts(), lambda name: Placement("shared"))
    optimizer = kind(flat, learning(**changes))
    if use_torch_form:
        optimizer._arrays = []
    for step, parts in enumerate(plan):
        if step == stop_at:
            state = {"optimizer": optimizer.state(), "flat": flat.state()}
            flat = FlatParameters(Parts(), lambda name: Placement("shared"))
            optimizer = kind(flat, learning(**changes))
            optimizer.load(state["optimizer"])
            flat.load(state["flat"])
        flat.grad.copy_(torch.cat(gradients(step)))
        optimizer.step(np.isin(np.arange(len(PARTS)), parts))
    return flat.data


@pytest.mark.parametrize("use_torch_form", [False, True], ids=["compiled", "torch form"])
@pytest.mark.parametrize(("kind", "reference", "changes"), SETTINGS)
def test_steps_equal_torchs_with_absent_gradients(kind, reference, changes, use_torch_form):
    net = Parts()
    optimizer = reference(net.parameters(), lr=0.01, **changes)
    for step, parts in enumerate(PLAN):
        for index, (parameter, gradient) in enumerate(zip(net.parts, gradients(step), strict=True)):
            parameter.grad = gradient if index in parts else None
        optimizer.step()
    found = ours(kind, changes, use_torch_form)
    torch.testing.assert_close(found, torch.cat([p.detach() for p in net.parts]), rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize(("kind", "reference", "changes"), SETTINGS[::2])
def test_going_on_from_a_state_gives_the_same_bits(kind, reference, changes):
    assert torch.equal(ours(kind, changes), ours(kind, changes, stop_at=9))


def two_vectors(kind, changes, use_torch_form: bool, second: float | None):
    """Weights after PLAN, the second moment being of other vectors, `second` times as long."""
    flat = FlatParameters(Parts(), lambda name: Placement("shared"))
    optimizer = kind(flat, learning(**changes))
    if use_torch_form:
        optimizer._arrays = []
    for step, parts in enumerate(PLAN):
        flat.grad.copy_(torch.cat(gradients(step)))
        other = None if second is None else second * torch.cat(gradients(step + 1000))
        optimizer.step(np.isin(np.arange(len(PARTS)), parts), other)
    return flat.data


@pytest.mark.parametrize(("kind", "changes"), [(kind, changes) for kind, _, changes in SETTINGS[3:]])
def test_torch_form_and_kernel_agree_on_the_square_of_another_vector(kind, changes):
    compiled, in_torch = (two_vectors(kind, changes, form, 3.0) for form in (False, True))
    torch.testing.assert_close(compiled, in_torch, rtol=2e-5, atol=2e-6)
    plain = two_vectors(kind, changes, False, None)
    assert (compiled[-64:] == plain[-64:]).all()  # never active
    moved = (plain != compiled)[:-64]
    assert moved.float().mean() > 0.9


@pytest.mark.parametrize("use_torch_form", [False, True], ids=["compiled", "torch form"])
def test_without_betas_a_step_is_the_gradient_over_the_length_of_the_other(use_torch_form):
    flat = FlatParameters(Parts(), lambda name: Placement("shared"))
    optimizer = Adam(flat, learning(betas=(0.0, 0.0), eps=1e-12))
    optimizer._arrays = [] if use_torch_form else optimizer._arrays
    before, other = flat.data.clone(), 1 + torch.rand(flat.grad.shape, generator=torch.Generator())
    flat.grad.fill_(1)
    optimizer.step(np.ones(len(PARTS), dtype=bool), -other)
    torch.testing.assert_close(before - flat.data, 0.01 / other, rtol=1e-4, atol=1e-7)


def test_sgd_has_no_second_moment():
    flat = FlatParameters(Parts(), lambda name: Placement("shared"))
    optimizer, before = SGD(flat, learning()), flat.data.clone()
    flat.grad.fill_(1)
    with pytest.raises(ValueError, match="`square_of` should be None: SGD has no second moment"):
        optimizer.step(np.ones(len(PARTS), dtype=bool), flat.grad)
    assert torch.equal(flat.data, before) and not optimizer.steps.any()


def test_a_part_that_never_takes_part_never_moves():
    assert torch.equal(ours(AdamW, {"weight_decay": 0.5})[-64:], Parts().parts[3].detach())


def test_reset_forgets_moments_and_counts():
    flat = FlatParameters(Parts(), lambda name: Placement("shared"))
    optimizer = Adam(flat, learning())
    flat.grad.fill_(1)
    optimizer.step(np.ones(len(PARTS), dtype=bool))
    optimizer.reset()
    assert not optimizer.steps.any() and not any(moment.any() for moment in optimizer.moments.values())
    before = flat.data.clone()
    optimizer.step(np.ones(len(PARTS), dtype=bool))
    torch.testing.assert_close(before - flat.data, torch.full_like(before, 0.01), rtol=1e-4, atol=0)


def test_a_schedule_writes_the_step_size_and_a_checkpoint_has_it():
    flat = FlatParameters(Parts(), lambda name: Placement("shared"))
    optimizer, again = SGD(flat, learning()), SGD(flat, learning())
    optimizer.lr = 0.5
    again.load(optimizer.state())
    assert again.lr == 0.5
    before = flat.data.clone()
    flat.grad.fill_(1.0)
    again.step(np.ones(len(again.steps), dtype=np.bool_))
    torch.testing.assert_close(flat.data, before - 0.5)
