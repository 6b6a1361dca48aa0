"""Dense experts: both passes are those of the float64 definition, and bad input is refused."""

from __future__ import annotations

import numpy as np
import pytest

from mpidcl_kernels import experts
from mpidcl_kernels.base.types import Floats, Index

SIZES = ((1, 3, 2, 1, (4,)), (9, 5, 4, 2, (3, 2, 6, 3)), (40, 17, 8, 3, (8,) * 6), (3, 2, 2, 2, (1, 9)))
"""Rows, inputs, width, experts of a row, hidden units of each."""
Case = tuple[Floats, Index, Floats, Floats, experts.Layout]


def case(rows: int, inputs: int, width: int, active: int, hidden: tuple[int, ...]) -> Case:
    rng = np.random.default_rng(rows)
    layout = experts.Layout.of(inputs, width, hidden)
    chosen = np.stack([rng.permutation(len(hidden))[:active] for _ in range(rows)]).astype(np.int64)
    x, gates, weights = (
        rng.normal(size=shape).astype(np.float32) for shape in ((rows, inputs), (rows, active), layout.size)
    )
    return x, chosen, gates, weights, layout


@pytest.mark.parametrize("size", SIZES)
def test_both_passes_are_those_of_the_definition(size: tuple[int, int, int, int, tuple[int, ...]]) -> None:
    given = case(*size)
    x, chosen, gates, weights, layout = given
    y, passed = experts.forward(*given)
    np.testing.assert_allclose(y, experts.forward_definition(*given), rtol=1e-4, atol=1e-5)
    change = np.random.default_rng(0).normal(size=y.shape).astype(np.float32)
    before = np.random.default_rng(1).normal(size=weights.shape).astype(np.float32)
    added = before.copy()
    by_x, by_gates = experts.backward(change, passed, weights, layout, added)
    for found, wanted in zip(
        (by_x, by_gates, added - before),
        experts.backward_definition(change, x, chosen, gates, weights, layout),
        strict=True,
    ):
        np.testing.assert_allclose(found, wanted, rtol=1e-3, atol=2e-4)


def test_the_definition_has_the_gradients_of_finite_differences() -> None:
    x, chosen, gates, weights, layout = case(*SIZES[1])
    wide = weights.astype(np.float64)
    change = np.random.default_rng(2).normal(size=(len(x), layout.width))
    by_weights = experts.backward_definition(change, x, chosen, gates, wide, layout)[2]
    for place in (0, 7, layout.size - 1):
        up, down = wide.copy(), wide.copy()
        up[place] += 1e-6
        down[place] -= 1e-6
        values = (
            float((change * experts.forward_definition(x, chosen, gates, w, layout)).sum())
            for w in (up, down)
        )
        high, low = values
        assert (high - low) / 2e-6 == pytest.approx(by_weights[place], rel=1e-4, abs=1e-6)


def test_an_expert_that_nobody_chose_gets_no_gradient_and_weights_may_rest() -> None:
    x, chosen, gates, weights, layout = case(9, 5, 4, 2, (3, 2, 6, 3))
    chosen[:] = (1, 3)
    y, passed = experts.forward(x, chosen, gates, weights, layout)
    added = np.zeros_like(weights)
    with_weights = experts.backward(np.ones_like(y), passed, weights, layout, added)
    for expert, moved in enumerate((False, True, False, True)):
        blocks = layout.blocks(added, expert)
        assert any(block.any() for block in blocks) == moved
    without = experts.backward(np.ones_like(y), passed, weights, layout)
    assert all(np.array_equal(a, b) for a, b in zip(with_weights, without, strict=True))


def test_no_rows_give_no_rows() -> None:
    given = case(9, 5, 4, 2, (3, 2, 6, 3))
    y, _ = experts.forward(given[0][:0], given[1][:0], given[2][:0], *given[3:])
    assert y.shape == (0, 4)


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("x", lambda g: (g[0][:, 1:], *g[1:])),
        ("x", lambda g: (g[0].astype(np.float64), *g[1:])),
        ("chosen", lambda g: (g[0], g[1] + 3, *g[2:])),
        ("chosen", lambda g: (g[0], g[1] - 1, *g[2:])),
        ("chosen", lambda g: (g[0], g[1][:-1], *g[2:])),
        ("weights", lambda g: (*g[:3], g[3][:-1], g[4])),
        ("gates", lambda g: (*g[:2], np.asfortranarray(g[2]), *g[3:])),
    ],
)
def test_what_does_not_fit_is_refused(name: str, wrong) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ValueError, match=f"`?{name}`? should be"):
        experts.forward(*wrong(case(9, 5, 4, 2, (3, 2, 6, 3))))


def test_a_change_of_another_shape_is_refused() -> None:
    given = case(9, 5, 4, 2, (3, 2, 6, 3))
    y, passed = experts.forward(*given)
    with pytest.raises(ValueError, match="change"):
        experts.backward(y[:-1], passed, given[3], given[4])
    with pytest.raises(ValueError, match="by_weights"):
        experts.backward(y, passed, given[3], given[4], given[3][:-1].copy())
