"""What happens to the next frames of a link, found ahead: the same functions of their numbers as by mail."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from mpidcl.network.frames.conditions import is_lost, jitter
from mpidcl.network.schedule.topology import Link
from mpidcl_kernels.base.types import Doubles, Index
from mpidcl_kernels.linear.mail import Links


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
        lost = self._laid(links, self._lossy, "first_lost", is_lost, frames)
        wait = self._laid(links, self._jittery, "first_jitter", jitter, frames)
        return links._replace(lost=lost.astype(np.uint8), jitter=wait)

    def _laid(
        self,
        links: Links,
        some: list[Link],
        first: str,
        what: Callable[[int, Link, int], float],
        frames: Index,
    ) -> Doubles:
        """What happens to the frames of some links, one after the other; `first`: where frame 0 would be."""
        found: list[float] = []
        for link in some:
            sent = int(links.own["sent"][link.index])
            links.own[first][link.index] = len(found) - sent
            found += [what(self._seed, link, sent + more) for more in range(int(frames[link.index]))]
        return np.array(found, np.float64)
