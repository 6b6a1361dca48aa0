"""Models of modules in soft order: sizes, what a pass uses, gradients, and what a task cannot see."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from learning_fakes import model, shape

from mpidcl.errors import ExperimentError
from mpidcl.model.compositional.base import Compositional

NETS = [
    ("compositional-mlp", {"width": 6, "depth": 3, "dropout": 0.0}, (1, 6, 5)),
    ("compositional-cnn", {"width": 4, "depth": 2, "dropout": 0.0}, (3, 9, 8)),
    ("compositional-cnn", {"width": 3, "depth": 3, "dropout": 0.0}, (5, 4)),
]
ORDER = np.array([1, 0, 1])


def grown(kind: str, options: dict, input_shape: tuple[int, ...], active: int | None = None) -> Compositional:
    """A net in the middle of task 4: two tasks of fixed order, one that sees the basis, one a module more."""
    net = model(kind, options, shape(input_shape, heads=5, classes=3), modules=4)
    for task in (0, 1):
        net.set_order(task, np.roll(ORDER[: net.depth], task))
    net.open_task(2)
    net.kept += 1
    net.open_task(3)
    net.open_task(4)
    net.trial, net.active = (4,), active
    drawn = torch.Generator().manual_seed(3)
    for block in (net.added, net.structures):
        block.data.uniform_(-0.8, 0.8, generator=drawn)
    return net


def rows(net: Compositional, count: int, input_shape: tuple[int, ...]) -> torch.Tensor:
    return net.prepare(torch.rand(count, *input_shape, generator=torch.Generator().manual_seed(count)))


def plainly(net: Compositional, z: torch.Tensor, heads: torch.Tensor) -> torch.Tensor:
    """Encodings by plain operations, one row after the other."""
    return torch.stack([net.encode_row(row, head) for row, head in zip(z, heads, strict=True)])


def places_of(net: Compositional) -> tuple[int, int]:
    """The candidates' places: beside the modules that are kept, and further on."""
    return net.kept, net.kept + 2


def test_published_sizes_of_the_perceptron():
    net = model("compositional-mlp", {}, shape((1, 28, 28), 10, 2), modules=6)
    spans = {kind: net.flat.span(kind) for kind in ("shared", "modules", "heads", "structures", "frozen")}
    sizes = {kind: span.stop - span.start for kind, span in spans.items()}
    assert sizes == {
        "shared": 4 * 4160,
        "modules": 6 * 4160,
        "heads": 10 * 130,
        "structures": 10 * 10 * 4,
        "frozen": 50240,
    }
    assert net.facts() == {"layer": "linear", "module": [64, 65], "basis": 4, "depth": 4}


def test_published_sizes_of_the_convolutional_net():
    net = model("compositional-cnn", {}, shape((3, 32, 32), 20, 5), modules=16)
    spans = {kind: net.flat.span(kind) for kind in ("shared", "modules", "heads", "frozen")}
    sizes = {kind: span.stop - span.start for kind, span in spans.items()}
    assert sizes == {"shared": 90200, "modules": 16 * 22550, "heads": 20 * 1005, "frozen": 0}
    assert net.width == 200 and net.facts() == {"layer": "conv", "module": [50, 451], "basis": 4, "depth": 4}


@pytest.mark.parametrize(("kind", "options", "input_shape"), NETS)
def test_each_module_head_and_structure_is_one_segment(kind, options, input_shape):
    net = grown(kind, options, input_shape)
    modules = [s for s in net.flat.segments if s.kind in ("shared", "modules")]
    assert [s.kind for s in modules] == ["shared"] * net.depth + ["modules"] * 4
    for number, segment in enumerate(modules):
        held = net.flat.data[segment.start : segment.stop]
        assert segment.start == number * segment.size
        assert held.data_ptr() == net.module(number).data_ptr() and held.numel() == net.module(number).numel()
    assert [s.kind for s in net.flat.segments].count("structures") == 5
    assert not any(
        segment.kind == "modules" for segment in model(kind, options, shape(input_shape)).flat.segments
    )


@pytest.mark.parametrize("kind", ["compositional-mlp", "compositional-cnn"])
@pytest.mark.parametrize("input_shape", [(1, 28, 28), (28, 28), (3, 32, 32), (1, 7, 9), (2, 1, 1), (3, 2, 1)])
def test_every_image_shape_is_taken(kind, input_shape):
    net = model(kind, {"width": 5}, shape(input_shape, heads=3, classes=4), modules=2)
    net.set_order(0, np.array([3, 1, 0, 2]))
    net.open_task(1)
    net.trial, net.active = (1,), 5
    for training in (False, True):
        net.train(training)
        encoded = net.encode_rows(rows(net, 4, input_shape), torch.tensor([0, 1, 1, 0]))
        assert encoded.shape == (4, net.width) and torch.isfinite(encoded).all()
    assert net.logits(encoded, torch.tensor([0, 1, 1, 0])).shape == (4, 4)


@pytest.mark.parametrize(("kind", "options", "input_shape"), NETS)
@pytest.mark.parametrize("place", [None, 0, 1])
def test_passes_are_the_plain_formula(kind, options, input_shape, place):
    """In eval mode, in training mode, one task at a time and mixed in a batch."""
    net = grown(kind, options, input_shape)
    net.active = None if place is None else places_of(net)[place]
    heads = torch.tensor([4, 0, 3, 2, 4, 1, 1, 3, 0, 2, 4])
    z = rows(net, len(heads), input_shape)
    with torch.no_grad():
        wanted = plainly(net, z, heads)
        for training in (False, True):
            net.train(training)
            torch.testing.assert_close(net.encode_rows(z, heads), wanted, rtol=1e-5, atol=1e-6)
            for head in range(5):
                own = net.encode_rows(z[heads == head], head)
                torch.testing.assert_close(own, wanted[heads == head], rtol=1e-5, atol=1e-6)


def learns(net: Compositional, learning: str) -> np.ndarray:
    """Which floats of the flat gradient should be filled by rows of all tasks."""
    wanted = torch.zeros(len(net.flat.grad), dtype=torch.bool)
    modules = [s for s in net.flat.segments if s.kind in ("shared", "modules")]
    chosen = modules if learning == "all" else []
    if learning == "candidate" and net.active is not None:
        chosen = [modules[net.active]]
    if learning != "all":
        chosen = chosen + [s for s in net.flat.segments if s.kind == "structures"]
    for segment in chosen:
        wanted[segment.start : segment.stop] = True
    return wanted


@pytest.mark.parametrize(("kind", "options", "input_shape"), NETS)
@pytest.mark.parametrize("learning", ["all", "candidate", "none"])
@pytest.mark.parametrize("place", [None, 0, 1])
def test_gradients_are_those_of_the_plain_formula(kind, options, input_shape, learning, place):
    net = grown(kind, options, input_shape)
    net.active = None if place is None else places_of(net)[place]
    net.learning = learning
    heads = torch.tensor([4, 0, 3, 2, 4, 1, 1, 3, 0, 2, 4])
    z = rows(net, len(heads), input_shape)
    towards = torch.rand(len(heads), net.width, generator=torch.Generator().manual_seed(0)) - 0.5
    net.train()
    net.flat.zero_grad()
    (net.encode_rows(z, heads) * towards).sum().backward()
    found = net.flat.grad.clone()
    net.flat.zero_grad()
    plain = plainly(net, z, heads)
    if learning == "candidate":  # a candidate learns from the rows of its own task, and from no others
        (plain[heads == 4] * towards[heads == 4]).sum().backward(retain_graph=True)
        candidate = net.flat.grad.clone()
        net.flat.zero_grad()
    (plain * towards).sum().backward()
    wanted = net.flat.grad.clone()
    if learning == "candidate":
        modules = slice(0, net.flat.span("modules").stop)
        wanted[modules] = candidate[modules]
    wanted[~learns(net, learning)] = 0
    assert wanted.abs().sum() > 0 or (learning == "none" and place is None)
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("kind", "options", "input_shape"), NETS)
def test_gradients_add_up_until_they_are_cleared(kind, options, input_shape):
    net = grown(kind, options, input_shape, active=5)
    net.train()
    z = rows(net, 4, input_shape)
    found = []
    for _ in range(2):
        net.encode_rows(z, 4).sum().backward()
        found.append(net.flat.grad.clone())
    torch.testing.assert_close(found[1], 2 * found[0])
    assert found[0].any()


# --- what a task does not see -------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "options", "input_shape"), NETS)
def test_a_task_does_not_see_what_came_after_it(kind, options, input_shape):
    """Weights exactly 0, and the same bits even if what is hidden is not a number."""
    net = grown(kind, options, input_shape, active=None)
    z = rows(net, 5, input_shape)
    net.eval()
    before = [net.encode_rows(z, task).detach().clone() for task in range(5)]
    net.active = net.kept
    weights = net.all_weights().detach()
    assert (weights[2, net.depth :] == 0).all() and (weights[3, net.depth + 1 :] == 0).all()
    assert (weights[4, net.active] > 0).all() and (weights[4, net.active + 1 :] == 0).all()
    torch.testing.assert_close(weights.sum(1), torch.ones(5, net.depth))
    net.added.data[1:] = torch.nan
    net.structures.data[:, net.kept :] = torch.nan
    for task in range(4):
        assert torch.equal(net.encode_rows(z, task), before[task])
    assert torch.isnan(net.encode_rows(z, 4)).all()
    net.active = None
    assert torch.equal(net.encode_rows(z, 4), before[4])


def test_without_the_candidate_the_others_share_its_weight():
    net = grown(*NETS[0], active=None)
    z = rows(net, 5, NETS[0][2])
    net.eval()
    hidden, own = net.weights_of(net.plan(4)), net.structures.detach()[4, : net.kept]
    torch.testing.assert_close(hidden, torch.softmax(own, 0))
    without = net.encode_rows(z, 4)
    net.active = net.kept
    assert not torch.equal(net.encode_rows(z, 4), without)
    assert net.weights_of(net.plan(4)).shape == (net.kept + 1, net.depth)


@pytest.mark.parametrize(("kind", "options", "input_shape"), NETS)
def test_a_fixed_order_is_one_module_per_depth(kind, options, input_shape):
    net = grown(kind, options, input_shape)
    weights = net.all_weights().detach()
    for task in (0, 1):
        one_hot = torch.zeros(net.places, net.depth)
        one_hot[net.orders[task], torch.arange(net.depth)] = 1
        assert torch.equal(weights[task], one_hot)
        assert net.used(task).tolist() == sorted(set(net.orders[task].tolist()))
    net.structures.data[:2] = torch.nan  # no structure is asked
    assert torch.isfinite(net.encode_rows(rows(net, 3, input_shape), torch.tensor([0, 1, 1]))).all()


def test_logits_are_told_for_the_modules_that_are_kept():
    net = grown(*NETS[0], active=5)
    net.kept = 5
    assert net.logits_of(2).shape == (5, 3)
    assert torch.isinf(net.logits_of(2)[3:]).all() and torch.isinf(net.logits_of(3)[4:]).all()
    assert torch.equal(net.logits_of(3)[:4], net.structures.detach()[3, :4])
    first = torch.softmax(net.logits_of(0), 0)
    assert first.sum() == 3 and set(first.flatten().tolist()) == {0.0, 1.0}


def test_a_new_task_mixes_all_modules_to_equal_parts():
    net = grown(*NETS[0])
    net.open_task(4)
    torch.testing.assert_close(net.weights_of(net.plan(4)), torch.full((4, 3), 0.25))
    assert net.used(4).tolist() == [0, 1, 2, 3]
    net.active = 6
    torch.testing.assert_close(net.weights_of(net.plan(4)), torch.full((5, 3), 0.2))
    assert net.used(4).tolist() == [0, 1, 2, 3, 6] and net.used(3).tolist() == [0, 1, 2, 3]


def test_the_state_says_which_modules_there_are():
    net, other = grown(*NETS[0], active=6), model(*NETS[0][:2], shape(NETS[0][2], 5, 3), modules=4)
    other.flat.load(net.flat.state())
    other.load_module_state(net.module_state())
    heads = torch.tensor([0, 1, 2, 3, 4])
    z = rows(net, 5, NETS[0][2])
    for one in (net, other):
        one.eval()
    assert torch.equal(net.encode_rows(z, heads), other.encode_rows(z, heads))
    net.seen[4] = 0  # what was told is a copy
    assert other.seen[4] == 4 and other.active == 6 and other.trial == (4,)


# --- dropout ------------------------------------------------------------------------------------

DROPPING = [
    ("compositional-mlp", {"width": 9, "depth": 1}, (1, 6, 5)),
    ("compositional-cnn", {"width": 4, "depth": 1, "basis_dropout": False}, (3, 9, 8)),
]


@pytest.mark.parametrize(("kind", "options", "input_shape"), DROPPING)
def test_the_basis_is_not_dropped(kind, options, input_shape):
    net = model(kind, options, shape(input_shape, heads=5, classes=3), modules=2)
    net.set_order(0, np.array([0]))
    net.open_task(1)
    z, before = rows(net, 6, input_shape), net.noise.state()
    for task in (0, 1):
        net.eval()
        wanted = net.encode_rows(z, task)
        net.train()
        torch.testing.assert_close(net.encode_rows(z, task), wanted)
    assert net.noise.state() == before


@pytest.mark.parametrize("p", [0.5, 0.2])
@pytest.mark.parametrize(("kind", "options", "input_shape"), DROPPING)
def test_added_modules_are_dropped_unit_by_unit(kind, options, input_shape, p):
    """At depth 1 a number is s_0 f_0 + s_1 f_1 m with m = 0 or 1 / (1 - p); the mean is that of eval mode."""
    net = model(kind, options | {"dropout": p}, shape(input_shape, heads=5, classes=3), modules=2)
    net.added.data.copy_(net.basis.data.flip(1))
    net.open_task(1)
    z = rows(net, 6, input_shape)
    net.eval()
    basis = 0.5 * net.encode_rows(z, 1)
    net.trial, net.active = (1,), 2
    whole = net.encode_rows(z, 1)
    candidate = whole - basis
    net.train()
    drawn = torch.stack([net.encode_rows(z, 1).detach() for _ in range(300)])
    near = torch.minimum((drawn - basis).abs(), (drawn - basis - candidate / (1 - p)).abs())
    assert near.max() < 1e-5
    shown = candidate > 1e-3
    kept = ((drawn - basis) > candidate / 2)[:, shown].float()
    assert kept.mean().item() == pytest.approx(1 - p, abs=0.03)
    assert kept.mean(0).min() > 0 and kept.mean(0).max() < 1  # no unit is always kept


@pytest.mark.parametrize("kind", ["compositional-mlp", "compositional-cnn"])
def test_the_basis_is_dropped_where_it_should_be(kind):
    net = model(kind, {"width": 8, "basis_dropout": True}, shape((1, 8, 8), heads=2), modules=2)
    net.set_order(0, np.array([2, 0, 1, 3]))
    net.open_task(1)
    z = rows(net, 4, (1, 8, 8))
    net.train()
    for task in (0, 1):
        assert not torch.equal(net.encode_rows(z, task), net.encode_rows(z, task))


@pytest.mark.parametrize("learning", ["all", "candidate"])
@pytest.mark.parametrize("basis", [False, True])
@pytest.mark.parametrize("kind", ["compositional-mlp", "compositional-cnn"])
def test_gradients_under_dropout_are_slopes_of_the_loss(kind, basis, learning):
    """Along the gradient itself, the same noise each time: d loss = |gradient|^2 ds."""
    options = {"width": 7, "depth": 2, "dropout": 0.3, "basis_dropout": basis}
    net = grown(kind, options, (1, 6, 5), active=5)
    net.learning = learning
    heads, state = torch.tensor([4, 0, 4, 3, 4, 2]), net.noise.state()
    z = rows(net, len(heads), (1, 6, 5))
    net.train()

    def loss() -> torch.Tensor:
        net.noise.load(state)
        return net.encode_rows(z, heads).double().square().sum()

    net.flat.zero_grad()
    loss().backward()
    slope = net.flat.grad.double()
    chosen = learns(net, learning)
    if learning == "candidate":  # structures of old tasks learn nothing, though their slope is known
        chosen &= slope != 0
    direction = torch.where(chosen, slope, 0.0)
    step = 1e-3 / direction.norm()
    start, values = net.flat.data.clone(), []
    for sign in (1, -1):
        net.flat.data[: len(slope)] = (start[: len(slope)].double() + sign * step * direction).float()
        with torch.no_grad():
            values.append(loss().item())
        net.flat.data.copy_(start)
    assert (values[0] - values[1]) / (2 * step.item()) == pytest.approx(
        direction.square().sum().item(), rel=0.02
    )


# --- the rest -----------------------------------------------------------------------------------


def test_first_weights_of_a_seed_do_not_depend_on_the_room():
    """Neighbours with other options begin with the same shared basis."""
    small, large = (model(*NETS[0][:2], shape(NETS[0][2]), modules=n) for n in (0, 7))
    shared = small.flat.span("shared")
    assert torch.equal(small.flat.data[shared], large.flat.data[large.flat.span("shared")])
    assert torch.equal(small.heads.block, large.heads.block)
    assert torch.equal(small.projection.weight, large.projection.weight)


def test_nothing_draws_from_a_global_generator(untouched_global_generators):
    for kind, options, input_shape in NETS:
        net = grown(kind, options | {"dropout": 0.5}, input_shape, active=5)
        net.train()
        net.encode_rows(rows(net, 4, input_shape), torch.tensor([0, 4, 4, 2])).sum().backward()


def test_misfits_are_refused_with_the_fix():
    incremental = replace(shape(), incremental="class")
    for kind in ("compositional-mlp", "compositional-cnn"):
        with pytest.raises(ExperimentError, match='stream.incremental should be "task".*Found "class"'):
            model(kind, {}, incremental)
    with pytest.raises(ExperimentError, match=r"at least the 3 channels.*Found 2"):
        model("compositional-cnn", {"width": 2}, shape((3, 8, 8)))
    with pytest.raises(ExperimentError, match="should be images"):
        model("compositional-cnn", {}, shape((7,)))
    with pytest.raises(NotImplementedError, match="encode_rows"):
        grown(*NETS[0]).encode(torch.zeros(1, 6))
