"""Losses and jitter of single frames, and of many at once: the same, uniform, and different on each link."""

from __future__ import annotations

import numpy as np

from mpidcl.network.frames.conditions import is_lost, jitter, jitters, losses
from mpidcl.network.schedule.topology import Link
from mpidcl.randomness import uniform, uniforms

LINK = Link(0, 3, 5, loss=0.2, jitter=2.0)


def test_the_stream_is_splitmix64():
    published = [6457827717110365317, 3203168211198807973, 9817491932198370423]  # of the seed 1234567
    assert [uniform(1234567, number) for number in range(3)] == [(word >> 11) / 2**53 for word in published]


def test_many_at_once_are_the_single_ones():
    for key in (0, 2**64 - 1, 1234567890123456789):
        assert uniforms(key, 7, 50).tolist() == [uniform(key, number) for number in range(7, 57)]
    assert losses(1, LINK, 90, 40).tolist() == [is_lost(1, LINK, number) for number in range(90, 130)]
    assert jitters(1, LINK, 90, 40).tolist() == [jitter(1, LINK, number) for number in range(90, 130)]
    bursty = Link(0, 3, 5, loss=0.2, burst=4.0)
    assert losses(1, bursty, 1000, 60).tolist() == [
        is_lost(1, bursty, number) for number in range(1000, 1060)
    ]


def test_so_many_are_lost_and_links_do_not_agree():
    other = Link(1, 3, 6, loss=0.2)
    lost, there = losses(0, LINK, 0, 50_000), losses(0, other, 0, 50_000)
    for one in (lost, there, losses(1, LINK, 0, 50_000)):
        assert abs(one.mean() - 0.2) < 5 * np.sqrt(0.16 / 50_000)
    assert abs(np.corrcoef(lost, there)[0, 1]) < 5 / np.sqrt(50_000)
    waits = jitters(0, LINK, 0, 50_000)
    counts = np.histogram(waits, 20, (0.0, 2.0))[0]
    assert ((counts - 2500) ** 2 / 2500).sum() < 60  # 19 degrees of freedom: beyond it once in 10^5
    assert abs(np.corrcoef(lost, waits)[0, 1]) < 5 / np.sqrt(50_000)
    assert not losses(0, Link(0, 3, 5), 0, 9).any() and not jitters(0, Link(0, 3, 5), 0, 9).any()
