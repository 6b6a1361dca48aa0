"""How gradients by the pixels change with the parameters: exactness, and nothing left changed."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from editing_fakes import NETS, relative, setting
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional

from mpidcl.learning.editing.operator import (
    REACH,
    input_grad_dot,
    input_gradient,
    moving,
    parameter_gradient,
)
from mpidcl.learning.editing.pattern import Pattern
from mpidcl.learning.flops import FlopMeter
from mpidcl.model.flat import FlatParameters, Placement

DIFFERENTIABLE = [name for name in NETS if "mlp" not in name]
"""Nets of torch operations alone; the MLP's layers are one node of our own unless it rests."""


class Quadratic(nn.Module):
    """loss(x) = mean over rows of (w.x)^2 / 2, whose gradients are known."""

    def __init__(self, w: list[float]) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.tensor(w))

    def forward(self, x: Tensor) -> Tensor:
        return 0.5 * (x @ self.w).square().mean()


def bits(tensor: Tensor) -> np.ndarray:
    return tensor.numpy().view(np.int32).copy()


def resting(at, call):
    """The MLP by plain layers, whose parameters still have gradients."""
    at.net.flat.rests = True
    try:
        return call()
    finally:
        at.net.flat.rests = False


def input_grad_dot_exact(loss, flat, x: Tensor, v: Tensor) -> Tensor:
    """The same by double backward: a loss of torch operations that can be differentiated twice."""
    rows = x.detach().requires_grad_()
    slopes = torch.autograd.grad(loss(rows), flat.learning, create_graph=True)
    parts = torch.split(v, [parameter.numel() for parameter in flat.learning])
    dot = sum(((a * b.view_as(a)).sum() for a, b in zip(slopes, parts, strict=True)), x.new_zeros(()))
    return torch.autograd.grad(dot, rows)[0]


def exactly(at, v: Tensor) -> Tensor:
    return resting(at, lambda: input_grad_dot_exact(at.loss, at.net.flat, at.x, v))


@pytest.mark.parametrize("name", NETS)
def test_agrees_with_double_backward(name):
    at = setting(name)
    v = at.vector()
    exact = exactly(at, v)
    assert relative(input_grad_dot(at.loss, at.net.flat, at.x, v), exact) < 1e-3
    longer = input_grad_dot(at.loss, at.net.flat, at.x, 1000 * v)
    assert relative(longer, 1000 * exact) < 1e-3


@pytest.mark.parametrize("name", ["mlp", "cnn", "resnet"])
def test_agrees_also_when_the_net_has_learned(name):
    at = setting(name)
    for _ in range(15):
        at.net.flat.data[: at.net.flat.grad.numel()].sub_(at.gradient(), alpha=0.1)
    v = at.vector()
    assert relative(input_grad_dot(at.loss, at.net.flat, at.x, v), exactly(at, v)) < 1e-3


@pytest.mark.parametrize("name", ["cnn", "resnet"])
def test_agrees_with_finite_differences_in_float64(name):
    at = setting(name)
    at.net.noise.restart(0, 0, "dropout of this step")
    v, net = at.vector(), at.net
    weights = {key: p.detach().double() for key, p in net.named_parameters()}
    buffers = {key: b.double() for key, b in net.named_buffers()}
    learning = [next(k for k, p in net.named_parameters() if p is one) for one in net.flat.learning]

    class Loss(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = net

        def forward(self, x: Tensor) -> Tensor:
            net.noise.restart(0, 0, "dropout of this step")
            return functional.cross_entropy(net.heads.one(net.encode(x), 0), at.y)

    def slope(x: Tensor) -> float:
        """<grad_theta loss(x), v> in float64."""
        own = {key: value.clone().requires_grad_(key in learning) for key, value in weights.items()}
        both = {f"net.{key}": value for key, value in {**own, **buffers}.items()}
        found = torch.autograd.grad(functional_call(Loss(), both, (x,)), [own[key] for key in learning])
        return float(torch.cat([part.flatten() for part in found]) @ v.double())

    along = torch.from_numpy(np.random.default_rng(3).normal(size=at.x.shape))
    x, h = at.x.double(), 1e-7
    expected = (slope(x + h * along) - slope(x - h * along)) / (2 * h)
    found = float((input_grad_dot(at.loss, net.flat, at.x, v).double() * along).sum())
    assert found == pytest.approx(expected, rel=2e-3)


@pytest.mark.parametrize("name", NETS)
def test_a_pattern_of_the_gradient_s_pass_gives_the_same_bits_with_a_pass_less(name):
    at, v = setting(name), setting(name).vector()
    calls = []

    def counted(x: Tensor) -> Tensor:
        calls.append(x)
        return at.loss(x)

    without = input_grad_dot(counted, at.net.flat, at.x, v)
    assert len(calls) == 3
    usual, pattern = at.gradient(), Pattern()
    gradient = parameter_gradient(at.loss, at.net.flat, at.x, pattern)
    assert np.array_equal(bits(gradient), bits(usual))
    assert not pattern.empty
    found = input_grad_dot(counted, at.net.flat, at.x, v, pattern=pattern)
    assert len(calls) == 5
    assert np.array_equal(bits(found), bits(without))


def test_an_empty_pattern_counts_as_none_and_another_net_s_is_an_error():
    at, other = setting("mlp"), setting("cnn")
    flat, v = at.net.flat, at.vector()
    usual = input_grad_dot(at.loss, flat, at.x, v)
    empty = Pattern()
    assert torch.equal(input_grad_dot(at.loss, flat, at.x, v, pattern=empty), usual)
    assert empty.empty
    pattern = Pattern()
    parameter_gradient(other.loss, other.net.flat, other.x, pattern)
    before = bits(flat.data)
    with pytest.raises(RuntimeError, match="same ReLUs and max-pools"):
        input_grad_dot(at.loss, flat, at.x, v, pattern=pattern)
    assert np.array_equal(before, bits(flat.data))


def test_has_the_known_value_for_a_quadratic():
    w, v = [1.0, -2.0, 0.5], torch.tensor([0.3, 0.1, -1.0])
    net = Quadratic(w)
    flat = FlatParameters(net, lambda _: Placement("shared"))
    x = torch.tensor([[1.0, 0.0, 2.0], [0.5, 1.0, -1.0]])
    expected = (torch.outer(x @ v, net.w.detach()) + torch.outer(x @ net.w.detach(), v)) / 2
    torch.testing.assert_close(input_grad_dot(net, flat, x, v), expected, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(input_grad_dot_exact(net, flat, x, v), expected)


@pytest.mark.parametrize("name", ["cnn", "resnet"])
def test_a_difference_across_kinks_would_be_useless(name):
    at = setting(name)
    v = at.vector()
    eps = REACH / float(v.norm())
    with moving(at.net.flat) as move:
        ends = []
        for step in (eps, -eps):
            move(v, step)
            ends.append(input_gradient(at.loss, at.net.flat, at.x))
    assert relative((ends[0] - ends[1]) / (2 * eps), exactly(at, v)) > 0.5


@pytest.mark.parametrize("name", ["mlp", "projected mlp", "resnet"])
def test_nothing_is_left_changed(name):
    at = setting(name)
    flat, v = at.net.flat, at.vector()
    flat.grad.normal_(generator=torch.Generator().manual_seed(0))
    before = bits(flat.data), bits(flat.grad), bits(at.x)
    input_grad_dot(at.loss, flat, at.x, v)
    input_gradient(at.loss, flat, at.x)
    parameter_gradient(at.loss, flat, at.x)
    assert all(np.array_equal(a, bits(b)) for a, b in zip(before, (flat.data, flat.grad, at.x), strict=True))
    assert not flat.rests
    assert all(parameter.requires_grad for parameter in flat.learning)


@pytest.mark.parametrize("at_call", [1, 2, 3])
def test_parameters_come_back_when_the_loss_raises(at_call):
    at = setting("mlp")
    before, calls = bits(at.net.flat.data), []

    def failing(x: Tensor) -> Tensor:
        calls.append(x)
        if len(calls) == at_call:
            raise ArithmeticError("no loss")
        return at.loss(x)

    with pytest.raises(ArithmeticError):
        input_grad_dot(failing, at.net.flat, at.x, at.vector())
    assert np.array_equal(before, bits(at.net.flat.data))
    assert not at.net.flat.rests
    assert all(parameter.requires_grad for parameter in at.net.flat.learning)


def test_an_input_gradient_costs_no_gradient_by_parameters():
    at, meter = setting("cnn"), FlopMeter()
    with torch.no_grad(), meter.work("forward"):
        at.loss(at.x)
    forward = meter.total
    with meter.work("input"):
        input_gradient(at.loss, at.net.flat, at.x)
    # Each product of the forward pass has one more for the gradient by its input, none for its weights.
    assert meter.total - forward == pytest.approx(2 * forward, rel=0.02)
    before = meter.total
    with meter.work("parameters"):
        at.gradient()
    assert meter.total - before > 2.5 * forward


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("name", ["mlp", "projected mlp", "cnn", "resnet"])
def test_input_gradient_is_that_of_autograd(name, training):
    at = setting(name)
    at.net.train(training)
    rows = at.x.clone().requires_grad_()
    expected = resting(at, lambda: torch.autograd.grad(at.loss(rows), rows)[0])
    torch.testing.assert_close(input_gradient(at.loss, at.net.flat, at.x), expected)


@pytest.mark.parametrize("name", NETS)
def test_parameter_gradient_is_that_of_a_training_step(name):
    at = setting(name)
    found = at.gradient()
    at.net.flat.zero_grad()
    at.loss(at.x).backward()
    torch.testing.assert_close(found, at.net.flat.grad)


def test_no_direction_and_a_bad_direction():
    at = setting("mlp")
    before = bits(at.net.flat.data)
    nothing = torch.zeros_like(at.net.flat.grad)
    assert torch.equal(input_grad_dot(at.loss, at.net.flat, at.x, nothing), torch.zeros_like(at.x))
    nothing[3] = torch.nan
    assert input_grad_dot(at.loss, at.net.flat, at.x, nothing).isnan().all()
    assert np.array_equal(before, bits(at.net.flat.data))
    with pytest.raises(ValueError, match=r"`v` should be \[\d+\].*Found \[3\]"):
        input_grad_dot(at.loss, at.net.flat, at.x, torch.ones(3))


def test_a_loss_of_other_rows_is_refused():
    at = setting("mlp")
    with pytest.raises(ValueError, match="should depend on the rows"):
        input_gradient(lambda x: at.loss(at.x), at.net.flat, at.x)


def test_a_leaf_made_while_the_parameters_rest_learns_afterwards():
    flat = setting("mlp").net.flat
    with flat.resting():
        leaf = flat.leaf("shared")
        assert not leaf.requires_grad
        assert not any(parameter.requires_grad for parameter in flat.learning)
    assert leaf.requires_grad
    (leaf * 3).sum().backward()
    assert torch.equal(flat.grad[flat.span("shared")], torch.full_like(leaf, 3))
