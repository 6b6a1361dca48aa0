"""Reads `results.h5` of the format before this one, in which every thing had a form of its own."""

from __future__ import annotations

from typing import Any

import h5py
import numpy as np

from mpidcl.record.measures import ACCURACY
from mpidcl.record.records import AgentRecord
from mpidcl.record.results import general_records, read_columns, rows_of
from mpidcl.record.tables import AGENT, Table

FORMAT = "mpidcl results 1"
COUNTERS = ("flops", "training_floats", "combined_bytes")
GENERAL = ("agents", "ledger", "timing")
"""Groups that are there in all formats."""
PADDED = b"agent, task,"
"""Axes of the one array of shares: a place for each agent, padded with NaN."""


def read_records(file: h5py.File) -> list[AgentRecord]:
    """The records of an open file, as those of today."""
    records = general_records(file, (ACCURACY,))
    agents = read_columns(file["agents"])
    own = {name: item for name, item in file.items() if name not in GENERAL}
    groups = {name: item for name, item in own.items() if isinstance(item, h5py.Group)}
    together = {name: read_columns(group) for name, group in groups.items() if AGENT in group}
    padded = {name: item[()] for name, item in own.items() if _is_padded(item)}
    for row, record in enumerate(records):
        record.counters = {name: int(agents[name][row]) for name in COUNTERS if name in agents}
        found = {name: rows_of(columns, record.agent) for name, columns in together.items()}
        found |= {name: _cropped(values[row]) for name, values in padded.items()}
        found |= {name: _by_agent(file, name, record.agent) for name in groups if name not in together}
        record.tables = {name: table for name, table in found.items() if table}
        for table in record.tables.values():
            if "owners" in table:
                record.counters["model"] = int(np.min(table["owners"]))
    return records


def _is_padded(item: h5py.Group | h5py.Dataset) -> bool:
    return bytes(item.attrs.get("axes", b"")).startswith(PADDED)


def _cropped(padded: Any) -> Table:
    known = np.argwhere(~np.isnan(padded))
    return {"share": padded[tuple(slice(last + 1) for last in known.max(axis=0))]} if len(known) else {}


def _by_agent(file: h5py.File, name: str, agent: int) -> Table:
    """Of a group with a group for each agent that has such a thing; a clock's column is elsewhere."""
    place = f"{name}/{agent}"
    columns: Table = read_columns(file[place]) if place in file else {}
    if columns and f"timing/{place}" in file:
        columns["wall_s"] = file[f"timing/{place}"][()]
    return columns
