"""Frames that are lost in bursts: the share, the mean length, and the same ones wherever one looks."""

from __future__ import annotations

from itertools import groupby

import numpy as np
import pytest

from mpidcl.errors import ExperimentError
from mpidcl.experiment.reading import from_toml
from mpidcl.network.frames.conditions import BLOCK, is_lost
from mpidcl.network.schedule.topology import Link


def lost(frames, loss, burst, seed=0, target=1):
    link = Link(0, 0, target, loss=loss, burst=burst)
    return np.array([is_lost(seed, link, number) for number in range(frames)])


@pytest.mark.parametrize(("loss", "burst"), [(0.3, 5.0), (0.1, 2.0), (0.5, 1.0), (0.3, 20.0)])
def test_the_share_and_the_mean_length_are_those_that_were_asked_for(loss, burst):
    found = lost(60 * BLOCK, loss, burst)
    lengths = [len(list(run)) for bad, run in groupby(found.tolist()) if bad]
    assert found.mean() == pytest.approx(loss, abs=5 * np.sqrt(loss * burst / len(found)))
    cut_short = burst / BLOCK  # a burst ends with its block
    assert np.mean(lengths) == pytest.approx(burst, rel=cut_short + 5 / np.sqrt(len(lengths)) + 1e-9)


def test_without_bursts_losses_are_independent_and_with_them_they_are_not():
    alone, together = lost(20_000, 0.3, None), lost(20_000, 0.3, 5.0)
    follow = [np.mean(found[1:][found[:-1]]) for found in (alone, together)]
    assert follow[0] == pytest.approx(0.3, abs=0.03) and follow[1] == pytest.approx(0.8, abs=0.03)


def test_a_frame_is_lost_or_not_whatever_was_asked_before_and_links_differ():
    found = lost(3 * BLOCK, 0.3, 5.0, seed=3)
    link = Link(0, 0, 1, loss=0.3, burst=5.0)
    assert [is_lost(3, link, n) for n in range(3 * BLOCK - 1, -1, -7)] == found[::-7].tolist()
    assert not np.array_equal(found, lost(3 * BLOCK, 0.3, 5.0, seed=4))
    assert not np.array_equal(found, lost(3 * BLOCK, 0.3, 5.0, seed=3, target=2))


def test_bursts_that_cannot_be_are_refused():
    with pytest.raises(ExperimentError, match=r"network.conditions.burst: should be at least 9 where"):
        from_toml('name = "a"\nagents = 2\nnetwork = {conditions = {loss = 0.9, burst = 2.0}}')
    from_toml('name = "a"\nagents = 2\nnetwork = {conditions = {loss = 0.9, burst = 9.0}}')
