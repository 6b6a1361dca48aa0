"""Matching of units: known orders are found, nothing that is computed changes, merged nets lose little."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from learning_fakes import INPUT, learner, live, model, shape, task
from sklearn.datasets import load_digits
from torch.nn import functional

from mpidcl.learning.batches import Prepared
from mpidcl.learning.matching import Matching, activations, refresh_statistics
from mpidcl.model.layers import BatchNorm
from mpidcl.model.permutations import Axis, Permutation, Stack, check, moved, permuted

NETS = [
    ("mlp", {"width": 16, "dropout": 0.0}),
    ("mlp", {"hidden": [12, 9], "dropout": 0.0}),
    ("cnn", {"channels": [6, 5], "dropout": 0.0}),
    ("cnn", {"width": 7, "depth": 1}),
    ("resnet18", {"width": 4}),
    ("resnet18", {"width": 3, "bias": True, "stem": "cifar-pool2"}),
]


def prepared(net, rows=40, seed=0):
    rng = np.random.default_rng(seed)
    x = torch.from_numpy(rng.random((rows, *INPUT), dtype=np.float32))
    heads = torch.from_numpy(rng.integers(0, 5, rows))
    return Prepared(net.prepare(x), heads * 0, heads)


def outputs(net, rows):
    net.eval()
    with torch.no_grad():
        return net.logits(net.encode_rows(rows.z, rows.heads), rows.heads)


def trained(kind, options):
    """A net that has learned a little, with statistics that are not the first ones."""
    who = learner(kind=kind, options=options)
    live(who, [task(0)], ticks=2)
    return who.model


def drawn_orders(net, seed=1):
    rng = np.random.default_rng(seed)
    return {one.name: torch.from_numpy(rng.permutation(one.size)) for one in net.permutations()}


@pytest.mark.parametrize(("kind", "options"), NETS)
def test_a_net_with_its_units_in_another_order_computes_the_same(kind, options):
    net, rows = trained(kind, options), None
    rows = prepared(net)
    before = outputs(net, rows)
    flat = net.flat
    data, buffers = permuted(net, flat, drawn_orders(net), net.permutations(), flat.data, flat.buffers)
    assert not torch.equal(data, flat.data) and sorted(data.tolist()) == sorted(flat.data.tolist())
    flat.data.copy_(data)
    flat.buffers.copy_(buffers)
    torch.testing.assert_close(outputs(net, rows), before, rtol=1e-4, atol=1e-5)
    learning = {name for name, p in net.named_parameters() if net.place(name).kind != "frozen"}
    named = {place.name for one in net.permutations() for place in one.places}
    assert learning <= named, "each tensor that learns has a place"


EXPERTS = [
    ("experts-mlp", {"encoder": [16], "experts": 4, "hidden": 6, "width": 8}),
    ("experts-mlp", {"encoder": [10, 12], "experts": 3, "hidden": [6, 5, 6], "width": 8}),
    ("experts-cnn", {"encoder": [5, 6], "experts": 3, "hidden": 4, "width": 8}),
]


@pytest.mark.parametrize("by", ["activations", "weights"])
@pytest.mark.parametrize("router", [(), ("structures",)], ids=["own router", "router, too"])
@pytest.mark.parametrize(("kind", "options"), EXPERTS)
def test_a_known_order_of_experts_and_of_what_is_inside_them_is_found_exactly(kind, options, router, by):
    net = model(kind, options, shape(INPUT, 5, 2))
    flat, own = net.flat, net.flat.data.clone()
    kinds = ("shared", "modules", "heads", *router)
    for seed in range(3):
        data, _ = permuted(net, flat, drawn_orders(net, seed), net.permutations(), own, flat.buffers)
        matching = Matching(net, kinds)
        found = matching.find(data, by, prepared(net, 200), np.random.default_rng(seed))
        assert torch.equal(matching.aligned(data, found), own)


@pytest.mark.parametrize("by", ["activations", "weights"])
@pytest.mark.parametrize(("kind", "options"), NETS)
def test_a_known_order_is_found_exactly(kind, options, by):
    net = trained(kind, options)
    flat, permutations = net.flat, net.permutations()
    own, statistics, orders = flat.data.clone(), flat.buffers.clone(), drawn_orders(net)
    data, _ = permuted(net, flat, orders, permutations, flat.data, flat.buffers)
    matching, rng = Matching(net), np.random.default_rng(3)
    found = matching.find(data, by, prepared(net), rng)
    assert torch.equal(matching.aligned(data, found), own)
    assert torch.equal(flat.data, own) and torch.equal(flat.buffers, statistics), "it is what it was"


def test_matching_by_weights_does_not_depend_on_the_seed_for_a_known_order():
    net = trained("mlp", {"hidden": [12, 9], "dropout": 0.0})
    data, _ = permuted(net, net.flat, drawn_orders(net), net.permutations(), net.flat.data, net.flat.buffers)
    for seed in range(5):
        found = Matching(net).find(data, "weights", prepared(net), np.random.default_rng(seed))
        assert torch.equal(Matching(net).aligned(data, found), net.flat.data)


def test_with_private_heads_their_columns_tell_nothing():
    """Heads that did not travel are one's own: compared, they would hold every unit where it is."""
    net = trained("mlp", {"hidden": [12], "dropout": 0.0})
    flat, heads = net.flat, net.flat.span("heads")
    data, _ = permuted(net, flat, drawn_orders(net), net.permutations(), flat.data, flat.buffers)
    flat.data[heads] *= 100
    data[heads] = flat.data[heads]
    orders = Matching(net, ("shared",)).find(data, "weights", prepared(net), np.random.default_rng(0))
    shared = flat.span("shared")
    given = Matching(net, ("shared",)).aligned(data, orders)
    assert torch.equal(given[shared], flat.data[shared])
    blind = Matching(net).find(data, "weights", prepared(net), np.random.default_rng(0))
    assert blind["layers.0"].tolist() == list(range(12))


def test_whole_parameters_move_with_the_rows_that_belong_to_them():
    tensors = {f"experts.{i}.first": torch.full((2, 3), float(i)) for i in range(3)}
    tensors["router.block"] = torch.arange(12.0).view(3, 4)
    names = tuple(f"experts.{i}.first" for i in range(3))
    one = Permutation("experts", 3, (Stack(names), Axis("router.block", 0)))
    check([one], tensors)
    found = moved(tensors, one, torch.tensor([2, 0, 1]))
    assert [float(found[name][0, 0]) for name in names] == [2, 0, 1]
    assert found["router.block"][:, 0].tolist() == [8, 0, 4]
    inner = Permutation("experts.0", 2, (Axis("experts.0.first", 0), Axis("experts.0.first", 1, last=1)))
    tensors["experts.2.first"] = torch.arange(6.0).view(2, 3)
    found = moved(moved(tensors, one, torch.tensor([2, 0, 1])), inner, torch.tensor([1, 0]))
    assert found["experts.0.first"].tolist() == [[4, 3, 5], [1, 0, 2]]
    wrong = Permutation("experts", 4, (Axis("router.block", 0),))
    with pytest.raises(ValueError, match="`experts` should have 4 units. Found 3"):
        check([wrong], tensors)


def test_units_that_a_model_does_not_show_are_matched_by_weights():
    net = trained("mlp", {"hidden": [12, 9], "dropout": 0.0})
    shown = net.permutations()
    hidden = tuple(Permutation(one.name, one.size, one.places) for one in shown)
    data, _ = permuted(net, net.flat, drawn_orders(net), shown, net.flat.data, net.flat.buffers)
    net.permutations = lambda: (shown[0], hidden[1])
    matching = Matching(net)
    found = matching.find(data, "activations", prepared(net), np.random.default_rng(0))
    assert torch.equal(matching.aligned(data, found), net.flat.data)


def test_activations_are_those_of_the_module():
    net = trained("cnn", {"channels": [4], "dropout": 0.5})
    rows = prepared(net, 300)
    found = activations(net, rows, ["blocks.0"])["blocks.0"]
    with torch.no_grad():
        wanted = net.blocks[0](net.colours.normalise(rows.z))
    torch.testing.assert_close(found, wanted.transpose(0, 1).flatten(1), rtol=1e-4, atol=1e-6)


# --- merging ------------------------------------------------------------------------------------


def digits():
    data = load_digits()
    x = torch.from_numpy((data.images / 16).astype(np.float32)).unsqueeze(1)
    return x[:1400], torch.from_numpy(data.target[:1400]), x[1400:], torch.from_numpy(data.target[1400:])


def alone(agent, options, x, y):
    """A net that one agent has trained on the digits, from a start of its own."""
    net = model("mlp", options, shape((1, 8, 8), heads=1, classes=10), seed=0, agent=agent)
    optimiser = torch.optim.Adam(net.flat.learning, 3e-3)
    rng = torch.Generator().manual_seed(agent)
    net.train()
    for _ in range(10):
        for index in torch.randperm(len(x), generator=rng).split(50):
            net.flat.zero_grad()
            heads = torch.zeros(len(index), dtype=torch.int64)
            logits = net.logits(net.encode(net.prepare(x[index])), heads)
            functional.cross_entropy(logits, y[index]).backward()
            optimiser.step()
    return net


def loss_of(net, data, x, y):
    own = net.flat.data.clone()
    net.flat.data.copy_(data)
    heads = torch.zeros(len(x), dtype=torch.int64)
    found = functional.cross_entropy(outputs(net, Prepared(net.prepare(x), y, heads)), y)
    net.flat.data.copy_(own)
    return float(found)


@pytest.fixture(scope="module")
def two_nets():
    x, y, *_ = digits()
    return [alone(agent, {"hidden": [128, 128, 128], "dropout": 0.0}, x, y) for agent in (0, 1)]


@pytest.mark.parametrize("by", ["activations", "weights"])
def test_matching_removes_most_of_the_loss_barrier_of_two_nets(two_nets, by):
    x, y, test_x, test_y = digits()
    one, other = two_nets
    rows = Prepared(one.prepare(x[:400]), y[:400], torch.zeros(400, dtype=torch.int64))
    matching = Matching(one)
    orders = matching.find(other.flat.data, by, rows, np.random.default_rng(0))
    aligned = matching.aligned(other.flat.data, orders)
    ends = [loss_of(one, net.flat.data, test_x, test_y) for net in two_nets]
    assert loss_of(one, aligned, test_x, test_y) == pytest.approx(ends[1], rel=1e-3)
    base = np.mean(ends)
    plain, merged = (
        loss_of(one, (one.flat.data + data) / 2, test_x, test_y) - base for data in (other.flat.data, aligned)
    )
    assert plain > 0.4
    assert merged < 0.3 * plain


# --- BatchNorm ----------------------------------------------------------------------------------


def test_statistics_are_the_mean_over_batches_of_what_each_batch_has():
    net = trained("resnet18", {"width": 3})
    rows = prepared(net, 600)
    noise = net.noise.state()
    refresh_statistics(net, rows)
    assert not net.training and net.noise.state() == noise
    with torch.no_grad():
        values = [net.stem(z) for z in rows.z.split(256)]
    mean = torch.stack([part.mean((0, 2, 3)) for part in values]).mean(0)
    var = torch.stack([part.transpose(0, 1).flatten(1).var(1) for part in values]).mean(0)
    torch.testing.assert_close(net.stem_norm.running_mean, mean, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(net.stem_norm.running_var, var, rtol=1e-4, atol=1e-5)
    assert all(one.momentum == 0.1 for one in net.modules() if isinstance(one, BatchNorm))
    before = net.flat.buffers.clone()
    refresh_statistics(net, Prepared(rows.z[:0], rows.y[:0], rows.heads[:0]))
    assert torch.equal(net.flat.buffers, before)
