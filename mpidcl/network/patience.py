"""How long a rank waits in silence: after which time it says for whom it waits, and when it gives up.

A neighbour that is slow cannot be told from one that is gone: it does not answer before its epoch is over.
But agents of one run do similar things. So who has itself worked or waited for an hour without a break is
more patient than who needs milliseconds.
"""

from __future__ import annotations

NOTICE_S, DEADLINE_S = 60.0, 900.0
"""Seconds of silence before a word, and before the end. Batch systems find a lost node within five minutes,
and slow file systems are back within minutes, too."""
NOTICE_TIMES, DEADLINE_TIMES = 3, 10
"""The same as multiples of what this rank has taken at most."""


class Patience:
    """Of one rank; `deadline` in seconds is kept exactly, None: it depends on what this rank has seen."""

    def __init__(self, deadline: float | None = None) -> None:
        self._deadline, self._longest, self._noticed = deadline, 0.0, False

    def lived(self, seconds: float) -> None:
        """This rank has worked, or has waited with success, for so long without a break."""
        self._longest = max(self._longest, seconds)

    @property
    def deadline(self) -> float:
        """Seconds of silence after which it gives up."""
        if self._deadline is not None:
            return self._deadline
        return max(DEADLINE_S, DEADLINE_TIMES * self._longest)

    def notices(self, waited: float) -> bool:
        """Is it time to say so? Once in a life."""
        if self._noticed or waited < max(NOTICE_S, NOTICE_TIMES * self._longest):
            return False
        self._noticed = True
        return True


def where_they_are(ranks: set[int], hosts: list[str]) -> str:
    """A line about the ranks that are waited for, "" without any; `hosts`: of each rank, or nothing."""
    if not ranks:
        return ""
    shown = sorted(ranks)[:8]
    named = ", ".join(f"rank {rank}" + (f" on {hosts[rank]}" if hosts else "") for rank in shown)
    return f"\nThey wait for {named}{' and more' if len(ranks) > len(shown) else ''}."


LOST = (
    "\nA node that is lost, or a process that hangs, cannot be told from one that is slow. The same command"
    " goes on from the last checkpoint, also on fewer nodes. Where neighbours need longer, set [network]"
    " deadline."
)
