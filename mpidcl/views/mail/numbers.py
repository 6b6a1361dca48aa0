"""What became of frames sent by mail, as numbers: for each link, for all together, and ages by exchange."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mpidcl.base.quantities import seconds_text
from mpidcl.exchange.mail import Aged, Came
from mpidcl.record.records import AgentRecord
from mpidcl.record.tables import from_columns

MAIL, AGES = "mail", "ages"
"""Tables of an agent that gets mail."""


@dataclass(frozen=True, slots=True)
class Fate:
    """What became of the frames of some links.

    Of `frames` that were due some were `skipped`, since the line was busy, or `lost` by the network; some
    found their link `down`; others were `dropped`: they came while the receiver was away. Messages were
    `used`, or came `late`: after a newer one of the same exchange, or beside it. `age`: seconds of virtual
    time, or ticks (`in_ticks`), from leaving to use, summed over the used ones.
    """

    frames: int = 0
    lost: int = 0
    skipped: int = 0
    used: int = 0
    late: int = 0
    age: float = 0.0
    dropped: int = 0
    down: int = 0

    @property
    def arrived(self) -> int:
        """Frames that had something in them, also those on their way when the run ended."""
        return self.frames - self.lost - self.skipped - self.down - self.dropped

    @property
    def mean_age(self) -> float | None:
        """Of a message when it was used; None: none was."""
        return self.age / self.used if self.used else None

    def share(self, count: int) -> float | None:
        """Of the frames that were due, 0..1; None: there were none."""
        return count / self.frames if self.frames else None

    @property
    def late_share(self) -> float | None:
        """Of the messages that came, 0..1; None: none did."""
        return self.late / (self.used + self.late) if self.used + self.late else None


def fates(records: Iterable[AgentRecord]) -> dict[tuple[int, int], Fate]:
    """By link, (source, target), in this order."""
    found = {}
    for record in records:
        for row in from_columns(Came, record.tables[MAIL]) if record.has(MAIL) else ():
            known = row.frames, row.lost, row.skipped, row.messages, row.late, row.age, row.dropped, row.down
            found[row.source, record.agent] = Fate(*known)
    return dict(sorted(found.items()))


def in_ticks(records: Iterable[AgentRecord]) -> bool:
    """Whether ages are ticks of the sender: under the clock `free`, whose mail counts what is unanswered."""
    return any("unanswered" in record.tables[MAIL] for record in records if record.has(MAIL))


def age_text(age: float, ticks: bool) -> str:
    """An age with its unit.

    >>> age_text(1.5, False), age_text(1.5, True)
    ('1.50 s', '1.5 ticks')
    """
    return f"{age:.3g} ticks" if ticks else seconds_text(age)


def together(found: Iterable[Fate]) -> Fate:
    """Of several links."""
    whole = Fate()
    for one in found:
        whole = replace(
            whole,
            frames=whole.frames + one.frames,
            lost=whole.lost + one.lost,
            skipped=whole.skipped + one.skipped,
            used=whole.used + one.used,
            late=whole.late + one.late,
            age=whole.age + one.age,
            dropped=whole.dropped + one.dropped,
            down=whole.down + one.down,
        )
    return whole


@dataclass(frozen=True, slots=True)
class Ages:
    """How many messages [n] of an exchange were used at an age from 2^(power - 1) to 2^power seconds.

    powers [n] follow one another; the least one holds all that were younger.
    """

    exchange: int
    kind: str
    powers: NDArray[np.int64]
    messages: NDArray[np.int64]

    @property
    def median(self) -> float:
        """The age in seconds that half of the messages did not exceed; inside a bar by proportion."""
        before = np.concatenate([[0], np.cumsum(self.messages)])
        place = int(np.searchsorted(before[1:], before[-1] / 2))
        inside = (before[-1] / 2 - before[place]) / self.messages[place]
        return float(2.0 ** (self.powers[place] - 1 + inside))


def ages(records: Sequence[AgentRecord]) -> list[Ages]:
    """Of each exchange whose messages were used, in order of their numbers."""
    found: dict[int, Counter[int]] = {}
    for record in records:
        for row in from_columns(Aged, record.tables[AGES]) if record.has(AGES) else ():
            found.setdefault(row.exchange, Counter())[row.power] += row.messages
    kinds = {row.exchange: row.kind for record in records for row in record.ledger}
    ordered = []
    for exchange, counts in sorted(found.items()):
        powers = np.arange(min(counts), max(counts) + 1)
        messages = np.array([counts[power] for power in powers.tolist()], np.int64)
        ordered.append(Ages(exchange, kinds.get(exchange, ""), powers, messages))
    return ordered
