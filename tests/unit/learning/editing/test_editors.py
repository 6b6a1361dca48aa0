"""Editors: which way rows move, how far, and what stays as it is."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from editing_fakes import moment, setting
from torch import Tensor

from mpidcl.experiment import kinds
from mpidcl.learning.editing.align import Align, Negated, Random
from mpidcl.learning.editing.base import EditMoment, Editor
from mpidcl.learning.editing.conflict import Conflict
from mpidcl.learning.editing.operator import input_gradient, moving, parameter_gradient
from mpidcl.learning.editing.pattern import Pattern

KINDS = sorted(kinds.BUILT_IN["editor"])
STEPS = {"conflict": "alpha"}
"""The option that is the size of a step, where it is not `lr`."""


def editor(kind: str, size: float | None = None, **options: object) -> Editor:
    own = kinds.options_type("editor", kind)
    given = {} if size is None else {STEPS.get(kind, "lr"): size}
    made: Editor = kinds.resolve("editor", kind)(own(**(given | options)))
    return made


def disagreement(at, now: EditMoment, x: Tensor) -> float:
    """|d* - grad_theta loss(x)|^2, what `align` makes smaller."""
    return float((now.direction - at.gradient(x)).double().square().sum())


def after_lookahead(at, now: EditMoment, x: Tensor, eta: float) -> float:
    """How much the loss of x grows by a step along the new gradient, what `conflict` makes larger."""
    with torch.no_grad(), moving(at.net.flat) as move:
        before = at.loss(x).double()
        move(now.new_gradient, -eta)
        return float(at.loss(x).double() - before)


def lengths(rows: Tensor) -> Tensor:
    return rows.flatten(1).norm(dim=1)


@pytest.mark.parametrize("name", ["mlp", "cnn", "resnet"])
@pytest.mark.parametrize("kind", ["align", "negated"])
def test_align_brings_the_gradient_closer_and_negated_takes_it_away(kind, name):
    at = setting(name)
    now = moment(at)
    before = disagreement(at, now, at.x)
    # A step of this size changes the disagreement by a ten-thousandth, where it is still straight.
    slope = lengths(editor("align", 1.0).change(now)[0]).square().sum() * 4
    edited, moved = editor(kind, 2e-4 * before / float(slope)).edit(now)
    change = disagreement(at, now, edited) - before
    assert moved.min() > 0
    assert (change < 0) == (kind == "align")
    assert abs(change) == pytest.approx(2e-4 * before, rel=0.2)


@pytest.mark.parametrize("name", ["mlp", "cnn"])
def test_conflict_makes_the_next_step_hurt_more(name):
    at = setting(name)
    now = moment(at)
    grows = [
        after_lookahead(at, now, editor("conflict", size, beta=0.0, eta=0.05).edit(now)[0], 0.05)
        for size in (0.0, 1.0, 4.0)
    ]
    assert grows[0] < grows[1] < grows[2]


def test_conflict_keeps_the_loss_low_when_beta_is_large():
    at = setting("cnn")
    now = moment(at)
    edited = [editor("conflict", 0.1, beta=beta).edit(now)[0] for beta in (0.0, 10.0, 100.0)]
    losses = [at.loss(x).item() for x in edited]
    assert losses[0] > losses[1] > losses[2]


def test_conflict_is_its_formula():
    at = setting("resnet")
    now = moment(at, age=np.arange(len(at.x)))
    edited, _ = editor("conflict", 0.2, beta=0.3, kappa=0.5, eta=0.7).edit(now)
    here = input_gradient(at.loss, at.net.flat, at.x)
    with moving(at.net.flat) as move:
        move(now.new_gradient, -0.7)
        there = input_gradient(at.loss, at.net.flat, at.x)
    sizes = torch.from_numpy(0.2 * 0.5 ** np.arange(len(at.x))).float().view(-1, 1, 1, 1)
    expected = at.x + sizes * ((there - here) - 0.3 * here)
    torch.testing.assert_close(edited, expected, rtol=1e-5, atol=1e-6)


def test_a_row_moves_less_with_every_edit():
    at = setting("cnn")
    young = editor("conflict", kappa=0.5).edit(moment(at))[1]
    ages = np.arange(len(at.x)) % 4
    old = editor("conflict", kappa=0.5).edit(moment(at, age=ages))[1]
    np.testing.assert_allclose(old / young, 0.5**ages, rtol=1e-2)
    assert torch.equal(
        editor("conflict").edit(moment(at, age=ages))[0], editor("conflict").edit(moment(at))[0]
    )


@pytest.mark.parametrize("kind", KINDS)
def test_rows_stay_in_range_and_the_moment_stays_as_it_was(kind):
    at = setting("cnn", low=0.0, high=1.0)
    now = moment(at)
    kept = [tensor.clone() for tensor in (now.x, at.net.flat.data, now.direction, now.memory_gradient)]
    edited, moved = editor(kind, 1e4).edit(now)
    assert edited.shape == at.x.shape and edited.dtype == torch.float32
    assert edited.min() == 0 and edited.max() == 1
    assert moved.dtype == torch.float32
    torch.testing.assert_close(moved, lengths(edited - at.x))
    left = (now.x, at.net.flat.data, now.direction, now.memory_gradient)
    assert all(torch.equal(a, b) for a, b in zip(kept, left, strict=True))


@pytest.mark.parametrize("kind", KINDS)
def test_a_step_of_size_zero_moves_nothing(kind):
    at = setting("mlp")
    edited, moved = editor(kind, 0.0).edit(moment(at))
    assert torch.equal(edited, at.x)
    assert not moved.any()


@pytest.mark.parametrize("kind", ["align", "negated", "random"])
def test_rows_that_agree_already_stay(kind):
    at = setting("mlp")
    now = moment(at, direction=at.gradient())
    edited, moved = editor(kind, 1.0).edit(now)
    assert torch.equal(edited, at.x)
    assert not moved.any()


@pytest.mark.parametrize("kind", KINDS)
def test_no_row_moves_farther_than_the_limit(kind):
    at = setting("cnn")
    _, free = editor(kind, 10.0).edit(moment(at))
    limit = float(free.median())
    _, moved = editor(kind, 10.0, max_move=limit).edit(moment(at))
    assert moved.max() <= limit * (1 + 1e-5) < free.max()


@pytest.mark.parametrize("kind", ["align", "conflict"])
def test_two_steps_are_two_edits(kind):
    at = setting("cnn")
    now, size = moment(at), 0.5
    first, _ = editor(kind, size).edit(now)
    between = moment(
        setting_with(at, first),
        memory_gradient=at.gradient(first),
        direction=now.direction,
        new_gradient=now.new_gradient,
    )
    second, _ = editor(kind, size).edit(between)
    both, moved = editor(kind, size, steps=2).edit(now)
    torch.testing.assert_close(both, second)
    torch.testing.assert_close(moved, lengths(second - at.x))
    assert not torch.allclose(both, first)


@pytest.mark.parametrize("steps", [1, 2])
@pytest.mark.parametrize("name", ["mlp with dropout", "cnn", "resnet"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_pattern_changes_no_bit_of_an_edit(kind, name, steps):
    at = setting(name)
    made = editor(kind, 1.0, steps=steps)
    without, far = made.edit(moment(at))
    pattern = Pattern()
    parameter_gradient(at.loss, at.net.flat, at.x, pattern)
    edited, moved = made.edit(moment(at, pattern=pattern))
    assert not torch.equal(edited, at.x)
    assert torch.equal(edited, without) and torch.equal(moved, far)


@pytest.mark.parametrize("kind", KINDS)
def test_a_second_edit_has_no_pattern_of_the_first(kind):
    at = setting("cnn")
    pattern = Pattern()
    later = editor(kind).again(moment(at, pattern=pattern), at.x / 2)
    assert later.pattern is not pattern
    assert (later.pattern is not None) == editor(kind).uses_pattern


def setting_with(at, x: Tensor):
    return type(at)(at.net, x, at.y, at.loss)


def test_random_vectors_have_the_length_that_align_s_has():
    at = setting("cnn")
    now, again, other = (moment(at, rng=np.random.default_rng(seed)) for seed in (1, 1, 2))
    wanted = [Random().wanted(one) for one in (now, again, other)]
    assert float(wanted[0].norm()) == pytest.approx(float(Align().wanted(now).norm()), rel=1e-5)
    assert torch.equal(wanted[0], wanted[1])
    assert not torch.equal(wanted[0], wanted[2])
    cosine = torch.dot(wanted[0], wanted[2]) / wanted[0].norm() ** 2
    assert abs(float(cosine)) < 5 / len(wanted[0]) ** 0.5


def test_random_pixels_move_as_far_as_align_moves_them():
    at = setting("cnn")
    _, aligned = editor("align", 0.1).edit(moment(at))
    edited, moved = editor("random", 0.1, space="pixels").edit(moment(at))
    torch.testing.assert_close(moved, aligned, rtol=1e-3, atol=1e-6)
    straight = editor("align", 0.1).edit(moment(at))[0] - at.x
    cosine = ((edited - at.x) * straight).sum() / straight.square().sum()
    assert abs(float(cosine)) < 0.3


def test_negated_is_the_mirror_of_align():
    at = setting("resnet")
    there, _ = editor("align", 1e-4).edit(moment(at))
    back, _ = editor("negated", 1e-4).edit(moment(at))
    assert lengths(there - at.x).min() > 1e-4
    torch.testing.assert_close(there - at.x, at.x - back, atol=1e-6, rtol=1e-3)


@pytest.mark.parametrize("kind", ["align", "negated"])
def test_a_direction_that_is_not_finite_moves_nothing(kind):
    at = setting("mlp")
    now = moment(at)
    now.direction[5] = torch.inf
    edited, moved = editor(kind, 1.0).edit(now)
    assert torch.equal(edited, at.x)
    assert moved.isnan().all()


def test_conflict_says_what_it_lacks():
    at = setting("mlp")
    with pytest.raises(ValueError, match="at least one active task"):
        Conflict().edit(moment(at, new_gradient=None))
    assert Conflict.needs_new_gradient
    assert not any(kind.needs_new_gradient for kind in (Align, Negated, Random))


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_defaults_and_a_state(kind):
    made = editor(kind)
    assert made.name == kind
    assert made.kernels == ("editing",)
    made.load(made.state())
    assert kinds.resolve("editor", kind)().options == made.options


@pytest.mark.parametrize(
    ("kind", "wrong"),
    [
        ("align", {"lr": -0.1}),
        ("align", {"reach": 0.0}),
        ("align", {"steps": 0}),
        ("random", {"space": "time"}),
        ("conflict", {"kappa": 1.5}),
        ("conflict", {"eta": 0.0}),
        ("negated", {"max_move": 0.0}),
    ],
)
def test_options_out_of_bounds_are_refused(kind, wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        kinds.options_type("editor", kind)(**wrong)
