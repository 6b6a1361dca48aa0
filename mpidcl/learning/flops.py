"""Floating-point operations of a learner, by torch's own counter."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from contextlib import contextmanager


class FlopMeter:
    """Adds up work; each kind of work (a key: what is done, with how many rows) is measured once.

    Counts products and convolutions, a multiply-add as two, as torch's FlopCounterMode does.
    """

    def __init__(self) -> None:
        self.total = 0
        self._known: dict[Hashable, int] = {}

    @contextmanager
    def work(self, key: Hashable) -> Iterator[None]:
        """Count what is done inside, which must cost the same for every use of `key`."""
        if key in self._known:
            yield
        else:
            from torch.utils.flop_counter import FlopCounterMode

            with FlopCounterMode(display=False) as counter:
                yield
            self._known[key] = counter.get_total_flops()
        self.total += self._known[key]
