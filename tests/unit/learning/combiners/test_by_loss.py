"""ER, A-GEM, MEGA, GradNorm, DWA, RLW: mixtures by losses, lengths, the memory, or chance."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from combiner_cases import decreases, step, steps
from gram_families import family_gram

from mpidcl.errors import ExperimentError
from mpidcl.learning.combiners import combine, make

PAIR = np.array([[4.0, -2.0], [-2.0, 9.0]])  # memory, new


@pytest.mark.parametrize("kind", ["er", "agem", "mega"])
def test_without_a_memory_it_is_the_mean(kind):
    gram = family_gram("normal", 3, 0)
    np.testing.assert_allclose(make(kind).weights(step(gram, tasks=(0, 4, 7))), 1 / 3)


def test_er_is_half_memory_half_the_mean_of_the_new():
    np.testing.assert_allclose(make("er").weights(step(np.eye(3))), (0.5, 0.25, 0.25))


def test_agem_takes_out_what_disagrees_with_the_memory():
    np.testing.assert_allclose(make("agem").weights(step(PAIR)), (0.5, 1))
    np.testing.assert_allclose(make("agem").weights(step(np.abs(PAIR))), (0, 1))
    for seed in range(50):
        gradients = step(family_gram("normal", 5, seed))
        weights = make("agem").weights(gradients)
        assert decreases(gradients, weights)[0] > -1e-12
        np.testing.assert_allclose(weights[1:], 0.25)


def test_mega_weighs_the_memory_by_its_loss_over_the_new_one():
    np.testing.assert_allclose(make("mega").weights(step(PAIR, losses=(3, 0.5))), (6, 1))
    mean = make("mega").weights(step(np.eye(3), losses=(3, 1, 2)))
    np.testing.assert_allclose(mean, (2, 0.5, 0.5))
    np.testing.assert_allclose(make("mega", epsilon=0.6).weights(step(PAIR, losses=(3, 0.5))), (1, 0))


@pytest.mark.parametrize("kind", ["mega", "gradnorm", "dwa", "uw", "famo"])
def test_losses_below_zero_are_named(kind):
    with pytest.raises(ExperimentError, match=f"{kind}: every loss .* for the memory at step 0"):
        make(kind).weights(step(PAIR, losses=(-1, 1)))


@pytest.mark.parametrize(
    ("kind", "options"),
    [(kind, {}) for kind in ("mega", "gradnorm", "dwa", "uw", "famo")]
    + [("mgda", {"normalise": "loss"}), ("mgda", {"normalise": "loss+"}), ("elastic", {"sigma": "loss"})],
)
def test_what_compares_losses_says_so_when_there_are_none(kind, options):
    message = f"{kind}.* compares losses.*Found none for task 4 at step 0. Pass them as `losses`"
    with pytest.raises(ExperimentError, match=message):
        combine(np.eye(2), kind, tasks=(-1, 4), losses=(1, np.nan), **options)
    with pytest.raises(ExperimentError, match="Found none for the memory at step 0"):
        combine(np.eye(2), kind, tasks=(-1, 4), **options)


def test_gradnorm_makes_lengths_as_large_as_tasks_are_slow():
    combiner = make("gradnorm", alpha=1.5)
    gram = np.diag((4.0, 9.0, 0.25))
    combiner.weights(step(gram, losses=(2, 1, 4)))
    weights = combiner.weights(step(gram, losses=(1, 0.75, 4)))
    rates = np.array((0.5, 0.75, 1.0))
    lengths = weights * np.sqrt(gram.diagonal())
    np.testing.assert_allclose(lengths / lengths[2], rates**1.5, rtol=1e-12)
    assert weights.sum() == pytest.approx(3)


def test_gradnorm_goes_a_share_of_the_way():
    combiner = make("gradnorm", rate=0.25)
    one = combiner.weights(step(np.diag((1.0, 1.0))))
    np.testing.assert_allclose(one, 1)
    two = combiner.weights(step(np.diag((1.0, 9.0))))  # wants (1.5, .5)
    np.testing.assert_allclose(two, (1.125, 0.875))


def test_dwa_weighs_by_how_little_the_loss_fell():
    combiner = make("dwa", temperature=2.0)
    np.testing.assert_allclose(combiner.weights(step(PAIR, losses=(4, 1))), 1)
    np.testing.assert_allclose(combiner.weights(step(PAIR, losses=(2, 1))), 1)
    weights = combiner.weights(step(PAIR, losses=(7, 7)))  # ratios 2/4 and 1/1 of the steps before
    wanted = np.exp((0.25, 0.5))
    np.testing.assert_allclose(weights, 2 * wanted / wanted.sum(), rtol=1e-12)


def test_dwa_averages_over_windows_of_each_task():
    combiner = make("dwa", window=2, temperature=1.0)
    for losses in ((4, 1), (2, 3), (1, 2), (2, 4)):
        np.testing.assert_allclose(combiner.weights(step(PAIR, losses=losses)), 1)
    wanted = np.exp((1.5 / 3, 3 / 2))
    np.testing.assert_allclose(combiner.weights(step(PAIR)), 2 * wanted / wanted.sum(), rtol=1e-12)
    np.testing.assert_allclose(
        combiner.weights(step(PAIR, tasks=(-1, 8))), 2 * np.exp((0.5, 1)) / np.exp((0.5, 1)).sum()
    )


def test_variances_go_to_the_losses():
    combiner = make("uw", lr=0.5)
    for _ in range(200):
        weights = combiner.weights(step(PAIR, losses=(0.25, 2.0)))
    np.testing.assert_allclose(weights, (2, 0.25), rtol=1e-9)
    np.testing.assert_allclose(combiner.weights(step(PAIR, tasks=(-1, 5)))[1], 0.5)  # a new task


def by_torch(losses: np.ndarray) -> np.ndarray:
    """z [n] after losses [steps, n]: the published update of the logits, by torch's own Adam."""
    x = torch.zeros(losses.shape[1], dtype=torch.float64, requires_grad=True)
    adam = torch.optim.Adam([x], lr=0.025, weight_decay=1e-3)
    for fall in torch.from_numpy(-np.diff(np.log(losses + 1e-8), axis=0)):
        x.grad = torch.autograd.grad(torch.softmax(x, -1), x, grad_outputs=fall)[0]
        adam.step()
    return torch.softmax(x, -1).detach().numpy()


@pytest.mark.parametrize(("noise", "wanted"), [(0.0, (0.684, 0.219, 0.097)), (0.1, (0.409, 0.370, 0.221))])
def test_famo_learns_its_logits_by_adam(noise, wanted):
    found = []
    for seed in range(8 if noise else 1):
        rng, combiner = np.random.default_rng(seed), make("famo")
        fall = np.arange(301)[:, None] * (0.001, 0.003, 0.012)  # the third falls 12 times as fast
        losses = np.exp(noise * rng.normal(size=fall.shape) - fall)
        for values in losses:
            weights = combiner.weights(step(np.eye(3), losses=values))
        z = weights * (losses[-1] + 1e-8)
        found.append(z / z.sum())
        np.testing.assert_allclose(found[-1], by_torch(losses), rtol=1e-9)
    np.testing.assert_allclose(np.mean(found, 0), wanted, atol=6e-4)


def test_famo_compares_a_task_from_its_second_loss_on():
    combiner = make("famo", lr=0.5, decay=0.0)
    np.testing.assert_allclose(combiner.weights(step(PAIR, tasks=(0, 1), losses=(1, 1))), 0.5)
    weights = combiner.weights(step(np.eye(3), tasks=(0, 1, 2), losses=(0.5, 1, 3)))
    wanted = np.exp((-0.5, 0.5, 0)) / (0.5, 1, 3)  # Adam's first step has the length lr, whatever the slope
    np.testing.assert_allclose(weights, wanted / wanted.sum(), rtol=1e-6)


def test_famo_weighs_by_one_over_the_loss_at_first():
    wanted = 1 / np.array((0.1, 1, 4))
    found = make("famo").weights(step(np.eye(3), losses=(0.1, 1, 4)))
    np.testing.assert_allclose(found, wanted / wanted.sum(), rtol=1e-6)


def test_random_weights_are_a_softmax_of_normal_numbers():
    found = np.array([make("rlw").weights(gradients) for gradients in _repeated(3000)])
    np.testing.assert_allclose(found.sum(1), 1)
    logits = np.log(found) - np.log(found).mean(1, keepdims=True)
    # Differences of normal numbers from their mean of three have variance 2/3.
    np.testing.assert_allclose(logits.mean(0), 0, atol=0.06)
    np.testing.assert_allclose(logits.var(0), 2 / 3, atol=0.06)


def _repeated(count):
    return (step(np.eye(3), seed=seed) for seed in range(count))


def test_methods_without_memory_treat_all_rows_alike():
    for gradients in steps(12):
        for kind in ("sum", "mean", "norm_grad"):
            weights = make(kind).weights(gradients)
            if kind == "norm_grad":
                weights = weights * gradients.norms
            assert len(np.unique(weights.round(12))) <= 2  # 0 for gradients of zeros
