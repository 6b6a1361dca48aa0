"""ReLUs and max-pools decide once, and then as they did."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from mpidcl.learning.editing.pattern import Pattern, deciding
from mpidcl.model.dense import DenseStack

RELUS = {
    "functional": functional.relu,
    "functional, in place": lambda x: functional.relu(x, inplace=True),
    "torch": torch.relu,
    "method": lambda x: x.relu(),
    "method in place, result unused": lambda x: (x.relu_(), x)[1],
    "torch in place": torch.relu_,
    "module": nn.ReLU(),
    "module, in place": nn.ReLU(inplace=True),
}
POOLS = {
    "functional": lambda x: functional.max_pool2d(x, 2),
    "with padding": lambda x: functional.max_pool2d(x, 3, stride=2, padding=1),
    "torch": lambda x: torch.max_pool2d(x, 2),
    "module": nn.MaxPool2d(3, 2, 1),
    "rounded up": lambda x: functional.max_pool2d(x, 2, ceil_mode=True),
}


def two(seed: int = 0) -> tuple[Tensor, Tensor]:
    torch.manual_seed(seed)
    return torch.randn(2, 3, 7, 7), torch.randn(2, 3, 7, 7)


@pytest.mark.parametrize("relu", RELUS.values(), ids=RELUS)
def test_relus_stay_open_where_they_were(relu):
    first, second = two()
    pattern = Pattern()
    with pattern.deciding():
        assert torch.equal(relu(first.clone()), first.clamp_min(0))
    expected = second * (first > 0)
    for _ in range(2):
        leaf = second.clone().requires_grad_()
        with pattern.held():
            held = relu(leaf * 1)
        assert torch.equal(held, expected)
        held.sum().backward()
        assert torch.equal(leaf.grad, (first > 0).float())


@pytest.mark.parametrize("pool", POOLS.values(), ids=POOLS)
def test_pools_pick_the_pixels_that_won(pool):
    first, second = two()
    usual = pool(first)
    pattern = Pattern()
    with pattern.deciding():
        assert torch.equal(pool(first), usual)
    with pattern.held():
        won = pool(torch.arange(first.numel(), dtype=torch.float64).view_as(first)).long()
    assert torch.equal(first.flatten()[won], usual)
    leaf = second.clone().requires_grad_()
    with pattern.held():
        pool(leaf).sum().backward()
    expected = torch.zeros(first.numel()).index_add_(0, won.flatten(), torch.ones(won.numel()))
    assert torch.equal(leaf.grad.flatten(), expected)


def test_each_call_has_its_own_decision_in_order():
    first, second = two()
    pattern = Pattern()
    with pattern.deciding():
        torch.relu(first)
        functional.max_pool2d(second, 7)
        torch.relu(second)
    with pattern.held():
        assert torch.equal(torch.relu(torch.ones_like(first)), (first > 0).float())
        assert functional.max_pool2d(second, 7).numel() == 6
        assert torch.equal(torch.relu(torch.ones_like(first)), (second > 0).float())


def test_a_unit_takes_a_byte_until_it_is_held_and_is_a_number_from_then_on():
    first, second = two()
    pattern = Pattern()
    with pattern.deciding():
        torch.relu(first)
        functional.max_pool2d(second, 2)
    kept, winners = pattern._decided
    assert kept.dtype == torch.bool and kept.nbytes == first.numel()
    held = []
    for _ in range(2):
        with pattern.held():
            assert torch.equal(torch.relu(second), second * (first > 0))
            functional.max_pool2d(first, 2)
        held.append(pattern._decided[0])
    assert held[0].dtype == first.dtype
    assert held[0] is held[1]
    assert pattern._decided[1] is winners


def test_a_copy_is_held_for_itself():
    first, second = two()
    pattern = Pattern()
    with pattern.deciding():
        torch.relu(first)
    with pattern.copy().held():
        assert torch.equal(torch.relu(second), second * (first > 0))
    assert pattern._decided[0].dtype == torch.bool


def test_deciding_again_forgets_and_no_pattern_decides_nothing():
    first, second = two()
    pattern = Pattern()
    assert pattern.empty
    for x in (first, second):
        with deciding(pattern):
            torch.relu(x)
    assert not pattern.empty
    with pattern.held():
        assert torch.equal(torch.relu(torch.ones_like(first)), (second > 0).float())
    with deciding(None):
        assert torch.equal(torch.relu(first), first.clamp_min(0))


@pytest.mark.parametrize("drops", [False, True])
def test_a_dense_stack_decides_as_its_layers_do(drops):
    sizes = [6, 8, 5]
    weights = torch.randn(6 * 8 + 8 + 8 * 5 + 5, generator=torch.Generator().manual_seed(0))
    flat = weights.clone().requires_grad_()
    flat.grad = torch.zeros_like(flat)
    stack = DenseStack(flat, sizes)
    first, second = torch.randn(2, 10, 6, generator=torch.Generator().manual_seed(1))
    masks = [2.0 * (torch.rand(10, size) < 0.5) for size in sizes[1:]] if drops else []

    def layers(z: Tensor) -> Tensor:
        for index, layer in enumerate(stack.layers):
            z = torch.relu(functional.linear(z, layer.weight, layer.bias))
            z = z * masks[index] if drops else z
        return z

    patterns = Pattern(), Pattern()
    with patterns[0].deciding():
        encoded = stack(first, masks, 2.0 if drops else 1.0)
    with patterns[1].deciding():
        assert torch.equal(layers(first), encoded)
    usual = stack(first, masks, 2.0 if drops else 1.0)
    assert torch.equal(encoded, usual)
    found = []
    for pattern in patterns:
        with pattern.held():
            found.append(layers(second))
    assert torch.equal(found[0].view(torch.int32), found[1].view(torch.int32))
    assert not torch.equal(found[0], layers(second))
    with pytest.raises(RuntimeError, match="same ReLUs"), patterns[0].held():
        stack(second, masks)


def test_other_functions_and_later_calls_are_as_always():
    first, _ = two()
    pattern = Pattern()
    with pattern.deciding():
        torch.relu(first)
    with pattern.held():
        values, places = functional.max_pool2d(first, 2, return_indices=True)
        assert torch.equal(values, functional.max_pool2d(first, 2, return_indices=True)[0])
        assert places.dtype == torch.int64
        torch.relu(first)
    assert torch.equal(torch.relu(-first), (-first).clamp_min(0))


@pytest.mark.parametrize(
    "calls",
    [
        lambda x: None,
        lambda x: (torch.relu(x), torch.relu(x)),
        lambda x: functional.max_pool2d(x, 2),
    ],
    ids=["fewer", "more", "another kind"],
)
def test_other_calls_than_before_are_an_error(calls):
    first, _ = two()
    pattern = Pattern()
    with pattern.deciding():
        torch.relu(first)
    with pytest.raises(RuntimeError, match="same ReLUs and max-pools"), pattern.held():
        calls(first)
