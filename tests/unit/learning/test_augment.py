"""Augmentation: which images can come of one, in which shares; what is changed, and what is not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from learning_fakes import learner, live, model, shape, task
from torch.nn import functional

from mpidcl.errors import ExperimentError
from mpidcl.learning.augment import Augment
from mpidcl.learning.terms.replay import Replay
from mpidcl.randomness import generator_state
from mpidcl.testing.asking import result_of

CNN = {"kind": "cnn", "options": {"width": 4, "depth": 2, "dropout": 0.0}}
WHERE = replace(shape(), augment=("crop", "flip"))


def augment(*names: str, where=WHERE, seed: int = 0) -> Augment:
    net = model("cnn", {"width": 4, "depth": 2}, shape())
    return Augment(names, where, net, np.random.default_rng(seed))


def outcomes(image: torch.Tensor, crop: bool, flip: bool) -> dict[bytes, tuple[int, int, bool]]:
    """All images [c, h, w] that may come of one: how far down and right it begins, and whether mirrored."""
    h, w = image.shape[1:]
    padded = functional.pad(image, (4, 4, 4, 4))
    places = range(9) if crop else (4,)
    return {
        (part.flip(2) if mirrored else part).contiguous().numpy().tobytes(): (down, right, mirrored)
        for mirrored in ((False, True) if flip else (False,))
        for down in places
        for right in places
        for part in (padded[:, down : down + h, right : right + w],)
    }


@pytest.mark.parametrize("names", [("crop",), ("flip",), ("flip", "crop")])
def test_every_outcome_has_its_share(names: tuple[str, ...]) -> None:
    rows = 3000
    image = torch.rand(3, 9, 10)
    possible = outcomes(image, "crop" in names, "flip" in names)
    who = augment(*names, where=shape((3, 9, 10)))
    made = who(image.expand(rows, 3, 9, 10).contiguous())
    found = np.array([possible[row.numpy().tobytes()] for row in made], dtype=np.int64)
    for column, values in zip(found.T, (9, 9, 2), strict=True):
        shares = np.bincount(column, minlength=values) / rows
        used = shares[shares > 0]
        assert len(used) in (1, values)
        # Five standard errors of a share.
        assert np.abs(used - 1 / len(used)).max() <= 5 * np.sqrt(1 / len(used) / rows) * (len(used) > 1)
    assert len(np.unique(found, axis=0)) == len(possible)


def test_rows_that_lie_flat_are_changed_as_images_are_and_the_seed_repeats() -> None:
    x = torch.rand(20, *WHERE.input_shape)
    made = augment("crop", "flip")(x)
    assert made.shape == x.shape and not torch.equal(made, x)
    assert torch.equal(augment("crop", "flip")(x.flatten(1)), made.flatten(1))
    assert torch.equal(augment("crop", "flip")(x), made)
    assert not torch.equal(augment("crop", "flip", seed=1)(x), made)


def test_without_names_nothing_is_changed_copied_or_drawn() -> None:
    who, x = augment(), torch.rand(5, *WHERE.input_shape)
    before = generator_state(who.rng)
    assert who(x) is x and generator_state(who.rng) == before


def test_training_and_remembered_rows_are_changed_anew_and_stay_as_they_are() -> None:
    who = learner(where=WHERE, insert="each step", capacity="12 rows", terms=(), **CNN)
    who.add_term(Replay(Replay.Options(mix="batch", rows_per_step=5), who))
    seen: list[bytes] = []
    inner = who.steps.make_gradient

    def watched(batch: object) -> None:
        seen.extend(z.numpy().tobytes() for z in batch.z)
        inner(batch)

    who.steps.make_gradient = watched
    item = task(0)
    live(who, [item], ticks=3)
    plain = [x.tobytes() for x in item.train.x()]
    assert len(seen) == 3 * 20 + 5 * 8, "a batch has 8 rows, and 5 from a memory that is not empty"
    assert len(set(seen)) > 60, "hardly any row is twice the same"
    assert {x.tobytes() for x in who.memory.rows()["x"]} <= set(plain)
    state = generator_state(who.augment.rng)
    result_of(who.evaluate(0))
    assert generator_state(who.augment.rng) == state
    np.testing.assert_array_equal(who.tasks.test(0).z.numpy(), item.test.x())


def test_joint_shared_tasks_are_changed_alike_and_then_each_agents_own_way() -> None:
    where = replace(shape(joint=1), joint_shared=True, augment=("crop",))
    agents = [learner(agent, where=where, **CNN) for agent in (0, 1)]
    for who in agents:
        live(who, [task(0)], joint=1)
    assert agents[0].digest() == agents[1].digest()
    assert generator_state(agents[0].augment.rng) != generator_state(agents[1].augment.rng)


def test_what_cannot_be_augmented_is_refused() -> None:
    with pytest.raises(ExperimentError, match=r"stream.augment should be \[\] with this model, whose frozen"):
        learner(where=WHERE)
    learner(where=WHERE, options={"width": 8, "projection": False})
    with pytest.raises(ExperimentError, match=r"no images .* rows \[30\]"):
        learner(where=replace(shape((30,)), augment=("flip",)), options={"hidden": [8]})
