"""Linear models that tell each other by mail, many ticks of many agents in one compiled call.

What happens at a tick is what the agents do themselves, one by one: take in what has arrived, learn a
sample, send (`mpidcl/exchange/mail.py`, `mpidcl/learning/linear/learner.py`). That is its definition, and the
bits are the same. What is rare, and not a loop over numbers, is left to the caller: messages of kinds other
than models (`CALL`), and more room for letters (`ROOM`).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mpidcl_kernels.base.types import Doubles, Index

Flags = NDArray[np.bool_]
Bits = NDArray[np.uint8]

DONE, CALL, ROOM, TOO_STRONG = range(4)
"""Why a call has ended: all ticks are done; the caller is to prepare what is said at the tick, and go on with
it; a link has no room for one more letter; what a messenger says would let a model grow without end."""
NODES, MEANS, RELATION = range(3)
"""What an exchange tells: rows of [variance, model], of [number of groups, then group, time, noise and mean
of each], and of [own, time, pull]."""
FRAMES, PAYLOAD, HEADER, FLOATS, SECONDS = range(5)
"""Columns of `Links.ledger`."""
AGES, YOUNGEST = 64, -20
"""Ages of messages are counted by powers of 2 seconds, from 2 ** YOUNGEST on."""
MEAN_WORDS = 3
"""Numbers before each mean in a row of MEANS."""


NODE = np.dtype(
    [
        *((name, np.int64) for name in ("samples", "speaker", "group", "calls")),
        *((name, np.float64) for name in ("variance", "lr", "decay", "coupling", "weight", "told")),
        *((name, np.int64, 2) for name in ("hears", "away", "into", "out")),
    ]
)
"""Numbers of one agent.

samples, variance: learned so far, and the mean of squared residuals; lr, decay, coupling: how it learns.
weight: a_ij of each neighbour, once one has come. told: when its messenger has said the last word.
speaker: its place among those who may speak for a group, or -1; group; calls: exchanges, by bits, whose
messages the caller prepares.
hears: rows of `Nodes.seen` and `.weights`; away: of `.changes`, times at which it leaves, comes back, leaves,
...; into, out: places in `Links.incoming` and `.outgoing`; each the first and the one after the last.
"""
LINK = np.dtype(
    [
        *((name, np.int64) for name in ("source", "target", "uses", "line", "hears", "speaks", "same")),
        *((name, np.float64) for name in ("latency", "bandwidth", "shortest", "age")),
        *((name, np.int64) for name in ("has_lost", "first_lost", "has_jitter", "first_jitter")),
        *(
            (name, np.int64)
            for name in ("sent", "said", "lost", "skipped", "down", "dropped", "messages", "late")
        ),
        *((name, np.int64) for name in ("held", "begin", "width", "here", "read")),
        ("breaks", np.int64, 2),
    ]
)
"""Numbers of one link.

uses: bit e where exchange e travels on it; line: what is busy while it sends; latency, bandwidth (0: no
limit) and shortest: as of `Link`. hears, speaks: row of `Nodes.seen` and of `.models` that its models go to,
or -1; same: 1 where both ends are of one group.
first_lost, first_jitter: where in `Links.lost` and `.jitter` frame 0 would be; has_lost, has_jitter: 1 where
there are any. sent, said: frames, and those that were not skipped; the others and age: what became of them.
held, begin, width: letters underway, and where in `Letters.content` they are; here, read: of them at the tick
that is lived, those that have arrived, and those in which something is said. breaks: rows of `Links.breaks`,
times at which it goes down, comes up, goes down, ...
"""
EXCHANGE = np.dtype([(name, np.int64) for name in ("kind", "length", "payload", "head", "floats")])
"""What an exchange says at a tick: numbers of its row (0: nothing), bytes of its arrays, other bytes, and
what the published budget charges."""
LETTER = np.dtype([("at", np.float64), ("left", np.float64), ("number", np.int64), ("mask", np.int64)])
"""A frame underway: arrival, departure, its number on the link, and bit e where exchange e says something."""

Records = NDArray[np.void]


class Nodes(NamedTuple):
    """N agents with models of d numbers: `own [N]` are NODE, w [N, d] their models.

    seen [M, d], weights [M]: copies of neighbours and a_ij, 0 until one has come.
    row [N, 2], pulls [N, 2, d]: what the messengers have said last.
    models [S, d], variances, heard [S]: members of the groups of who may speak for one, and their means
    [P, K, d], noises [P, K], times [P, K]. changes: see NODE.
    """

    own: Records
    w: Doubles
    seen: Doubles
    weights: Doubles
    row: Doubles
    pulls: Doubles
    models: Doubles
    variances: Doubles
    heard: Flags
    means: Doubles
    noises: Doubles
    times: Doubles
    changes: Doubles


class Links(NamedTuple):
    """L links, `own [L]` are LINK, and E exchanges.

    incoming [L], outgoing [L]: of each agent those that come in order of source, and those that leave in
    order of target. busy, began [lines]: until when, and whether ever.
    lost, jitter: of coming frames. newest [L, E]: number of the frame with the newest message; aged
    [L, E, AGES]: messages by age; ledger [L, E + 1, 5]; place [L, E]: of an exchange in a letter's content.
    breaks: see LINK.
    """

    own: Records
    incoming: Index
    outgoing: Index
    busy: Doubles
    began: Flags
    lost: Bits
    jitter: Doubles
    newest: Index
    aged: Index
    ledger: Doubles
    place: Index
    breaks: Doubles


class Letters(NamedTuple):
    """Frames underway, up to C of each link: `own [L, C]` are LETTER.

    What exchange e says in letter q of link l are numbers of `content`, from begin + q * width + place[l, e]
    on.
    """

    own: Records
    content: Doubles


class Saying(NamedTuple):
    """What the agent that ticks tells: `own [E]` are EXCHANGE, row [E, widest]; prefix: bytes of any head."""

    own: Records
    row: Doubles
    prefix: int


class Plan(NamedTuple):
    """Ticks in order: time, agent, sample (row of x and y, or -1), due (bit e where exchange e is) [n]."""

    time: Doubles
    agent: Index
    sample: Index
    due: Index
    x: Doubles
    y: Doubles


def run_ticks(
    nodes: Nodes,
    links: Links,
    letters: Letters,
    saying: Saying,
    plan: Plan,
    first: int,
    last: int,
    said: bool,
) -> tuple[int, int, int]:
    """Ticks first..last - 1 of `plan`: (how far it came, why it ended, link or agent).

    `said`: the first tick has arrived and learned already, and `saying` holds what it tells.
    """
    from mpidcl_kernels.linear import mail_loops

    at, why, who = mail_loops.run_ticks(*nodes, *links, *letters, *saying, *plan, first, last, said)
    return int(at), int(why), int(who)
