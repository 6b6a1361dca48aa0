"""What happens to the next frames of a link, found ahead: the same functions of their numbers as by mail."""

from __future__ import annotations

import numpy as np

from mpidcl.network.frames.conditions import is_lost, jitter
from mpidcl.network.schedule.topology import Link
from mpidcl_kernels.base.types import Bytes, Doubles, Index
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
        lost: list[Bytes] = [np.empty(0, np.uint8)]
        waits: list[Doubles] = [np.empty(0)]
        first_lost, first_jitter = links.first_lost.copy(), links.first_jitter.copy()
        before = 0
        for link in self._lossy:
            sent, more = int(links.sent[link.index]), int(frames[link.index])
            found = [is_lost(self._seed, link, number) for number in range(sent, sent + more)]
            lost.append(np.array(found, np.uint8))
            first_lost[link.index] = before - sent
            before += more
        before = 0
        for link in self._jittery:
            sent, more = int(links.sent[link.index]), int(frames[link.index])
            waits.append(np.array([jitter(self._seed, link, number) for number in range(sent, sent + more)]))
            first_jitter[link.index] = before - sent
            before += more
        return links._replace(
            lost=np.concatenate(lost),
            jitter=np.concatenate(waits),
            first_lost=first_lost,
            first_jitter=first_jitter,
        )
