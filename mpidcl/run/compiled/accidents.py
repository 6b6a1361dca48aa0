"""What happens to the next frames of a link, found ahead: the same functions of their numbers as by mail."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mpidcl.network.frames.conditions import jitters, losses
from mpidcl.network.schedule.topology import Link
from mpidcl_kernels.base.types import Doubles, Index
from mpidcl_kernels.linear.mail import Links

Accident = Callable[[int, Link, int, int], NDArray[Any]]
"""Of a seed and a link, from a frame on for so many."""


class Accidents:
    """Losses and jitter of all links with such conditions."""

    def __init__(self, seed: int, links: list[Link]) -> None:
        self._seed, self._links = seed, links
        self._lossy = [link for link in links if link.loss > 0]
        self._jittery = [link for link in links if link.jitter > 0]

    def ahead(self, links: Links, frames: Index) -> Links:
        """`links` with what happens to so many more frames [L] of each link than have been sent."""
        if not self._lossy and not self._jittery:
            return links
        lost = self._laid(links, self._lossy, "first_lost", losses, frames)
        wait = self._laid(links, self._jittery, "first_jitter", jitters, frames)
        return links._replace(lost=lost.astype(np.uint8), jitter=wait)

    def _laid(self, links: Links, some: list[Link], first: str, what: Accident, frames: Index) -> Doubles:
        """What happens to the frames of some links, one after the other; `first`: where frame 0 would be."""
        found, before = [np.empty(0)], 0
        for link in some:
            sent, more = int(links.own["sent"][link.index]), int(frames[link.index])
            links.own[first][link.index] = before - sent
            found.append(what(self._seed, link, sent, more).astype(np.float64))
            before += more
        return np.concatenate(found)
