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
LOST, SKIPPED, DROPPED, MESSAGES, LATE = range(5)
"""Columns of `Links.came`."""
FRAMES, PAYLOAD, HEADER, FLOATS, SECONDS = range(5)
"""Columns of `Links.ledger`."""
AGES, YOUNGEST = 64, -20
"""Ages of messages are counted by powers of 2 seconds, from 2 ** YOUNGEST on."""
MEAN_WORDS = 3
"""Numbers before each mean in a row of MEANS."""


class Nodes(NamedTuple):
    """N agents with models of d numbers.

    w [N, d], samples [N], variance [N]: what is learned; lr, decay, coupling [N]: how.
    hears [N + 1]: rows of `seen [M, d]` and `weights [M]` of each agent, copies of its neighbours and a_ij, 0
    until one has come; `weight [N]`: what it becomes then.
    row [N, 2], pulls [N, 2, d], told [N]: what its messenger has said last, and when.
    members [N + 1]: rows of `models [S, d]`, `variances [S]`, `heard [S]` of who may speak for a group.
    speaker [N]: its place in `means [P, K, d]`, `noises [P, K]`, `times [P, K]`, or -1; group [N].
    changes [N + 1], moments: when each agent leaves, comes back, leaves, ...
    """

    w: Doubles
    samples: Index
    variance: Doubles
    lr: Doubles
    decay: Doubles
    coupling: Doubles
    hears: Index
    seen: Doubles
    weights: Doubles
    weight: Doubles
    row: Doubles
    pulls: Doubles
    told: Doubles
    members: Index
    models: Doubles
    variances: Doubles
    heard: Flags
    speaker: Index
    means: Doubles
    noises: Doubles
    times: Doubles
    group: Index
    changes: Index
    moments: Doubles


class Links(NamedTuple):
    """L links and E exchanges, whose kinds are `kinds [E]`.

    source, target [L]; `into [N + 1]` and `out [N + 1]`: places in `incoming [L]`, in order of source, and in
    `outgoing [L]`, in order of target. uses [L]: bit e where exchange e travels on it.
    latency, bandwidth (0: no limit), shortest [L]: as of `Link`; line [L]: what is busy while it sends.
    hears, speaks [L]: row of `Nodes.seen` and of `Nodes.models` that its models go to, or -1. same [L]: both
    ends are of one group.
    sent, said [L]: frames, and those with something in them; busy, began [lines]: until when, and whether
    ever.
    lost, jitter: of the frames of a link from `first_lost`, `first_jitter [L]` on, which count from frame 0;
    where `has_lost`, `has_jitter [L]`.
    came [L, 5], age [L], newest [L, E], aged [L, E, AGES]: what became of them; ledger [L, E + 1, 5].
    """

    kinds: Index
    source: Index
    target: Index
    into: Index
    incoming: Index
    out: Index
    outgoing: Index
    uses: Index
    latency: Doubles
    bandwidth: Doubles
    shortest: Doubles
    line: Index
    hears: Index
    speaks: Index
    same: Flags
    sent: Index
    said: Index
    busy: Doubles
    began: Flags
    has_lost: Flags
    lost: Bits
    first_lost: Index
    has_jitter: Flags
    jitter: Doubles
    first_jitter: Index
    came: Index
    age: Doubles
    newest: Index
    aged: Index
    ledger: Doubles


class Letters(NamedTuple):
    """Frames underway, up to C of each link: at, left, number, mask [L, C], held [L].

    mask: bit e is set where exchange e says something. What it says is a row of `content`: of letter q of
    link l it begins at begin[l] + q * width[l] + place[l, e].
    """

    at: Doubles
    left: Doubles
    number: Index
    mask: Index
    held: Index
    content: Doubles
    begin: Index
    width: Index
    place: Index


class Saying(NamedTuple):
    """What the agent that ticks tells: `row [E, widest]`, length [E] of it (0: nothing).

    payload, head, floats [E]: bytes of its arrays, other bytes, and what the published budget charges.
    prefix: bytes of the head of any frame.
    """

    row: Doubles
    length: Index
    payload: Index
    head: Index
    floats: Index
    prefix: int


class Plan(NamedTuple):
    """Ticks in order: time, agent, sample (row of x and y, or -1) [n]; due [n]: bit e where exchange e is.

    calls [N]: exchanges whose messages the caller prepares, by bits.
    """

    time: Doubles
    agent: Index
    sample: Index
    due: Index
    x: Doubles
    y: Doubles
    calls: Index


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

    at, why, who = mail_loops.run_ticks(
        *nodes, *links, *letters, *saying[:-1], int(saying.prefix), *plan, first, last, said
    )
    return int(at), int(why), int(who)
