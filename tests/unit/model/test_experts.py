"""Models of experts: gates, dispatch, which parameters lie where, and what an answer costs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from expert_fakes import IMAGES, SMALL
from learning_fakes import INPUT, model, shape
from torch import Tensor, nn

from mpidcl.errors import ExperimentError
from mpidcl.experiment.reading import from_toml
from mpidcl.learning.flops import FlopMeter
from mpidcl.model.experts.base import Experts
from mpidcl.model.experts.cnn import ConvExpert
from mpidcl.model.experts.mlp import DenseExpert
from mpidcl.model.experts.routing import all_of, dispatch, route

KINDS = {"experts-mlp": SMALL, "experts-cnn": IMAGES}


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def scores(rows: int, experts: int, seed: int = 0) -> Tensor:
    return torch.randn(rows, experts, generator=rng(seed), dtype=torch.float64)


def made(kind: str = "experts-mlp", seed: int = 0, **options: Any) -> Experts:
    found = model(kind, KINDS[kind] | options, shape(heads=1, classes=6), seed)
    assert isinstance(found, Experts)
    return found


def images(rows: int = 9) -> Tensor:
    return torch.rand(rows, *INPUT, generator=rng(5))


# --- gates --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("experts", "active"), [(1, 1), (4, 1), (5, 2), (8, 8)])
def test_gates_sum_to_one_and_so_many_are_not_zero(experts: int, active: int) -> None:
    found = route(scores(20, experts), active)
    gates = found.spread()
    torch.testing.assert_close(gates.sum(1), torch.ones(20, dtype=torch.float64))
    assert (gates > 0).sum(1).tolist() == [active] * 20
    # those of the largest shares, renormalised
    shares, largest = found.shares, found.shares.topk(active).indices
    wanted = shares.gather(1, largest) / shares.gather(1, largest).sum(1, keepdim=True)
    torch.testing.assert_close(gates.gather(1, largest), wanted)


def test_with_all_experts_it_is_the_dense_mixture_by_softmax() -> None:
    net = made(active=4).eval()
    x = net.features(net.prepare(images()))
    wanted = sum(
        share.unsqueeze(1) * expert(x)
        for share, expert in zip(net.router(x).softmax(1).unbind(1), net.experts, strict=True)
    )
    torch.testing.assert_close(net.encode(net.prepare(images())), wanted)


@pytest.mark.parametrize("hidden", [5, [2, 9, 4, 1]])
def test_the_compiled_dense_experts_are_those_of_autograd(hidden: Any) -> None:
    """Values, and gradients of encoder, router and every expert."""
    found = []
    for compiled in (True, False):
        net = made(hidden=hidden).train()
        net.flat.zero_grad()
        x = net.features(net.prepare(images()))
        routes = net.routed(x)
        y = net.answers(x, routes) if compiled else dispatch(x, routes, list(net.experts))
        y.square().sum().backward()
        found.append((y.detach(), net.flat.grad.clone()))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other)
    assert sum(found[0][1][span].abs().max() > 0 for span in made(hidden=hidden).module_spans) > 1


EXPERTS = {
    "dense": lambda: [DenseExpert(30, 5, 6, rng(i)) for i in range(4)],
    "dense, unequal": lambda: [DenseExpert(30, 3 + 2 * i, 6, rng(i)) for i in range(4)],
    "convolutions": lambda: [ConvExpert((1, 6, 5), 3, 6, rng(i)) for i in range(4)],
    "convolutions, unequal": lambda: [ConvExpert((1, 6, 5), 1 + i, 6, rng(i)) for i in range(4)],
}


@pytest.mark.parametrize("name", EXPERTS)
@pytest.mark.parametrize("active", [1, 3])
def test_sorted_rows_give_values_and_gradients_of_all_rows_to_all_experts(name: str, active: int) -> None:
    answers = []
    for way in (dispatch, all_of):
        parts = nn.ModuleList(EXPERTS[name]()).double()
        x = images(12).double()
        x = (x.flatten(1) if name.startswith("dense") else x).requires_grad_()
        h = scores(12, 4).requires_grad_()
        y = way(x, route(h, active), list(parts))
        (y * scores(12, 6, 1)).sum().backward()
        answers.append([y.detach(), x.grad, h.grad, *(_known(one) for one in parts.parameters())])
    for one, other in zip(*answers, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-12)


def _known(parameter: nn.Parameter) -> Tensor:
    return torch.zeros_like(parameter) if parameter.grad is None else parameter.grad


def test_an_expert_that_no_row_chose_computes_nothing() -> None:
    seen: list[tuple[int, int]] = []

    def expert(number: int) -> Any:
        return lambda x: seen.append((number, len(x))) or x

    h = torch.tensor([[3.0, 1.0, 2.0, 0.0], [3.0, 2.0, 1.0, 0.0]])
    dispatch(torch.ones(2, 5), route(h, 2), [expert(number) for number in range(4)])
    assert seen == [(0, 2), (1, 1), (2, 1)]


@pytest.mark.parametrize("kind", KINDS)
def test_rows_alone_and_no_rows(kind: str) -> None:
    net = made(kind).eval()
    z = net.prepare(images())
    together = net.encode_rows(z, 0)
    alone = torch.stack([net.encode_row(one, torch.tensor(0)) for one in z])
    torch.testing.assert_close(alone, together)
    assert net.encode_rows(z[:0], 0).shape == (0, 6)


# --- who is asked -------------------------------------------------------------------------------


def test_retired_experts_get_no_gate_and_their_scores_no_gradient() -> None:
    net = made(experts=6, active=3)
    net.change(used=np.array([True, False, True, False, True, True]))
    net.train()
    net.begin_step()
    net.encode(net.prepare(images())).square().sum().backward()
    assert net.routes is not None
    assert net.routes.spread()[:, [1, 3]].abs().max() == 0 and net.routes.shares[:, [1, 3]].abs().max() == 0
    assert net.router.weight.grad[[1, 3]].abs().max() == 0
    assert net.took_part.tolist() == [bool(one) for one in net.routes.spread().sum(0) > 0]
    assert net.active == 3
    net.change(used=np.arange(6) < 2)
    assert net.active == 2 and net.routed(net.features(net.prepare(images()))).chosen.shape == (9, 2)


def test_only_training_passes_count_who_took_part() -> None:
    net = made().eval()
    net.encode(net.prepare(images()))
    assert not net.took_part.any() and net.routes is None


def test_guided_routing_adds_specialisation_to_the_scores() -> None:
    plain, guided = (made(routing=how, eta=2.0).eval() for how in ("static", "guided"))
    special = np.array([0.0, 0.5, 1.0, 0.25])
    found = []
    for net in (plain, guided):
        net.change(specialisation=special)
        with torch.inference_mode():  # what is kept from there serves in training, too
            net.encode(net.prepare(images()))
        found.append(net.routed(net.features(net.prepare(images()))).scores)
    torch.testing.assert_close(found[1] - found[0], torch.tensor(2 * special).float().expand(9, 4))
    guided.train()
    guided.encode(guided.prepare(images())).sum().backward()


def test_noise_of_the_scores_has_variance_one_by_n_squared_and_is_there_in_training_alone() -> None:
    net = made(noise=True)
    z = net.prepare(images(4000))
    net.eval()
    calm = net.routed(net.features(z)).scores
    assert torch.equal(calm, net.routed(net.features(z)).scores)
    net.train()
    noise = (net.routed(net.features(z)).scores - calm).detach()
    assert noise.mean().item() == pytest.approx(0, abs=0.01)
    assert noise.std().item() == pytest.approx(1 / 4, rel=0.03)


# --- parameters ---------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_each_expert_is_one_piece_of_the_modules_and_the_router_a_structure(kind: str) -> None:
    net = made(kind, hidden=[2, 3, 4, 5])
    kinds = {segment.name: segment.kind for segment in net.flat.segments}
    assert {kinds[name] for name in kinds if name.startswith("encoder.")} == {"shared"}
    assert {kinds[name] for name in kinds if name.startswith("experts.")} == {"modules"}
    assert {kinds[name] for name in kinds if name.startswith("router.")} == {"structures"}
    spans, whole = net.module_spans, net.flat.span("modules")
    assert spans[0].start == whole.start and spans[-1].stop == whole.stop
    assert all(one.stop == other.start for one, other in zip(spans, spans[1:], strict=False))
    for expert, span in zip(net.experts, spans, strict=True):
        assert torch.equal(torch.cat([p.flatten() for p in expert.parameters()]), net.flat.data[span])


def test_standing_comes_back() -> None:
    net, other = made(), made()
    net.change(used=np.array([True, True, False, True]), frozen=np.array([True, False, False, False]))
    net.change(specialisation=np.array([0.1, 0.2, 0.3, 0.4]))
    other.load_module_state(net.module_state())
    assert all(np.array_equal(other.module_state()[name], one) for name, one in net.module_state().items())


# --- cost ---------------------------------------------------------------------------------------


def operations(experts: int, active: int, training: bool) -> int:
    """Of a pass of 32 rows, without those of the router, which scores all experts."""
    net = made(experts=experts, active=active).train(training)
    meter = FlopMeter()
    z = net.prepare(images(32))
    with meter.each_time(), torch.set_grad_enabled(training):
        encoded = net.encode(z)
        if training:
            encoded.sum().backward()
    return meter.total + net.unseen_flops - (6 if training else 2) * 32 * 7 * experts


@pytest.mark.parametrize("training", [False, True])
def test_operations_grow_with_active_experts_and_not_with_all(training: bool) -> None:
    by_experts = {operations(experts, 2, training) for experts in (4, 8, 16, 64)}
    assert len(by_experts) == 1
    steps = np.diff([operations(8, active, training) for active in (1, 2, 4, 8)])
    one = (6 if training else 2) * 32 * (7 * 5 + 5 * 6)
    assert steps.tolist() == [one, 2 * one, 4 * one]


# --- what is refused ----------------------------------------------------------------------------

FILE = 'name = "x"\nagents = 2\n'


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("experts = 3\nactive = 4", "as many active experts as there are, experts = 3. Found active = 4"),
        ("hidden = [4, 5]", "one size for each of the 8 experts.*Found 2 sizes"),
    ],
)
@pytest.mark.parametrize("kind", KINDS)
def test_experts_that_do_not_fit_together(kind: str, text: str, what: str) -> None:
    with pytest.raises(ExperimentError, match=what):
        from_toml(f'{FILE}[learning]\nkind = "experts"\n[model]\nkind = "{kind}"\n{text}\n')
