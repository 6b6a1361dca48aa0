"""Accidents on purpose: functions of (seed, link, frame number), the same in every run and in any order."""

from __future__ import annotations

from hashlib import blake2b

from mpidcl.network.frames.frame import PREFIX_BYTES
from mpidcl.network.schedule.topology import Link


def shortest_way(link: Link) -> float:
    """Seconds that no frame of a link is faster than: of the least one there is."""
    return link.latency + seconds_on(link, PREFIX_BYTES)


def seconds_on(link: Link, size: int) -> float:
    """For how long `size` bytes occupy a line."""
    return size / link.bandwidth if link.bandwidth else 0.0


def is_lost(seed: int, link: Link, number: int) -> bool:
    """Whether the `number`-th frame of a link is lost (probability `link.loss`)."""
    return link.loss > 0.0 and _draw(f"{seed} {link.source} {link.target} {number}") < link.loss


def jitter(seed: int, link: Link, number: int) -> float:
    """Seconds that the `number`-th frame of a link takes beside all else: uniform from 0 to `link.jitter`."""
    if link.jitter <= 0.0:
        return 0.0
    return link.jitter * _draw(f"jitter {seed} {link.source} {link.target} {number}")


def _draw(words: str) -> float:
    """Uniform from 0 to 1, of the words alone."""
    return int.from_bytes(blake2b(words.encode(), digest_size=8).digest(), "little") / 2**64
