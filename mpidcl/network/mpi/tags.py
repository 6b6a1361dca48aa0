"""All message tags in one place. Every service has a communicator of its own, in which its tags must differ.

| communicator | tag | from | to | what |
|---|---|---|---|---|
| control | UP | every rank | rank 0 | a note: part saved, all done, stop asked for, last thing begun |
| control | DOWN | rank 0 | every rank | a note: begin nothing more, stop there, save there, all are done |
| meetings | `link_tags` of a link | rank of its source | rank of its target | head of a frame |
| meetings | the same + 1 | rank of its source | rank of its target | large arrays of a frame, in pieces |
| mailbox | as of meetings | rank of its source | rank of its target | frames for which nobody waits |
| together | HEAD | every rank | every other | `Head` of a `Compare` or `Combine` |
| together | FACTS, SLICE | ranks with rows | every other | facts of a row; a slice of it, or all of it |
| together | GRAM | owners of blocks | every other | Gram matrices of its blocks |
| together | DIRECTION | owners of blocks | every other | its part of the direction |
| together | GATHER_HEADS, GATHERED | every rank | who gathers | dtypes and shapes; arrays of its agents |
| posts | POST_HEAD | ranks with agents | all others with agents | what is told, and sizes |
| posts | POST_REST | the same | the same | what did not fit into that |
| posts | POSTED | rank of one agent | rank of another | an array of a `Post` |
| posts | PLANNED | the same | the same | an array of a planned one, whose size both know |
| posts | WHO, HERE | a rank that waits for long | every other, and back | last round that it has begun |

Two ranks may send each other several messages with one tag: they are received in the order of sending.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mpidcl.errors import FrameError
from mpidcl.network.schedule.topology import Topology

UP, DOWN = 0, 1
HEAD, FACTS, SLICE, GRAM, DIRECTION, GATHER_HEADS, GATHERED = range(7)
POST_HEAD, POST_REST, POSTED, PLANNED, WHO, HERE = range(6)


def link_tags(topology: Topology, rank_of: Sequence[int], limit: int | None) -> list[int]:
    """Two tags per link, unique between its two ranks: head, then arrays. Both ends compute the same.

    Raises FrameError when this MPI has too few tags for so many links between two ranks.
    """
    ranks = np.asarray(rank_of, np.int64)[topology.edges]
    pairs = ranks @ (max(rank_of) + 1, 1)
    order = np.argsort(pairs, kind="stable")
    first = np.searchsorted(pairs[order], pairs[order])  # where the links of the same pair begin
    tags = np.empty(len(pairs), np.int64)
    tags[order] = 2 * (np.arange(len(pairs)) - first)
    highest = int(tags.max(initial=0)) + 1
    if limit is not None and highest > limit:
        raise FrameError(
            f"this MPI should allow tags up to {highest}. Found {limit}: "
            "use more ranks, so that each holds fewer agents."
        )
    found: list[int] = tags.tolist()
    return found
