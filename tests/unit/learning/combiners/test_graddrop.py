"""GradDrop: a rule per coordinate, the same on every rank."""

from __future__ import annotations

import numpy as np
import pytest
from combiner_cases import step

from mpidcl.learning.combiners import make
from mpidcl.learning.combiners.graddrop import one_sign, uniform

BLOCK = 65536


def mixed(rows: np.ndarray, seed: int = 0, **options) -> np.ndarray:
    gradients = step(rows.astype(float) @ rows.T.astype(float), seed=seed)
    mix = make("graddrop", **options).mix(gradients)
    starts = range(0, rows.shape[1], BLOCK)
    return np.concatenate([mix(list(rows[:, start : start + BLOCK]), start) for start in starts])


@pytest.fixture(scope="module")
def rows() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(3, 2 * BLOCK + 1000)).astype(np.float32)


def test_each_coordinate_takes_one_sign(rows):
    found = mixed(rows)
    up = np.where(rows > 0, rows, 0).astype(float).sum(0).astype(np.float32)
    down = np.where(rows < 0, rows, 0).astype(float).sum(0).astype(np.float32)
    assert found.dtype == np.float32
    assert ((found == up) | (found == down)).all()
    assert (found == up).any() and (found == down).any()


def test_the_sign_has_the_probability_of_its_share(rows):
    found = mixed(rows)
    share = (1 + rows.sum(0) / np.abs(rows).sum(0)) / 2
    for low in np.arange(0, 1, 0.1):
        inside = (share > low) & (share < low + 0.1)
        assert (found[inside] > 0).mean() == pytest.approx(share[inside].mean(), abs=0.02)
    assert found.mean() == pytest.approx(rows.sum(0).mean(), abs=0.02)  # what is kept is right on average


def test_coordinates_on_which_all_agree_are_the_sum():
    rows = np.abs(np.random.default_rng(1).normal(size=(4, 500))).astype(np.float32)
    for sign in (1, -1):
        np.testing.assert_allclose(mixed(sign * rows), sign * rows.sum(0), rtol=1e-6)
    np.testing.assert_array_equal(mixed(np.zeros((2, 5), np.float32)), 0)


def test_any_rank_draws_the_same_for_its_blocks(rows):
    whole = mixed(rows)
    mix = make("graddrop").mix(step(np.eye(3)))
    for start in (2 * BLOCK, 0, BLOCK):  # another order, one block only
        stop = min(start + BLOCK, rows.shape[1])
        np.testing.assert_array_equal(mix(list(rows[:, start:stop]), start), whole[start:stop])


def test_steps_and_blocks_draw_differently(rows):
    assert (mixed(rows) != mixed(rows, seed=1)).mean() > 0.2
    key = np.array([1, 2], np.uint64)
    one, two = uniform(key, 0, BLOCK), uniform(key, BLOCK, BLOCK)
    assert abs(np.corrcoef(one, two)[0, 1]) < 0.02
    np.testing.assert_array_equal(uniform(key, BLOCK, 10), two[:10])


def test_a_leak_lets_the_other_sign_through(rows):
    none, half, whole = (mixed(rows, leak=leak) for leak in (0.0, 0.5, 1.0))
    np.testing.assert_allclose(whole, rows.sum(0), atol=1e-5)
    np.testing.assert_allclose(half, (none + whole) / 2, atol=1e-5)


def test_signs_are_chosen_by_hand():
    rows = [np.array([3, 3, -3], np.float32), np.array([-1, -1, -1], np.float32)]
    np.testing.assert_array_equal(one_sign(rows, np.array([0.7, 0.8, 0.0]), 0.0), (3, -1, -4))


def test_it_has_no_weights():
    with pytest.raises(TypeError, match="should be asked for its rule"):
        make("graddrop").weights(step(np.eye(2)))
