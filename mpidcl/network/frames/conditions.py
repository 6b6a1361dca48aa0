"""Accidents on purpose: functions of (seed, link, frame number), the same in every run and in any order."""

from __future__ import annotations

import math
from bisect import bisect_right
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from mpidcl.network.frames.frame import PREFIX_BYTES
from mpidcl.network.schedule.topology import Link
from mpidcl.randomness import counted_stream, numpy_generator, uniform, uniforms


def shortest_way(link: Link) -> float:
    """Seconds that no frame of a link is faster than: of the least one there is."""
    return link.latency + seconds_on(link, PREFIX_BYTES)


def seconds_on(link: Link, size: int) -> float:
    """For how long `size` bytes occupy a line."""
    return size / link.bandwidth if link.bandwidth else 0.0


def is_lost(seed: int, link: Link, number: int) -> bool:
    """Whether the `number`-th frame of a link is lost (probability `link.loss`)."""
    if link.loss <= 0.0:
        return False
    if link.burst is None:
        return uniform(_stream(seed, link, "loss"), number) < link.loss
    block, place = divmod(number, BLOCK)
    return _bursts(seed, link.source, link.target, link.loss, link.burst, block)[place]


def is_down(link: Link, time: float) -> bool:
    """Whether a link is not there at a time; at the end of a time of being down it is there again."""
    place = bisect_right(link.down, (time, math.inf)) - 1
    return place >= 0 and time < link.down[place][1]


BLOCK = 1024
"""Frames of which bursts are found together: a burst that would last beyond the last of them ends there, so
that any frame is found without those before its block."""


@lru_cache(maxsize=4096)
def _bursts(seed: int, source: int, target: int, loss: float, burst: float, block: int) -> list[bool]:
    """Which frames of a block are lost, by the chain of Gilbert 1960 ("Capacity of a burst-noise channel").

    It is in one of two states, and frames of the bad one are lost. A bad state ends with probability
    1 / burst, a good one as often as makes `loss` the share of bad ones; a block begins with that share.
    """
    numbers = numpy_generator(seed, source, "bursts", target, block).random(BLOCK)
    bad = bool(numbers[0] < loss)
    begins, ends = begin_of_burst(loss, burst), 1 / burst
    found = [bad]
    for number in numbers[1:].tolist():
        bad = number >= ends if bad else number < begins
        found.append(bad)
    return found


def begin_of_burst(loss: float, burst: float) -> float:
    """Probability that a burst begins after a frame that was not lost; above 1 there are no such bursts."""
    return loss / (burst * (1 - loss)) if loss < 1 else math.inf


def jitter(seed: int, link: Link, number: int) -> float:
    """Seconds that the `number`-th frame of a link takes beside all else: uniform from 0 to `link.jitter`."""
    if link.jitter <= 0.0:
        return 0.0
    return link.jitter * uniform(_stream(seed, link, "jitter"), number)


def losses(seed: int, link: Link, first: int, count: int) -> NDArray[np.bool_]:
    """`is_lost` of `count` frames from number `first` on."""
    if link.loss <= 0.0 or link.burst is not None:
        return np.array([is_lost(seed, link, first + more) for more in range(count)], np.bool_)
    found: NDArray[np.bool_] = uniforms(_stream(seed, link, "loss"), first, count) < link.loss
    return found


def jitters(seed: int, link: Link, first: int, count: int) -> NDArray[np.float64]:
    """`jitter` of `count` frames from number `first` on."""
    if link.jitter <= 0.0:
        return np.zeros(count)
    return link.jitter * uniforms(_stream(seed, link, "jitter"), first, count)


def _stream(seed: int, link: Link, purpose: str) -> int:
    return counted_stream(seed, link.source, purpose, link.target)
