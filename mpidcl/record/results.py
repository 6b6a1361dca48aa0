"""`results.h5`: everything that was measured in a run as plain HDF5 tables (docs/report.md lists them).

Everything outside the group `timing` is a pure function of the experiment, byte for byte: HDF5 keeps
no times of its own here and strings have fixed lengths.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
from numpy.typing import NDArray

from mpidcl.base.state import State
from mpidcl.errors import RecordError, RunFolderError
from mpidcl.record import format_1
from mpidcl.record.checkpoint import Image, open_hdf5
from mpidcl.record.records import NO_COUNTERS, AgentRecord, LedgerRow
from mpidcl.record.tables import ABSENT, AGENT, SHAPE, Table, Tables, owned_by, to_columns

FORMAT = "mpidcl results 2"
_PAIRS = {"evaluation": ("task", "tick"), "sent": ("wire_bytes", "paper_floats")}
"""Data sets of integers `[agents, evaluations, 2]`, and what stands side by side in each."""


class Results(NamedTuple):
    """What `results.h5` holds: one record per agent, in agent order, and the links `(source, target)`."""

    records: list[AgentRecord]
    links: list[tuple[int, int]]


def write_results(path: Path, records: Sequence[AgentRecord], links: Sequence[tuple[int, int]]) -> str:
    """Writes the file anew (temporary name, fsync, rename); records in any order. Gives its sha256 (hex)."""
    ordered = sorted(records, key=lambda record: record.agent)
    states = [record.state() for record in ordered]
    image = Image(FORMAT)
    file = image.file
    counters = _named([record.counters for record in ordered], ABSENT)
    _write(file.create_group("agents"), counters | to_columns(AgentRecord, ordered, NO_COUNTERS))
    _write(file.create_group("measures"), states[0]["measures"])
    _write_evaluations(file, [state["evaluations"] for state in states], states[0]["measures"]["name"])
    ledger = [row for record in ordered for row in record.ledger]
    _write(file.create_group("ledger"), to_columns(LedgerRow, ledger))
    file["links"] = np.array(sorted(links), np.int64).reshape(-1, 2)
    timing = _named([record.timing for record in ordered], np.nan)
    _write(file.create_group("timing"), timing | to_columns(AgentRecord, ordered, ["peak_rss_bytes"]))
    for name in sorted({name for record in ordered for name in record.tables if record.has(name)}):
        _write_table(file, name, {one.agent: one.tables[name] for one in ordered if one.has(name)})
    return image.write(path)[1].hex()


def read_results(path: Path) -> Results:
    """What `write_results` wrote. Raises RunFolderError, naming the file, when it is not that or damaged."""
    try:
        with open_hdf5(path, "r") as file:
            found = bytes(file.attrs.get("format", b"")).decode()
            if found not in (FORMAT, format_1.FORMAT):
                raise RunFolderError(f"`{path}` should have the format '{FORMAT}'. Found '{found}'.")
            whole = _read(file)
        links = [(int(a), int(b)) for a, b in whole["links"]]
        return Results(_records(whole, older=found == format_1.FORMAT), links)
    except RunFolderError:
        raise
    except Exception as error:  # whatever h5py and we make of bytes that anybody may have written
        why = f"it has no {error}" if isinstance(error, KeyError) else error
        raise RunFolderError(
            f"`{path}` should be a results file of mpidcl. It cannot be read: {why}. "
            "It was cut or damaged. The same `mpidcl run` command makes it again from the last checkpoint."
        ) from error


def _records(file: dict[str, Any], older: bool) -> list[AgentRecord]:
    tables = format_1.upgrade(file) if older else _tables(file)
    agents, timing = file["agents"], file["timing"]
    memory = timing.pop("peak_rss_bytes")
    clocks = {name: values for name, values in timing.items() if not isinstance(values, dict)}
    ledger = {name: np.array(values) for name, values in file["ledger"].items()}
    states = [
        {
            "agent": agent,
            "joint_tasks": int(agents["joint_tasks"][row]),
            "evaluations": _evaluations(file, row),
            "ledger": {name: values[ledger["source"] == agent] for name, values in ledger.items()},
            "tables": tables.get(agent, {}),
            "counters": {
                name: int(values[row])
                for name, values in agents.items()
                if name not in NO_COUNTERS and values[row] != ABSENT
            },
            "timing": {name: float(of[row]) for name, of in clocks.items() if not np.isnan(of[row])},
            "peak_rss_bytes": int(memory[row]),
            "digest": agents["digest"][row],
            "measures": file["measures"],
        }
        for row, agent in enumerate(agents["agent"].tolist())
    ]
    return [AgentRecord.from_state(state) for state in states]


def _named(rows: Sequence[Mapping[str, float]], absent: float) -> dict[str, Any]:
    """A column for each name that any row has."""
    names = sorted({name for row in rows for name in row})
    return {name: np.array([row.get(name, absent) for row in rows], type(absent)) for name in names}


def _write_evaluations(file: h5py.File, by_agent: Sequence[State], measures: Sequence[str]) -> None:
    """Padded to the longest agent: NaN in the measures, -1 in the tables of integers.

    `tested`, how many tasks the measures have, is there only where that is not always 0..task.
    """
    columns = {name: _stacked([one[name] for one in by_agent]) for name in by_agent[0]}
    for name in measures:
        _write(file, {name: columns[name]})
        file[name].attrs["axes"] = np.bytes_("agent, evaluation, task")
    for name, both in _PAIRS.items():
        _write(file, {name: np.stack([columns[one] for one in both], axis=-1)})
        file[name].attrs["columns"] = np.bytes_(", ".join(both))
    _write(file, {"schedule_time": columns["time"]})
    task, tested = columns["task"], columns["tested"]
    if np.any(tested != np.where(task < 0, -1, task + 1)):
        _write(file, {"tested": tested})


def _stacked(columns: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """`[agents, evaluations, ...]`, padded with NaN or -1."""
    absent = np.nan if columns[0].dtype.kind == "f" else -1
    largest = np.max([column.shape for column in columns], axis=0)
    return np.stack([_padded(column, largest, absent) for column in columns])


def _padded(array: NDArray[Any], shape: Iterable[int], absent: float) -> NDArray[Any]:
    gaps = [(0, size - own) for size, own in zip(shape, array.shape, strict=True)]
    return np.pad(array, gaps, constant_values=absent)


def _evaluations(file: Mapping[str, Any], row: int) -> State:
    count = np.count_nonzero(file["evaluation"][row, :, 0] >= 0)
    names = [*file["measures"]["name"], *(["tested"] if "tested" in file else [])]
    columns = {name: file[name][row, :count] for name in names} | {"time": file["schedule_time"][row, :count]}
    for name, both in _PAIRS.items():
        columns |= zip(both, file[name][row, :count].T, strict=True)
    return columns


def _write_table(file: h5py.File, name: str, parts: Mapping[int, Table]) -> None:
    """The rows of all agents, one after the other; what a clock made goes to `timing`."""
    group = file.create_group(f"tables/{name}")
    lengths = [len(next(iter(table.values()))) for table in parts.values()]
    _write(group, {AGENT: np.repeat(np.array([*parts], np.int64), lengths)})
    for column in dict.fromkeys(column for table in parts.values() for column in table):
        place = file.require_group(f"timing/{name}") if column.endswith("_s") else group
        try:
            values = [table[column] for table in parts.values()]
            largest = np.max([value.shape for value in values], axis=0)
        except (KeyError, ValueError) as error:
            raise RecordError(
                f"The table `{name}` should have the same columns, with as many axes, in all agents. Found"
                f" `{column}` in some that is missing or of another kind in others: {error}."
            ) from error
        if len({value.shape[1:] for value in values}) > 1:  # padded with 0; the shape of each row beside
            shapes = [np.array(value.shape[1:], np.int64) for value in values]
            _write(place, {column + SHAPE: np.repeat(shapes, lengths, axis=0)})
            values = [_padded(value, (len(value), *largest[1:]), 0) for value in values]
        # Mostly NaN where tasks are many: Gram matrices shrink to what was there.
        packed = {"compression": "gzip"} if largest.size > 2 and sum(lengths) else {}
        place.create_dataset(column, data=np.concatenate(values), track_times=False, **packed)


def _tables(file: Mapping[str, Any]) -> dict[int, Tables]:
    """By agent."""
    found: dict[int, Tables] = {}
    for name, columns in file.get("tables", {}).items():
        whole = columns | file["timing"].get(name, {})
        for agent in dict.fromkeys(columns[AGENT].tolist()):
            found.setdefault(agent, {})[name] = owned_by(agent, whole)
    return found


def _write(group: h5py.Group, columns: Mapping[str, Any]) -> None:
    for name, values in columns.items():
        data = np.char.encode(np.array(values, str), "utf-8") if isinstance(values, list) else values
        group.create_dataset(name, data=data, track_times=False)


def _read(group: h5py.Group) -> dict[str, Any]:
    """All of a group: groups as dicts, texts as lists."""
    found: dict[str, Any] = {}
    for name, item in group.items():
        found[name] = _read(item) if isinstance(item, h5py.Group) else item[()]
        if isinstance(item, h5py.Dataset) and item.dtype.kind == "S":
            found[name] = [text.decode() for text in found[name].tolist()]
    return found
