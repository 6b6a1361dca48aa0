"""Accidents on purpose: loss is a seeded function of (link, frame number), the same in every run."""

from __future__ import annotations

from hashlib import blake2b

from mpidcl.network.schedule.topology import Link


def is_lost(seed: int, link: Link, number: int) -> bool:
    """Whether the `number`-th frame of a link is lost (probability `link.loss`)."""
    if link.loss <= 0.0:
        return False
    words = f"{seed} {link.source} {link.target} {number}".encode()
    draw = int.from_bytes(blake2b(words, digest_size=8).digest(), "little") / 2**64
    return draw < link.loss
