"""The networks: published sizes, initial weights, what agents share, dropout, and input shapes."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from learning_fakes import model, shape
from torch.nn import functional

from mpidcl.errors import ExperimentError
from mpidcl.model.layers import BatchNorm, Conv
from mpidcl.model.noise import Noise

SHAPES = [(1, 28, 28), (28, 28), (1, 8, 8), (3, 8, 8), (3, 32, 32), (1, 7, 9)]
KINDS = [
    ("mlp", {}),
    ("mlp", {"hidden": [20, 10]}),
    ("mlp", {"projection": False, "width": 16}),
    ("cnn", {}),
    ("cnn", {"channels": [4, 6]}),
    ("resnet18", {"width": 4, "stem": "cifar"}),
    ("resnet18", {"width": 4, "stem": "cifar-pool"}),
    ("resnet18", {"width": 4, "stem": "imagenet"}),
    ("resnet18", {"width": 4, "stem": "cifar-pool2", "init": "he-normal", "bias": True}),
]


def test_published_sizes_of_the_perceptron():
    flat = model("mlp", {}, shape((1, 28, 28), 10, 2)).flat
    sizes = {kind: flat.span(kind).stop - flat.span(kind).start for kind in ("shared", "heads", "frozen")}
    assert sizes == {"shared": 16640, "heads": 10 * 130, "frozen": 50240}


def test_published_sizes_of_the_convolutional_net():
    net = model("cnn", {}, shape((3, 32, 32), 20, 5))
    sizes = {kind: net.flat.span(kind).stop - net.flat.span(kind).start for kind in ("shared", "heads")}
    assert sizes == {"shared": 90200, "heads": 20 * 1005} and net.width == 200


def test_resnet18_has_its_known_number_of_parameters():
    """11,173,962 with 10 classes and the 3 x 3 stem, 11,689,512 with 1000 and the 7 x 7 one."""
    assert len(model("resnet18", {}, shape((3, 32, 32), 1, 10)).flat.data) == 11_173_962
    options = {"stem": "imagenet"}
    assert len(model("resnet18", options, shape((3, 64, 64), 1, 1000)).flat.data) == 11_689_512


@pytest.mark.parametrize(("kind", "options"), KINDS)
@pytest.mark.parametrize("input_shape", SHAPES)
def test_every_model_takes_every_image_shape(kind, options, input_shape):
    net = model(kind, options, shape(input_shape, heads=3, classes=4))
    z = net.prepare(torch.rand(2, *input_shape))
    net.eval()
    encoded = net.encode(z)
    assert encoded.shape == (2, net.width)
    assert net.logits(encoded, torch.tensor([0, 2])).shape == (2, 4)


@pytest.mark.parametrize(("kind", "options"), [KINDS[0], KINDS[3], KINDS[5]])
def test_agents_differ_but_one_agent_repeats(kind, options):
    where = shape((3, 8, 8))
    first, again, other = (model(kind, options, where, agent=a).flat.data for a in (0, 0, 1))
    assert torch.equal(first, again) and not torch.equal(first, other)


def test_the_projection_is_the_same_on_all_agents_of_a_seed():
    where = shape((1, 8, 8))
    own, other, seed = (
        model("mlp", {}, where, seed=s, agent=a).projection for s, a in ((0, 0), (0, 5), (1, 0))
    )
    assert torch.equal(own.weight, other.weight) and torch.equal(own.bias, other.bias)
    assert not torch.equal(own.weight, seed.weight)


def test_first_weights_are_uniform_with_torchs_bound():
    net = model("mlp", {"hidden": [400]}, shape((1, 20, 20)))
    weight, bound = net.layers[0].weight.detach(), 1 / math.sqrt(400)
    assert weight.abs().max() <= bound and weight.abs().max() > 0.999 * bound
    assert weight.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.01)


def test_xavier_weights_fill_their_bound_and_biases_are_0():
    """Glorot and Bengio 2010, equation 16, of layers and heads alike."""
    made = model("mlp", {"hidden": [300, 200], "dropout": 0.0, "init": "xavier"}, shape(heads=2))
    blocks = [(layer.weight.detach(), layer.bias.detach()) for layer in made.layers]
    blocks += [(head[:, :-1], head[:, -1]) for head in made.heads.block.detach()]
    for weight, bias in blocks:
        bound = math.sqrt(6 / sum(weight.shape))
        assert 0.97 * bound < float(weight.abs().max()) <= bound and not bias.any()
        assert float(weight.var()) == pytest.approx(bound**2 / 3, rel=0.1)


def test_nothing_draws_from_a_global_generator(untouched_global_generators):
    for kind, options in KINDS:
        net = model(kind, options, shape((3, 8, 8)))
        net.train()
        z = net.prepare(torch.ones(4, 3, 8, 8))
        net.logits(net.encode(z), torch.tensor([0, 1, 0, 1])).sum().backward()


def test_missing_channels_count_as_zeros():
    conv = Conv(5, 4, torch.Generator().manual_seed(0))
    x = torch.rand(2, 3, 6, 6)
    padded = torch.cat([x, torch.zeros(2, 2, 6, 6)], 1)
    torch.testing.assert_close(conv(x), conv(padded))


def test_colours_are_normalised_before_the_first_convolution():
    net = model("cnn", {}, shape((3, 8, 8)))
    grey = torch.tensor([0.5071, 0.4867, 0.4408]).view(1, 3, 1, 1).expand(2, 3, 8, 8)
    torch.testing.assert_close(net.colours.normalise(grey), torch.zeros(2, 3, 8, 8))
    own = model("cnn", {"mean": [0.5], "std": [2.0]}, shape((1, 8, 8)))
    torch.testing.assert_close(own.colours.normalise(torch.ones(1, 1, 8, 8)), torch.full((1, 1, 8, 8), 0.25))


def test_wrong_numbers_of_channels_and_rows_that_are_no_images_are_refused():
    with pytest.raises(ExperimentError, match="one number per channel, 3"):
        model("cnn", {"mean": [0.5]}, shape((3, 8, 8)))
    with pytest.raises(ExperimentError, match="should be images"):
        model("cnn", {}, shape((7,)))


@pytest.mark.parametrize("p", [0.1, 0.5, 0.75])
def test_noise_keeps_the_right_share_and_the_mean(p):
    mask = Noise(0, 0).keep((200, 500), p)
    assert mask.unique().tolist() == pytest.approx([0, 1 / (1 - p)])
    assert (mask == 0).float().mean().item() == pytest.approx(p, abs=0.006)


def test_batch_norm_of_one_value_per_channel_is_that_of_eval_mode():
    norm, x = BatchNorm(3), torch.rand(1, 3, 1, 1)
    norm.running_mean.fill_(0.5)
    norm.train()
    trained = norm(x)
    assert (norm.running_mean == 0.5).all()
    norm.eval()
    assert torch.equal(trained, norm(x))
    norm.train()
    norm(torch.rand(2, 3, 1, 1))
    assert (norm.running_mean != 0.5).all()


def test_noise_goes_on_from_its_state():
    noise, again = Noise(0, 3), Noise(1, 4)
    noise.keep((5, 7), 0.5)
    again.load(noise.state())
    for p in (0.5, 0.3):
        assert torch.equal(noise.keep((4, 9), p), again.keep((4, 9), p))


@pytest.mark.parametrize("dropout", [0.0, 0.5, 0.3])
@pytest.mark.parametrize("options", [{"width": 12}, {"hidden": [9, 14, 5]}])
def test_the_stack_of_layers_is_the_layers_one_by_one(dropout, options):
    net = model("mlp", {"dropout": dropout, **options}, shape((1, 6, 5)))
    z, heads = net.prepare(torch.rand(7, 1, 6, 5)), torch.tensor([0, 1, 0, 4, 4, 2, 1])
    net.train()
    state = net.noise.state()
    loss, logits = net.heads.cross_entropy(net.encode(z), heads, torch.tensor([0, 1, 1, 0, 0, 1, 0]))
    (loss + logits.square().sum()).backward()
    found = net.flat.grad.clone()
    net.flat.zero_grad()
    net.noise.load(state)
    masks = net._masks(7) or [torch.ones(())] * len(net.layers)
    plain = z
    for layer, mask in zip(net.layers, masks, strict=True):
        plain = functional.relu(layer(plain)) * mask
    logits = net.heads(plain, heads)
    (functional.cross_entropy(logits, torch.tensor([0, 1, 1, 0, 0, 1, 0])) + logits.square().sum()).backward()
    torch.testing.assert_close(found, net.flat.grad, rtol=1e-5, atol=1e-6)


def test_row_heads_are_one_head_at_a_time():
    net = model("mlp", {}, shape((1, 6, 5), heads=4, classes=3))
    z, heads = torch.rand(9, net.width), torch.tensor([3, 0, 0, 1, 2, 3, 1, 1, 0])
    together = net.heads(z, heads)
    for row, head in enumerate(heads.tolist()):
        torch.testing.assert_close(together[row : row + 1], net.heads.one(z[row : row + 1], head))


def test_heads_outside_the_batch_get_no_gradient():
    net = model("mlp", {}, shape((1, 6, 5), heads=4))
    net.heads.cross_entropy(torch.rand(3, net.width), torch.tensor([1, 1, 3]), torch.tensor([0, 1, 0]))[
        0
    ].backward()
    touched = net.heads.block.grad.abs().sum((1, 2)) > 0
    assert touched.tolist() == [False, True, False, True]


def test_preparing_is_done_once_and_changes_only_what_is_frozen():
    net = model("mlp", {}, shape((1, 6, 5)))
    x = torch.rand(4, 1, 6, 5)
    wanted = x.flatten(1) @ net.projection.weight.T + net.projection.bias
    assert net.prepares and not net.prepare(x).requires_grad
    torch.testing.assert_close(net.prepare(x), wanted)
    plain = model("mlp", {"hidden": [4]}, shape((1, 6, 5)))
    assert not plain.prepares and np.array_equal(plain.prepare(x), x.flatten(1))
