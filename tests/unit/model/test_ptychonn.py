"""PtychoNN: published sizes, two images per row, every weight in the flat tensor and drawn by the agent."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from learning_fakes import model, shape
from torch.nn import functional

from mpidcl.errors import ExperimentError
from mpidcl.model.ptychonn import by_products, doubled

SIDE = 16
WHERE = shape((1, SIDE, SIDE), heads=1, classes=2 * SIDE * SIDE)


def net(agent: int = 0, **options: Any) -> Any:
    return model("ptychonn", {"width": 2, **options}, WHERE, agent=agent)


def test_published_sizes():
    """Encoder 1-32-64-128-256, two decoders 256-256-128-64-32-1, convolutions 3x3 with biases."""
    encoder = [1, 32, 64, 128, 256]
    decoder = [256, 256, 128, 64, 32]
    of = lambda inputs, outputs: (9 * inputs + 1) * outputs  # noqa: E731
    stages = [
        sum(of(a, b) + of(b, b) for a, b in zip(plan, plan[1:], strict=False)) for plan in (encoder, decoder)
    ]
    flat = model("ptychonn", {}, WHERE).flat
    assert len(flat.data) == stages[0] + 2 * (stages[1] + of(32, 1)) == 4_694_690
    shared = flat.span("shared")
    assert (shared.start, shared.stop) == (0, len(flat.data)), "all of it may be averaged, there are no heads"


def test_the_outputs_are_an_amplitude_and_a_phase_within_pi():
    one = net(init="he-normal")
    rows = torch.rand(3, 1, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    encoded = one.encode(100 * rows)
    assert encoded.shape == (3, one.width) == (3, 16)
    outputs = one.logits(encoded, torch.zeros(3, dtype=torch.int64))
    assert outputs.shape == (3, 2 * SIDE * SIDE) and torch.equal(outputs, one.outputs_of(encoded, 0))
    amplitude, phase = outputs.view(3, 2, SIDE, SIDE).unbind(1)
    values = encoded.view(3, 16, 1, 1)
    assert torch.equal(amplitude, one.amplitude(values)[:, 0])
    assert torch.equal(phase, math.pi * torch.tanh(one.phase(values)[:, 0]))
    assert torch.equal(one.encode(rows[:, 0]), one.encode(rows)), "an image needs no axis of channels"
    scaled = net(init="he-normal", mean=[0.5], std=[0.1])
    torch.testing.assert_close(scaled.encode(rows), one.encode((rows - 0.5) / 0.1))


def test_agents_draw_their_own_weights_and_all_of_them_learn():
    first, again, other = (net(agent) for agent in (0, 0, 1))
    assert torch.equal(first.flat.data, again.flat.data)
    assert not torch.equal(first.flat.data, other.flat.data)
    one = net(init="he-normal")
    rows = torch.rand(4, 1, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    one.outputs_of(one.encode(rows), 0).square().sum().backward()
    unmoved = [name for name, p in one.named_parameters() if not p.grad.abs().sum()]
    assert unmoved == [] and one.flat.grad.abs().sum() > 0


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (5, 4)])
def test_both_ways_of_doubling_give_the_same(size: tuple[int, int]):
    x = torch.rand(2, 3, *size, generator=torch.Generator().manual_seed(0), requires_grad=True)
    wanted = functional.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
    assert torch.equal(doubled(x), wanted)
    torch.testing.assert_close(by_products(x), wanted)
    weights = torch.arange(wanted.numel(), dtype=torch.float32).view_as(wanted)
    slopes = [torch.autograd.grad((way(x) * weights).sum(), x)[0] for way in (doubled, by_products)]
    torch.testing.assert_close(*slopes)


def test_an_image_of_a_line_is_doubled_by_hand():
    line = torch.tensor([[[[0.0, 4.0, 8.0]]]])
    np.testing.assert_array_equal(by_products(line)[0, 0, 0].numpy(), [0, 1, 3, 5, 7, 8])


@pytest.mark.parametrize(
    "where",
    [shape((1, 24, 24), 1, 2 * 24 * 24), shape((1, SIDE, SIDE), 1, 10), shape((1, SIDE, SIDE), 2, 512)],
)
def test_what_does_not_fit_is_said(where):
    with pytest.raises(ExperimentError, match="multiples of 16, and two images of this size to answer"):
        model("ptychonn", {}, where)
