"""The balance loss and its companions: values, what is differentiated, and a step with them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from expert_fakes import TASKS, experts
from learning_fakes import learner
from term_fakes import step

from mpidcl.errors import ExperimentError
from mpidcl.experiment.reading import from_toml
from mpidcl.learning.batches import Batch
from mpidcl.learning.experts.learner import ExpertsLearner
from mpidcl.learning.terms.balance import Balance, switch_balance, variation
from mpidcl.model.experts.routing import Routes, route


def with_balance(used: int = 4, **options: float) -> ExpertsLearner:
    who = experts()
    who.add_term(Balance(Balance.Options(**options), who))
    who.model.change(used=np.arange(4) < used)
    who.begin_task(TASKS[0])
    return who


def after_a_pass(who: ExpertsLearner) -> tuple[Batch, Routes]:
    batch = next(iter(who.epochs.batches()))
    who.model.train()
    batch.encoded = who.model.encode_rows(batch.z, batch.heads)
    assert who.model.routes is not None
    return batch, who.model.routes


def test_it_is_one_for_even_use_and_n_for_collapse() -> None:
    for experts_there in (2, 5):
        even = route(20 * torch.eye(experts_there).repeat(3, 1), 1)
        assert switch_balance(even, experts_there).item() == pytest.approx(1)
        one = torch.zeros(7, experts_there)
        one[:, 1] = 40.0
        assert switch_balance(route(one, 1), experts_there).item() == pytest.approx(experts_there)
    who = with_balance(alpha=0.01)
    batch, _ = after_a_pass(who)
    who.model.routes = route(20 * torch.eye(4), 2)
    assert who.terms[0].loss(batch).item() == pytest.approx(0.01)


@pytest.mark.parametrize("used", [4, 3])
def test_losses_are_those_of_numpy_over_the_experts_in_use(used: int) -> None:
    who = with_balance(used, alpha=0.3, importance=0.2, z=0.1)
    batch, routes = after_a_pass(who)
    h, p, gates = (one.detach().double().numpy()[:, :used] for one in (*routes[:2], routes.spread()))
    f = np.bincount(h.argmax(1), minlength=used) / len(h)
    wanted = 0.3 * used * (f * p.mean(0)).sum()
    sums = gates.sum(0)
    wanted += 0.2 * sums.var() / sums.mean() ** 2
    wanted += 0.1 * (np.log(np.exp(h).sum(1)) ** 2).mean()
    assert who.terms[0].loss(batch).item() == pytest.approx(wanted, rel=1e-5)


def test_shares_of_rows_are_not_differentiated() -> None:
    """The gradient is that of N sum_i f_i P_i with f held: N f_i / n into p, through the softmax."""
    h = torch.randn(12, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    h.requires_grad_()
    routes = route(h, 2)
    (found,) = torch.autograd.grad(switch_balance(routes, 4), h)
    p = routes.shares.detach()
    f = torch.bincount(h.argmax(1), minlength=4) / 12
    into = (4 * f / 12).expand(12, 4)
    torch.testing.assert_close(found, p * (into - (p * into).sum(1, keepdim=True)))


def test_variation_of_equal_and_of_no_gates_is_nothing() -> None:
    assert variation(torch.full((4,), 2.5)).item() == 0
    assert variation(torch.zeros(4)).item() == 0
    assert variation(torch.tensor([1.0, 3.0])).item() == pytest.approx(0.25)


def test_steps_make_a_collapsed_use_more_even() -> None:
    shares = []
    for alpha in (0.0, 1.0):
        who = with_balance(alpha=alpha)
        who.model.router.bias.data[1] += 2.0
        for _ in range(100):
            step(who)
        rows = who.tasks.training(0)
        who.model.eval()
        routes = who.model.routed(who.model.features(rows.z))
        shares.append(float(routes.shares.detach().mean(0).max()))
    assert shares[1] < 0.5 < shares[0]


def test_rows_that_terms_draw_count_in_the_balance_of_a_step() -> None:
    who = experts(terms=("replay", "balance"), capacity="20 rows")
    who.begin_task(TASKS[0])
    step(who)
    assert who.model.routes is not None and len(who.model.routes.gates) == 8


def test_it_needs_experts() -> None:
    with pytest.raises(
        ExperimentError, match='without experts.*Found kind = "balance" with model.kind = "mlp"'
    ):
        from_toml('name = "x"\nagents = 1\n[learning]\nterms = ["balance"]\n')
    with pytest.raises(ExperimentError, match='"balance" should have a model of experts.*Found MLP'):
        learner(terms=("balance",))
