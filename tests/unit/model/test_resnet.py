"""ResNet-18: stems, first weights and biases of the convolutions."""

from __future__ import annotations

import math

import pytest
import torch
from learning_fakes import model, shape

from mpidcl.model.layers import Conv

WHERE = shape((3, 32, 32), 1, 10)
PARALLEL = {"stem": "cifar-pool2", "init": "he-normal", "bias": True}
BIASES = 64 * 5 + 128 * 5 + 256 * 5 + 512 * 5
"""Output channels of the 20 convolutions: 5 at each width, the stem and a shortcut among them."""


def convolutions(net):
    return [module for module in net.modules() if isinstance(module, Conv)]


@pytest.mark.parametrize(
    ("stem", "side"), [("cifar", 8), ("cifar-pool", 4), ("cifar-pool2", 4), ("imagenet", 2)]
)
def test_stems_divide_the_sides_of_an_image(stem, side):
    net = model("resnet18", {"stem": stem, "width": 2}, WHERE)
    seen = []
    net.stages[0].register_forward_hook(lambda module, args, output: seen.append(output.shape[-1]))
    net.encode(torch.rand(2, 3, 32, 32))
    assert seen == [side * 4]


def test_the_max_pool_2x2_is_over_pixels_that_do_not_overlap():
    net = model("resnet18", {"stem": "cifar-pool2", "width": 2}, WHERE)
    given = []
    net.stages[0].register_forward_pre_hook(lambda module, args: given.append(args[0]))
    x = torch.rand(2, 3, 8, 8)
    net.eval()
    net.encode(x)
    before = torch.relu(net.stem_norm(net.stem(x)))
    wanted = before.reshape(2, 2, 4, 2, 4, 2).amax((3, 5))
    torch.testing.assert_close(given[0], wanted)


def test_biases_are_one_number_per_output_channel():
    plain, biased = (len(model("resnet18", {"bias": bias}, WHERE).flat.data) for bias in (False, True))
    assert plain == 11_173_962 and biased == plain + BIASES


def test_he_normal_weights_have_their_deviation_and_biases_are_zero():
    net = model("resnet18", PARALLEL, WHERE)
    for conv in convolutions(net):
        fan_in = conv.weight[0].numel()
        spread = conv.weight.std().item() * math.sqrt(fan_in / 2)
        assert spread == pytest.approx(1, rel=5 / math.sqrt(conv.weight.numel()))
        assert (conv.weight.abs().max() * math.sqrt(fan_in / 2)).item() > 2.5, (
            "a uniform draw ends at sqrt(3)"
        )
        assert (conv.bias == 0).all()


def test_first_weights_are_the_agents_own_and_repeat():
    net, again, other = (
        model("resnet18", PARALLEL | {"width": 2}, WHERE, agent=a).flat.data for a in (0, 0, 1)
    )
    assert torch.equal(net, again) and not torch.equal(net, other)


def test_a_bias_before_batch_norm_changes_nothing_in_training():
    net = model("resnet18", PARALLEL | {"width": 2}, WHERE)
    net.train()
    x = torch.rand(4, 3, 32, 32)
    wanted = net.encode(x)
    for conv in convolutions(net):
        conv.bias.data.uniform_(-1, 1, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(net.encode(x), wanted, rtol=1e-4, atol=1e-4)


def test_default_first_weights_are_what_they_were_before_there_were_options():
    """Pinned, because results of earlier versions can be repeated only from the same first weights."""
    data = model("resnet18", {"width": 4}, WHERE).flat.data
    assert data[:3].tolist() == pytest.approx([-0.0937641, -0.0808796, -0.0008247], abs=1e-7)
    assert data[-3:].tolist() == pytest.approx([-0.1437368, -0.1586219, 0.1340526], abs=1e-7)
    assert data.double().sum().item() == pytest.approx(310.384721, abs=1e-4)
