"""Reads `results.h5` of the format before this one, in which every thing had a form of its own."""

from __future__ import annotations

from typing import Any

import numpy as np

from mpidcl.record.measures import ACCURACY, Measure
from mpidcl.record.tables import ABSENT, AGENT, Tables, owned_by, to_columns

FORMAT = "mpidcl results 1"
_GENERAL = ("agents", "ledger", "measures", "timing")
"""Groups that are no tables."""
_SHARES = "structures"
"""`[agents, tasks, modules, layers]`, padded with NaN."""


def upgrade(file: dict[str, Any]) -> dict[int, Tables]:
    """Gives the tables by agent, and brings all else that was read into the form of today."""
    file["measures"] = to_columns(Measure, [ACCURACY])
    agents = file["agents"]
    agents.pop("tasks", None)
    tables = {agent: _tables(file, row, agent) for row, agent in enumerate(agents["agent"].tolist())}
    owners = [[table["owners"] for table in one.values() if "owners" in table] for one in tables.values()]
    agents["model"] = np.array([np.min(one) if one else ABSENT for one in owners])
    return tables


def _tables(file: dict[str, Any], row: int, agent: int) -> Tables:
    found: Tables = {}
    for name, group in file.items():
        if isinstance(group, dict) and name not in _GENERAL:
            # the rows of all agents together, or a group for each agent, whose clock is elsewhere
            found[name] = owned_by(agent, group) if AGENT in group else dict(group.get(str(agent), {}))
            if str(agent) in (clock := file["timing"].get(name, {})):
                found[name]["wall_s"] = clock[str(agent)]
    if _SHARES in file and len(known := np.argwhere(~np.isnan(file[_SHARES][row]))):
        found[_SHARES] = {"share": file[_SHARES][row][tuple(slice(last + 1) for last in known.max(axis=0))]}
    return {name: table for name, table in found.items() if table}
