"""Looks between the layers of a network: no trace of them in what it computes, nor in copies."""

from __future__ import annotations

import copy
import io

import pytest
import torch

from mpidcl.model.polled import Rarely, hang_in


def test_layers_and_gradients_poll_and_nothing_else_changes():
    net = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.ReLU(inplace=True), torch.nn.Linear(4, 2))
    net[0].bias.requires_grad_(False)
    plain, x, seen = copy.deepcopy(net), torch.randn(5, 3), []
    with hang_in(net, lambda: seen.append(1), every=0):
        out = net(x)
        assert len(seen) == 4  # three layers, and the whole
        out.square().mean().backward()
        assert len(seen) == 4 + 3  # gradients of what it learns
        torch.autograd.grad(net(x).sum(), [net[2].weight])
        assert len(seen) == 7 + 4 + 1
    net(x).sum()
    assert len(seen) == 12
    plain(x).square().mean().backward()
    assert torch.equal(plain(x), out)
    assert torch.equal(plain[2].weight.grad, net[2].weight.grad)


@pytest.mark.filterwarnings("error")
def test_copies_have_no_hooks():
    net, seen = torch.nn.Linear(2, 2), []
    hung = hang_in(net, lambda: seen.append(1), every=0)
    file = io.BytesIO()
    torch.save(net, file)
    file.seek(0)
    for other in (copy.deepcopy(net), torch.load(file, weights_only=False)):
        other(torch.ones(1, 2)).sum().backward()
    assert not seen
    hung.remove()
    hung.remove()


@pytest.mark.parametrize("first", ["hooks", "compiler"])
def test_a_compiled_network_is_one_piece_and_computes_the_same(first):
    """A compiler that saw the hooks would cut its graph at each, or refuse."""
    torch.compiler.reset()
    net, seen, x = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Linear(4, 2)), [], torch.ones(2, 3)
    expected = net(x)
    if first == "hooks":
        hang_in(net, lambda: seen.append(1), every=0)
    compiled = torch.compile(net, backend="eager", fullgraph=True)
    if first == "compiler":
        hang_in(net, lambda: seen.append(1), every=0)
    out = compiled(x)
    assert torch.equal(out, expected) and not seen
    out.sum().backward()
    assert len(seen) == 4  # gradients come by themselves


def test_polls_are_rare():
    seen = []
    hook = Rarely(lambda: seen.append(1), 1000.0)
    for _ in range(5):
        hook("anything")
    assert len(seen) == 1
