"""Which rows of a table are whose: groups by their columns, tests of each, the rest dealt to its agents."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from mpidcl.errors import ExperimentError
from mpidcl.network.schedule.groups import Groups
from mpidcl.randomness import EVERYBODY, numpy_generator
from mpidcl.stream.regression.table.columns import Texts
from mpidcl.stream.regression.table.encoding import Indices
from mpidcl.stream.regression.table.reading import Table

SHOWN = 20
"""Groups that a message lists."""


class Share(NamedTuple):
    """Rows of one group: those for tests, in the order of the table, and the others in an order drawn."""

    test: Indices
    train: Indices


def groups_in(table: Table, columns: tuple[str, ...]) -> tuple[list[str], list[Indices]]:
    """Names of the groups, sorted, and the rows of each. Without columns all rows are one group."""
    if not columns:
        return ["all rows"], [np.arange(table.rows)]
    codes = np.zeros(table.rows, np.int64)
    for name in columns:
        ranked, levels = _ranked(table.texts(name))
        codes = codes * levels + ranked
        # numbers stay small, and in order, however many columns there are
        codes = np.unique(codes, return_inverse=True)[1].reshape(-1)
    order = np.argsort(codes, kind="stable")
    rows = np.split(order, np.flatnonzero(np.diff(codes[order])) + 1) if len(order) else []
    texts = [table.texts(name) for name in columns]
    names = [" ".join(text.levels[text.codes[part[0]]] for text in texts) for part in rows]
    return names, rows


def _ranked(texts: Texts) -> tuple[Indices, int]:
    """The place of each row's text among the sorted ones, numbers by size if all are numbers."""
    try:
        order = sorted(range(len(texts.levels)), key=lambda code: float(texts.levels[code]))
    except ValueError:
        order = sorted(range(len(texts.levels)), key=lambda code: texts.levels[code])
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    return place[texts.codes], max(1, len(order))


def split(
    table: Table, columns: tuple[str, ...], test_share: float, seed: int, groups: Groups
) -> list[Share]:
    """The rows of each group. Raises ExperimentError where groups, or rows for each agent, are lacking."""
    names, rows = groups_in(table, columns)
    if len(names) != len(groups):
        listed = ", ".join(
            f"{name} ({len(part):,} rows)" for name, part in zip(names[:SHOWN], rows, strict=False)
        )
        more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
        raise ExperimentError(
            f"`stream.group` should give {len(groups)} groups, as many as the network has. Found"
            f" {len(names)}: {listed}{more}. Change `stream.group`, or [network.groups]."
        )
    found = []
    for number, (name, part) in enumerate(zip(names, rows, strict=True)):
        order = numpy_generator(seed, EVERYBODY, "tests of a table", number).permutation(part)
        tests, members = round(test_share * len(part)), len(groups.members[number])
        if len(part) - tests < members:
            raise ExperimentError(
                f"Group {number} ({name}) should have a training row for each of its {members} agents."
                f" Found {len(part) - tests} of {len(part)} rows, the others are for tests. Give it fewer"
                " agents, or lower `stream.test_share`."
            )
        found.append(Share(np.sort(order[:tests]), order[tests:]))
    return found


def dealt(share: Share, members: tuple[int, ...], agent: int) -> Indices:
    """The training rows of an agent of the group: each row goes to one."""
    return np.array_split(share.train, len(members))[members.index(agent)]
