"""Linear learners: the inner update, what they tell each other, and what a run of groups settles on."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from linear_fakes import DAMTL, agents_of, experiment, lived
from scipy.linalg import solve_continuous_lyapunov

from mpidcl.errors import ExperimentError
from mpidcl.learning.linear.learner import LinearLearner
from mpidcl.learning.linear.relation import Relation, RelationOptions, laplacian_of
from mpidcl.learning.linear.speaker import Speaker
from mpidcl.learning.linear.stability import settled_weights, stable_rate, together
from mpidcl.learning.linear.strength import Settling
from mpidcl.testing import result_of
from mpidcl_kernels.linear import linear_step_definition

RNG = np.random.default_rng(0)
ONES = (1, 1, 1, 1)


def learner_of(agent: Any) -> LinearLearner:
    assert isinstance(agent.learner, LinearLearner)
    return agent.learner


def begun(**keys: Any) -> LinearLearner:
    """Agent 1, which hears agent 0 and is drawn to others, before its first sample."""
    agent = agents_of(experiment(**keys))[1]
    agent.learner.begin_task(agent.stream.task(0))
    return learner_of(agent)


def test_a_sample_is_the_step_of_the_definition() -> None:
    one = begun()
    x, y = one.tasks[0].block(0)
    model, pull = RNG.normal(size=3), RNG.normal(size=3)
    one.hear(0, model, 1.0)
    one.follow(2.0, 0.3, pull)
    before = one.w.copy()
    result_of(one.learn(0, 0))
    want = linear_step_definition(
        before,
        x[0],
        y[0],
        model[None],
        np.ones(1),
        1.0,
        np.array([0.3, 1.0]),
        np.stack([before, pull]),
        1.0,
        0.02,
    )
    np.testing.assert_allclose(one.w, want, rtol=1e-13)


def test_who_has_not_spoken_does_not_pull_and_the_newest_copy_stands() -> None:
    one, other = begun(), begun(exchanges=())
    result_of(one.learn(0, 0)), result_of(other.learn(0, 0))
    np.testing.assert_array_equal(one.w, other.w)
    one.hear(0, np.full(3, 9.0), 1.0)
    one.hear(2, np.full(3, -9.0), 1.0)  # in the group, but no in-neighbour
    for tick in range(1, 30):
        result_of(one.learn(0, tick)), result_of(other.learn(0, tick))
    assert (one.w > other.w + 0.5).all()


def test_an_older_word_of_the_messenger_is_left() -> None:
    one = begun()
    one.follow(5.0, 0.1, np.ones(3))
    one.follow(4.0, 0.2, np.zeros(3))
    np.testing.assert_array_equal(one._row, [0.1, 1.0])


def test_steps_decay() -> None:
    one = begun(learning={"decay": 0.5})
    rates = []
    for tick in range(4):
        rates.append(one._rate())
        result_of(one.learn(0, tick))
    np.testing.assert_allclose(rates, 0.02 / np.sqrt([1, 2, 3, 4]))


def test_a_step_size_beyond_stability_is_refused() -> None:
    with pytest.raises(ExperimentError, match=r"learning\.lr should be below 0\..* for agent 1.* Found 0\.9"):
        begun(learning={"lr": 0.9})


def test_the_bound_of_gaussian_rows_is_that_of_theory() -> None:
    x = np.random.default_rng(1).normal(size=(400_000, 6))
    assert stable_rate(x) == pytest.approx(2 / 8, rel=0.02)
    assert stable_rate(x, 3.0) == pytest.approx(2 / 14, rel=0.02)
    assert stable_rate(np.zeros((3, 2))) == np.inf
    scaled = x * np.array([10, 1, 1, 1, 1, 1])
    assert stable_rate(scaled) < 2 / 100


@pytest.mark.parametrize("factor", [0.8, 1.3])
def test_errors_grow_above_the_bound_and_shrink_below(factor: float) -> None:
    x = np.random.default_rng(2).normal(size=(500, 3))
    alpha = factor * stable_rate(x)
    steps = np.stack([np.eye(3) - alpha * np.outer(row, row) for row in x])
    square = np.eye(9)  # of the mean square: E (I - alpha xx') x (I - alpha xx')
    square = np.mean([np.kron(one, one) for one in steps], axis=0) @ square
    assert (np.abs(np.linalg.eigvals(square)).max() > 1) == (factor > 1)


def test_a_group_settles_on_the_weights_that_keep_its_mean() -> None:
    pulls = np.array([[0, 1, 0], [1, 0, 1], [1, 0, 0]], float)
    weights = settled_weights(pulls)
    laplacian = np.diag(pulls.sum(1)) - pulls
    np.testing.assert_allclose(weights @ laplacian, 0, atol=1e-12)
    assert weights.sum() == pytest.approx(1)
    start = RNG.normal(size=3)
    moved = start.copy()
    for _ in range(4000):
        moved = moved - 0.01 * laplacian @ moved
    np.testing.assert_allclose(moved, weights @ start, atol=1e-8)
    np.testing.assert_array_equal(settled_weights(np.ones((4, 4)) - np.eye(4)), np.full(4, 0.25))
    np.testing.assert_array_equal(settled_weights(np.zeros((1, 1))), [1.0])


def test_the_noise_that_coupling_leaves_is_that_of_the_lyapunov_equation() -> None:
    """A P + P A' = I, A = I + coupling L: a node alone has P = 1/2."""
    shapes = {
        "directed ring": np.roll(np.eye(6), -1, 0),
        "ring": np.roll(np.eye(6), -1, 0) + np.roll(np.eye(6), 1, 0),
        "complete": np.ones((6, 6)) - np.eye(6),
        "star": np.array([[0, 1, 1, 1], [1, 0, 0, 0], [1, 0, 0, 0], [1, 0, 0, 0]], float),
    }
    for pulls in shapes.values():
        drift = np.eye(len(pulls)) + 0.7 * (np.diag(pulls.sum(1)) - pulls)
        left = solve_continuous_lyapunov(drift, np.eye(len(pulls)))
        drawn = together(pulls, 0.7)
        assert drawn[0] == pytest.approx(0, abs=1e-12)
        assert np.mean(1 / (1 + drawn)) == pytest.approx(2 * left.trace() / len(pulls))
        np.testing.assert_array_equal(together(pulls, 0.0), 0)
    np.testing.assert_array_equal(together(np.zeros((1, 1)), 1.0), [0])


# --- who speaks --------------------------------------------------------------------------------------


def speaker() -> Speaker:
    return Speaker(1, (3, 4, 5), np.array([0.5, 0.25, 0.25]), groups=3, features=2)


def average(one: Speaker, now: float) -> None:
    """Of members that no relation draws."""
    one.average(now, int(now), 0.1, 0.0, np.zeros(2))


def test_a_mean_is_that_of_the_members_heard_of() -> None:
    one = speaker()
    average(one, 1.0)
    assert one.times[1] == -1
    one.hear(3, np.array([4.0, 0.0]), 2.0)
    one.hear(4, np.array([0.0, 8.0]), 4.0)
    average(one, 2.0)
    np.testing.assert_allclose(one.means[1], [8 / 3, 8 / 3])
    assert (one.times[1], one.variance) == (2.0, 3.0)
    assert one.noises[1] == pytest.approx(0.1 * 3 / 2 * (4 / 9 + 1 / 9))  # lr s^2 / 2 of weights 2/3 and 1/3


def test_what_the_relation_has_drawn_a_mean_by_is_added_back() -> None:
    """A model that is drawn settles elsewhere; its mean is that of the loss (w - w*)'H(w - w*) / 2 alone."""
    rows = np.array([[1.0, 1.0], [0.2, -0.2]])
    features, truth, rate = rows.T @ rows / 2, np.array([1.0, -2.0]), 0.05
    one = Speaker(0, (0,), np.ones(1), groups=1, features=2)
    one.look(rows)
    own, pull, model = 3.0, np.array([0.5, 0.5]), np.zeros(2)
    for sample in range(4000):
        if sample % 5 == 0:
            one.hear(0, model, 0.0)
            one.average(float(sample), sample, rate, own, pull)
        model = model - rate * (features @ (model - truth) + own * model + pull)
    assert np.abs(model - truth).max() > 1
    np.testing.assert_allclose(one.means[0], truth, atol=1e-3)
    again = Speaker(0, (0,), np.ones(1), groups=1, features=2)
    again.look(rows)
    again.load(one.state())
    for each in (one, again):
        each.average(4000.0, 4007, rate, own, pull)
    np.testing.assert_array_equal(again.means, one.means)


def test_newer_means_count_whichever_way_they_came() -> None:
    one = speaker()
    one.learn(0, 3.0, np.array([1.0, 1.0]), 0.5)
    one.learn(0, 2.0, np.array([9.0, 9.0]), 9.0)
    one.learn(1, 99.0, np.array([9.0, 9.0]), 9.0)  # its own group: it knows better
    np.testing.assert_array_equal(one.means[0], [1.0, 1.0])
    assert one.noises[0] == 0.5
    assert not one.complete
    one.learn(2, 0.0, np.zeros(2), 0.0)
    one.hear(3, np.zeros(2), 0.0)
    average(one, 1.0)
    assert one.complete


# --- the relation ------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["logdet", "trace-one", "sparse", "laplacian", "fixed", "identity"])
@pytest.mark.parametrize("mean", ["learned", "zero"])
def test_a_pull_is_the_gradient_of_the_global_term(form: str, mean: str) -> None:
    """lam_G / 2 tr((W - m1') Theta (W - m1')') by the model of one group, by finite differences."""
    relation = Relation(RelationOptions(form=form, mean=mean, beta=1.0, lam_1=0.01), ONES)
    means = RNG.normal(size=(4, 3)) + 2
    centre = means.mean(0) if mean == "learned" else np.zeros(3)
    relation.step(means, np.zeros(4))
    own, pull = relation.pull(1, means, 0.7)
    drawn = np.linalg.solve(np.eye(4) + 0.7 * relation.theta, means - centre)

    def term(model: np.ndarray) -> float:
        around = np.vstack([drawn[:1], model - centre, drawn[2:]])
        return 0.35 * float(np.einsum("kd,kl,ld->", around, relation.theta, around))

    model, small = RNG.normal(size=3), 1e-6
    slope = [(term(model + small * e) - term(model - small * e)) / (2 * small) for e in np.eye(3)]
    np.testing.assert_allclose(own * model + pull, slope, rtol=1e-6, atol=1e-8)
    rest = (means[1] - pull) / (1 + own)  # of a model with E |x'(w - mean)|^2 / 2 as its own loss
    np.testing.assert_allclose(rest, centre + drawn[1], atol=1e-12)


@pytest.mark.parametrize("form", ["logdet", "trace-one", "sparse", "laplacian", "fixed", "identity"])
def test_all_forms_have_one_scale(form: str) -> None:
    options = RelationOptions(form=form, mean="zero", beta=1.0, lam_1=0.01, least=1e-9, most=1e9)
    relation = Relation(options, ONES)
    means = RNG.normal(size=(4, 8))
    relation.step(means, np.zeros(4))
    covariance = means @ means.T / 8 + options.ridge * np.eye(4)
    assert (relation.theta * covariance).sum() == pytest.approx(4, rel=1e-6)


def test_the_outer_step_is_damped_and_clipped() -> None:
    means = np.array([[5.0, 0.0], [5.0, 0.1]])
    relation = Relation(RelationOptions(beta=0.25, most=3.0), ONES[:2])
    for _ in range(3):
        relation.step(means, np.zeros(2))
        assert np.linalg.eigvalsh(relation.theta)[-1] <= 3.0 + 1e-12
        np.testing.assert_array_equal(relation.theta, relation.theta.T)
    assert relation.theta[0, 1] < 0 < relation.theta[0, 0]  # alike about zero, apart about their mean


def test_gradient_steps_come_to_the_closed_form() -> None:
    means = RNG.normal(size=(3, 6))
    damped = Relation(RelationOptions(mean="zero", beta=1.0), ONES[:3])
    damped.step(means, np.zeros(3))
    slope = Relation(RelationOptions(mean="zero", step="gradient", beta=0.05), ONES[:3])
    for _ in range(12_000):
        slope.step(means, np.zeros(3))
    np.testing.assert_allclose(slope.theta, damped.theta, rtol=1e-3)


def test_means_that_are_not_finite_leave_the_relation_as_it_is() -> None:
    relation, means = Relation(RelationOptions(noise="subtract"), ONES[:2]), np.array([[np.nan], [1.0]])
    relation.step(means, np.zeros(2))
    np.testing.assert_array_equal(relation.theta, np.eye(2))
    assert relation.strength(0, means, np.zeros(2), Settling(1.0, 1.0, np.zeros(1), np.ones(1), 1.0)) == 0


def test_laplacians_of_graphs() -> None:
    np.testing.assert_array_equal(laplacian_of("complete", 3), 3 * np.eye(3) - np.ones((3, 3)))
    np.testing.assert_array_equal(laplacian_of("ring", 2), [[1, -1], [-1, 1]])
    np.testing.assert_array_equal(laplacian_of(((0, 2),), 3), [[1, 0, -1], [0, 0, 0], [-1, 0, 1]])
    np.testing.assert_array_equal(laplacian_of("ring", 1), [[0]])


# --- whole runs --------------------------------------------------------------------------------------


def late(exchanges: Any, lr: float = 0.05, agents: int = 6, coupling: float = 1.0, **stream: Any) -> float:
    """Mean error over agents at the evaluations of the second half of a short run."""
    whole = experiment(
        agents,
        exchanges,
        stream={"samples": 300, **stream},
        evaluation={"every": "5 s"},
        learning={"lr": lr, "coupling": coupling},
    )
    made = lived(whole)
    rows = [[e.values["error"][0] for e in agent.evaluations] for agent in made.values()]
    return float(np.mean([row[len(row) // 2 :] for row in rows]))


def test_a_group_has_less_error_than_its_members_alone() -> None:
    """Independent noise: N nodes that are coupled strongly divide the error by about N."""
    alone, group = late((), agents=24), late(DAMTL[:1], agents=15, coupling=3.0)
    assert alone == pytest.approx(0.05 * 3 / (2 - 0.05 * 5), rel=0.25)
    assert group < 0.6 * alone


def test_related_groups_have_less_error() -> None:
    near = {"noise": 3.0, "scatter": 0.05, "agents": 9}
    related = (*DAMTL[:2], {**DAMTL[2], "form": "identity"})
    assert late(related, **near) < 0.9 * late(DAMTL[:1], **near)


def test_a_heavy_hand_is_a_lasting_bias() -> None:
    apart = {"noise": 0.2, "scatter": 2.0}
    heavy = (*DAMTL[:2], {**DAMTL[2], "form": "identity", "strength": 1.0})
    assert late(heavy, **apart) > 10 * late(DAMTL[:1], **apart)


def test_groups_of_one_are_related_too() -> None:
    made = lived(experiment(agents=4, groups={"of": 1}, stream={"samples": 200, "noise": 0.3}))
    for agent in made.values():
        one = learner_of(agent)
        assert one.relation is not None and not np.array_equal(one.relation.theta, np.eye(4))
        assert one._row[0] > 0


def test_messengers_of_all_groups_come_to_one_relation() -> None:
    made = lived(experiment(agents=9, stream={"samples": 300, "noise": 0.1}, learning={"lr": 0.1}))
    thetas = [learner_of(made[agent]).relation for agent in (0, 3, 6)]
    found = [one.theta for one in thetas if one is not None]
    assert len(found) == 3
    for other in found[1:]:
        assert np.linalg.norm(other - found[0]) < 0.1 * np.linalg.norm(found[0])
