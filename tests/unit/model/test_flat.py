"""Flat parameters: every parameter is a view, kinds lie in order, gradients add up in place."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from learning_fakes import model, shape
from torch import nn
from torch.utils.checkpoint import checkpoint

from mpidcl.model.flat import KINDS, FlatParameters, Placement

MODELS = [
    ("mlp", {}, (1, 6, 5)),
    ("mlp", {"hidden": [9, 4]}, (1, 6, 5)),
    ("cnn", {"width": 6}, (3, 8, 8)),
    ("resnet18", {"width": 4}, (3, 8, 8)),
]


@pytest.fixture(params=MODELS, ids=["mlp", "plain", "cnn", "resnet18"])
def net(request):
    kind, options, where = request.param
    return model(kind, options, shape(where))


def test_segments_cover_the_tensor_without_gaps_in_the_order_of_kinds(net):
    flat = net.flat
    assert flat.segments[0].start == 0 and flat.segments[-1].stop == len(flat.data)
    for before, after in zip(flat.segments, flat.segments[1:], strict=False):
        assert before.stop == after.start and before.size > 0
        assert KINDS.index(before.kind) <= KINDS.index(after.kind)
    assert sum(p.numel() for p in net.parameters()) == len(flat.data)


def test_spans_are_contiguous_and_follow_one_another(net):
    spans = [net.flat.span(kind) for kind in KINDS]
    assert spans[0].start == 0 and spans[-1].stop == len(net.flat.data)
    assert all(a.stop == b.start for a, b in zip(spans, spans[1:], strict=False))


def test_parameters_and_numpy_share_the_memory(net):
    net.flat.numpy()[:] = np.arange(len(net.flat.data))
    together = torch.cat([p.detach().flatten() for p in net.parameters()])
    assert torch.equal(together.sort().values, torch.arange(len(together), dtype=torch.float32))
    for name, parameter in net.named_parameters():
        assert parameter.untyped_storage().data_ptr() == net.flat.data.untyped_storage().data_ptr(), name


def test_the_base_is_aligned_to_64_bytes(net):
    assert net.flat.data.data_ptr() % 64 == 0 and net.flat.grad.data_ptr() % 64 == 0


def test_each_head_is_one_segment(net):
    heads = [s for s in net.flat.segments if s.kind == "heads"]
    assert len(heads) == 5 and {s.size for s in heads} == {2 * (net.width + 1)}


def test_gradients_add_up_in_the_flat_tensor_until_zeroed(net):
    z = net.prepare(torch.ones(4, *net.shape.input_shape))
    heads = torch.tensor([0, 1, 1, 3])
    net.eval()
    once = []
    for _ in range(2):
        net.logits(net.encode(z), heads).sum().backward()
        once.append(net.flat.grad.clone())
    assert once[0].abs().sum() > 0
    torch.testing.assert_close(once[1], 2 * once[0])
    net.flat.zero_grad()
    assert not net.flat.grad.any()


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("into_grad", [False, True])
def test_backward_writes_a_whole_gradient(net, training, into_grad):
    """The bits of adding up in zeros; heads that are not used get zeros, whatever lay there before."""
    z, heads = net.prepare(torch.rand(4, *net.shape.input_shape)), torch.tensor([0, 1, 1, 3])
    net.train(training)
    before = net.flat.buffers.clone()

    def loss():
        net.flat.buffers.copy_(before)
        net.noise.restart(0, 0, "test")
        return net.logits(net.encode(z), heads).square().sum()

    net.flat.zero_grad()
    loss().backward()
    expected = net.flat.grad.clone()
    out = net.flat.grad if into_grad else torch.full_like(net.flat.grad, torch.nan)
    for _ in range(2):
        net.flat.backward(loss(), out)
        assert torch.equal(out, expected) and expected.any() and not expected.all()
    net.flat.zero_grad()
    loss().backward()  # parameters have their places in `grad` again
    assert torch.equal(net.flat.grad, expected)


def test_backward_adds_up_what_passes_inside_it_hand_over_one_by_one():
    """A layer that is used twice, each time behind a checkpoint that makes a pass of its own."""
    layer = nn.Linear(4, 4)
    flat = FlatParameters(layer, lambda _: Placement("shared"))
    x = torch.rand(3, 4, requires_grad=True)

    def loss():
        return sum(checkpoint(layer, z, use_reentrant=True).square().sum() for z in (x, 2 * x))

    loss().backward()
    expected, out = flat.grad.clone(), torch.full_like(flat.grad, torch.nan)
    flat.backward(loss(), out)
    torch.testing.assert_close(out, expected)


def test_backward_that_fails_gives_the_places_back(net):
    def fail(gradient):
        raise OSError("no")

    y = net.encode(net.prepare(torch.rand(2, *net.shape.input_shape)))
    y.register_hook(fail)
    with pytest.raises(OSError, match="no"):
        net.flat.backward(y.sum(), torch.empty_like(net.flat.grad))
    assert all(p.grad.untyped_storage().data_ptr() == net.flat.grad.untyped_storage().data_ptr()
               for p in net.flat.learning)  # fmt: skip


def test_a_leaf_and_its_parameters_collect_the_same_gradient(net):
    (net.flat.leaf("shared") * 3).sum().backward()
    span = net.flat.span("shared")
    assert (net.flat.grad[span] == 3).all() and not net.flat.grad[span.stop :].any()


def test_frozen_parameters_have_no_gradient():
    net = model("mlp", {}, shape((1, 6, 5)))
    assert len(net.flat.grad) == net.flat.span("frozen").start
    assert not net.projection.weight.requires_grad and net.projection.weight.grad is None


def test_buffers_are_views_and_follow_training():
    net = model("resnet18", {"width": 4}, shape((3, 8, 8)))
    before = net.flat.buffers.clone()
    net.train()
    net.encode(torch.rand(4, 3, 8, 8))
    assert not torch.equal(before, net.flat.buffers)
    net.flat.buffers.fill_(2.0)
    assert (net.stem_norm.running_mean == 2).all() and (net.stem_norm.running_var == 2).all()


def test_state_and_load_give_back_every_bit(net):
    state = net.flat.state()
    before = net.flat.data.clone(), net.flat.buffers.clone()
    net.flat.data.add_(1)
    net.flat.buffers.add_(1)
    net.flat.load(state)
    assert torch.equal(net.flat.data, before[0]) and torch.equal(net.flat.buffers, before[1])


def test_a_state_of_another_model_is_refused(net):
    with pytest.raises(ValueError, match="saved by another model"):
        net.flat.load({"parameters": np.zeros(3, np.float32), "buffers": np.zeros(0, np.float32)})


def test_unknown_kinds_and_dtypes_are_refused():
    with pytest.raises(ValueError, match="should be one of shared"):
        FlatParameters(nn.Linear(2, 2), lambda name: Placement("mine"))
    with pytest.raises(ValueError, match="should be float32"):
        FlatParameters(nn.Linear(2, 2).double(), lambda name: Placement("shared"))
