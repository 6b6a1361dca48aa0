"""A saved replay buffer goes on, on as many agents as before, or on more or fewer.

On as many, everything is as it was, to the bit. On another number rows are dealt: those of each class, in
the order of file and slot, in contiguous parts as equal as can be. Nothing is lost, and every class keeps its
room.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mpidcl.base.state import State
from mpidcl.errors import MpidclError, ReplayError
from mpidcl.memory.balanced import ClassBalanced
from mpidcl.memory.buffer import SEQUENCE
from mpidcl.memory.replay.files import Part, raise_first, read_manifest, tell, verify
from mpidcl.memory.replay.settings import dealt
from mpidcl.memory.replay.share import Indices, Share
from mpidcl.memory.replay.shared import SharedReplay
from mpidcl.network.requests import Asking
from mpidcl.randomness import numpy_generator
from mpidcl_kernels.slots import ClassTable

NONE = np.empty(0, np.int64)


def load(replay: SharedReplay, folder: Path) -> Asking[None]:
    """Go on from what `save` wrote. Every agent calls it.

    Raises ReplayError, on all agents, when the folder holds no complete buffer with the same settings, or
    one that does not fit.
    """
    yield from replay.settle()
    when, error = "loading a replay buffer", ""
    try:
        manifest = read_manifest(folder, replay.settings)
        verify(folder, manifest.files[replay.agent :: replay.agents])
    except MpidclError as failed:
        error = str(failed)
    raise_first((yield from tell(replay, when, {"error": error})))
    try:
        if len(manifest.files) == replay.agents:
            with closing(Part(folder, manifest.files[replay.agent], replay.settings)) as part:
                _take_over(replay, part)
        else:
            with ExitStack() as stack:
                parts = [
                    stack.enter_context(closing(Part(folder, file, replay.settings)))
                    for file in manifest.files
                ]
                _deal(replay, parts, manifest.step)
    except MpidclError as failed:
        error = str(failed)
    sizes = replay.held().tolist()
    told = yield from tell(replay, when, {"error": error, "sizes": sizes})
    raise_first(told)
    if len(manifest.files) != replay.agents:
        replay.start_anew(manifest.step, np.array([[0, *one["sizes"]] for one in told], np.int64))


def _take_over(replay: SharedReplay, part: Part) -> None:
    replay.load(part.replay())
    replay.share.load(part.share)
    used = replay.share.used()
    slots = np.arange(used.start, used.stop) if isinstance(used, slice) else used
    part.copy(np.arange(part.rows), slots, replay.share)


class _Group(NamedTuple):
    """Rows that are dealt together: `rows` of each file, how many were offered, and their room."""

    rows: list[Indices]
    seen: int
    room: int
    first: int
    """The agent that gets one of the rows that are left over."""


def _deal(replay: SharedReplay, parts: Sequence[Part], step: int) -> None:
    share, agents, agent = replay.share, replay.agents, replay.agent
    groups, balanced = _groups(share, parts), isinstance(share.policies[0], ClassBalanced)
    seen, mine = [], []
    for group in groups:
        counts = dealt(sum(map(len, group.rows)), agents, group.first)
        first = sum(counts[:agent])
        mine.append(_between(group.rows, first, first + counts[agent]))
        offered = dealt(group.seen, agents, group.first)[agent]
        seen.append(max(counts[agent], offered))
    held = np.zeros(len(share.rooms), np.int64)
    of_room = np.zeros(len(share.rooms), np.int64)
    for group, of_file, count in zip(groups, mine, seen, strict=True):
        held[group.room] += sum(map(len, of_file))
        of_room[group.room] += count
    _check_fits(share, held)
    # a room that is not full goes on filling, as if its rows were all that it was offered
    share.seen = np.where(held == share.rooms, np.maximum(of_room, held), held)
    share.arrived = max(int(part.share["arrived"]) for part in parts)
    share.rng = numpy_generator(replay.settings.seed, agent, "replay insert", step)
    sequence = [part.column(SEQUENCE) for part in parts]
    slots = _slots(share, groups, mine, sequence)
    if balanced:
        share.policies[0].load(_table(share, parts, slots, seen))
    for number, part in enumerate(parts):
        rows = np.concatenate([NONE, *(of_group[number] for of_group in mine)])
        places = np.concatenate([NONE, *(of_group[number] for of_group in slots)])
        order = np.argsort(rows)
        part.copy(rows[order], places[order], share)


def _groups(share: Share, parts: Sequence[Part]) -> list[_Group]:
    """The rows of each class, or all."""
    if isinstance(share.policies[0], ClassBalanced):
        return _by_label(share, parts)
    for part in parts:
        if any(part.share["policies"].values()):
            name = share.settings.policy
            raise ReplayError(
                f'A buffer with the policy "{name}" should go on with {len(parts)} ranks: what the policy'
                " remembers cannot be dealt to another number."
            )
    rooms = np.arange(len(share.rooms))
    held = [_held(part, len(rooms)) for part in parts]
    starts = [np.cumsum(one) - one for one in held]
    return [
        _Group(
            [
                np.arange(start[room], start[room] + one[room])
                for start, one in zip(starts, held, strict=True)
            ],
            sum(int(part.share["seen"][room]) for part in parts),
            room,
            room if share.settings.parted else 0,
        )
        for room in rooms.tolist()
    ]


def _held(part: Part, rooms: int) -> Indices:
    """Rows of each room in a file: they lie one room after the other."""
    held = np.array(part.share["held"], np.int64)
    if len(held) != rooms or held.sum() != part.rows:
        raise ReplayError(f"`{part.path}` should have {held.sum()} rows in {rooms} rooms. Found {part.rows}.")
    return held


def _by_label(share: Share, parts: Sequence[Part]) -> list[_Group]:
    assert share.settings.label is not None
    labels = [part.column(share.settings.label) for part in parts]
    seen: dict[int, int] = {}
    for part in parts:
        state = part.share["policies"]["0"]
        for label, count in zip(state.get("classes", ()), _seen_of(state), strict=True):
            seen[int(label)] = seen.get(int(label), 0) + int(count)
    groups, first = [], 0
    for label, count in sorted(seen.items()):
        rows = [np.flatnonzero(of_file == label) for of_file in labels]
        groups.append(_Group(rows, count, 0, first))
        first += sum(map(len, rows))
    return groups


def _seen_of(state: State) -> Indices:
    return np.array(state["table"]["seen"] if state else (), np.int64)


def _between(rows: Sequence[Indices], first: int, last: int) -> list[Indices]:
    """Of rows that are counted over all files those from `first` to `last`, by file."""
    found = []
    for of_file in rows:
        found.append(of_file[max(first, 0) : max(last, 0)])
        first, last = first - len(of_file), last - len(of_file)
    return found


def _check_fits(share: Share, held: Indices) -> None:
    for room in np.flatnonzero(held > share.rooms).tolist():
        where = f" of class {room}" if share.settings.parted else ""
        raise ReplayError(
            f"There should be room for {held[room]} rows{where} on each rank. Found room for"
            f" {share.rooms[room]}: go on with more ranks, or with a capacity for all ranks together."
        )


def _slots(
    share: Share, groups: Sequence[_Group], mine: Sequence[list[Indices]], sequence: Sequence[Indices]
) -> list[list[Indices]]:
    """Slots of the rows of each group and file. In a full room the oldest lies where the next row goes."""
    first, found = (
        np.concatenate([[0], np.cumsum(share.rooms)]),
        [[np.empty_like(rows) for rows in of_group] for of_group in mine],
    )
    for room in range(len(share.rooms)):
        here = [number for number, group in enumerate(groups) if group.room == room]
        age = [sequence[file][rows] for number in here for file, rows in enumerate(mine[number])]
        order = np.argsort(np.concatenate([NONE.astype(np.uint64), *age]), kind="stable")
        place = np.empty(len(order), np.int64)
        begin = share.seen[room] if len(order) == share.rooms[room] else 0
        place[order] = first[room] + (begin + np.arange(len(order))) % max(1, share.rooms[room])
        for number in here:
            for file, rows in enumerate(mine[number]):
                found[number][file], place = place[: len(rows)], place[len(rows) :]
    return found


def _table(share: Share, parts: Sequence[Part], slots: list[list[Indices]], seen: Sequence[int]) -> State:
    """What the class-balanced policy remembers of rows that lie in these slots, class by class."""
    of_class = [np.concatenate([NONE, *of_group]) for of_group in slots]
    labels = sorted(
        {int(label) for part in parts for label in part.share["policies"]["0"].get("classes", ())}
    )
    full = dict.fromkeys(labels, 0)
    for part in parts:
        state = part.share["policies"]["0"]
        for label, mark in zip(
            state.get("classes", ()), state["table"]["full"] if state else (), strict=True
        ):
            full[int(label)] |= int(mark)
    used = np.concatenate([NONE, *of_class])
    free = np.setdiff1d(np.arange(share.rooms[0]), used)
    starts = np.cumsum([0, *map(len, of_class)])
    table = ClassTable(
        int(share.rooms[0]),
        np.concatenate([used, free]),
        starts,
        np.maximum(np.array(seen, np.int64), np.diff(starts)),
        np.array([full[label] for label in labels], np.int64),
    )
    return {"classes": np.array(labels, np.int64), "table": table.state()}
