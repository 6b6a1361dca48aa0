"""`results.h5`: everything that was measured in a run as plain HDF5 tables (docs/report.md lists them).

Everything outside the group `timing` is a pure function of the experiment, byte for byte: HDF5 keeps
no times of its own here and strings have fixed lengths.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
from numpy.typing import NDArray

from mpidcl.errors import RecordError, RunFolderError
from mpidcl.record.atomic import write_bytes
from mpidcl.record.columns import from_columns, to_columns
from mpidcl.record.hdf5 import open_hdf5
from mpidcl.record.measures import ACCURACY, Measure
from mpidcl.record.records import (
    MOMENT,
    NO_COUNTERS,
    AgentRecord,
    LedgerRow,
    evaluation_columns,
    evaluations_from_columns,
)
from mpidcl.record.tables import AGENT, Table, Tables, from_a_clock

FORMAT = "mpidcl results 2"
SHAPE = ".shape"
"""Behind the name of a column whose rows are not of one shape in all agents: the shape of each row."""
ABSENT = -1
"""A counter that an agent does not have."""
_PAIRS = {"evaluation": ("task", "tick"), "sent": ("wire_bytes", "paper_floats")}
"""Data sets of integers `[agents, evaluations, 2]`, and what stands side by side in each."""


class Results(NamedTuple):
    """What `results.h5` holds: one record per agent, in agent order, and the links `(source, target)`."""

    records: list[AgentRecord]
    links: list[tuple[int, int]]


def write_results(path: Path, records: Sequence[AgentRecord], links: Sequence[tuple[int, int]]) -> None:
    """Writes the file anew (temporary name, fsync, rename); records in any order.

    It is put together in memory: HDF5 that meets a full disk itself raises what is no OSError, when its file
    is closed, or crashes.
    """
    ordered = sorted(records, key=lambda record: record.agent)
    measures = ordered[0].measures if ordered else (ACCURACY,)
    whole = io.BytesIO()
    with open_hdf5(whole, "w") as file:
        file.attrs["format"] = np.bytes_(FORMAT)
        _write_columns(file.create_group("agents"), _agent_columns(ordered))
        _write_columns(file.create_group("measures"), to_columns(Measure, measures))
        _write_evaluations(file, ordered, measures)
        ledger = [row for record in ordered for row in record.ledger]
        _write_columns(file.create_group("ledger"), to_columns(LedgerRow, ledger))
        file["links"] = np.array(sorted(links), np.int64).reshape(-1, 2)
        _write_columns(file.create_group("timing"), _timing_columns(ordered))
        for name in sorted({name for record in ordered for name in record.tables if record.has(name)}):
            parts = {record.agent: record.tables[name] for record in ordered if record.has(name)}
            _write_table(file, name, parts)
    write_bytes(path, whole.getbuffer())


def read_results(path: Path) -> Results:
    """What `write_results` wrote. Raises RunFolderError, naming the file, when it is not that or damaged."""
    try:
        with open_hdf5(path, "r") as file:
            records = _read_records(file, path)
            return Results(records, [(int(a), int(b)) for a, b in file["links"][()]])
    except RunFolderError:
        raise
    except Exception as error:  # whatever h5py and we make of bytes that anybody may have written
        raise RunFolderError(
            f"`{path}` should be a results file of mpidcl. It cannot be read: {error}. "
            "It was cut or damaged. The same `mpidcl run` command makes it again from the last checkpoint."
        ) from error


def _read_records(file: h5py.File, path: Path) -> list[AgentRecord]:
    from mpidcl.record import format_1  # which reads with the functions of this module

    found = bytes(file.attrs.get("format", b"")).decode()
    if found not in (FORMAT, format_1.FORMAT):
        raise RunFolderError(f"`{path}` should have the format '{FORMAT}'. Found '{found}'.")
    if found == format_1.FORMAT:
        return format_1.read_records(file)
    counters, tables = read_columns(file["agents"]), _read_tables(file)
    measures = tuple(from_columns(Measure, read_columns(file["measures"])))
    records = general_records(file, measures)
    for row, record in enumerate(records):
        mine = {name: int(values[row]) for name, values in counters.items() if name not in NO_COUNTERS}
        record.counters = {name: count for name, count in mine.items() if count != ABSENT}
        record.tables = tables.get(record.agent, {})
    return records


def general_records(file: h5py.File, measures: tuple[Measure, ...]) -> list[AgentRecord]:
    """Records as all formats hold them: without tables and counters."""
    agents, timing, ledger = (read_columns(file[name]) for name in ("agents", "timing", "ledger"))
    memory = timing.pop("peak_rss_bytes")
    rows: dict[int, list[LedgerRow]] = {}
    for one in from_columns(LedgerRow, ledger):
        rows.setdefault(one.source, []).append(one)
    return [
        AgentRecord(
            agent=agent,
            joint_tasks=int(agents["joint_tasks"][row]),
            evaluations=evaluations_from_columns(_read_evaluations(file, row, measures), measures),
            ledger=rows.get(agent, []),
            timing={name: float(values[row]) for name, values in timing.items() if not np.isnan(values[row])},
            peak_rss_bytes=int(memory[row]),
            digest=agents["digest"][row],
            measures=measures,
        )
        for row, agent in enumerate(agents["agent"].tolist())
    ]


def _agent_columns(records: Sequence[AgentRecord]) -> dict[str, Any]:
    return _named([record.counters for record in records], ABSENT, np.int64) | {
        "agent": np.array([record.agent for record in records], np.int64),
        "joint_tasks": np.array([record.joint_tasks for record in records], np.int64),
        "digest": [record.digest for record in records],
    }


def _timing_columns(records: Sequence[AgentRecord]) -> dict[str, Any]:
    memory = np.array([record.peak_rss_bytes for record in records], np.int64)
    return _named([record.timing for record in records], np.nan, np.float64) | {"peak_rss_bytes": memory}


def _named(rows: Sequence[Mapping[str, float]], absent: float, dtype: type) -> dict[str, Any]:
    """A column for each name that any row has."""
    names = sorted({name for row in rows for name in row})
    return {name: np.array([row.get(name, absent) for row in rows], dtype) for name in names}


def _write_evaluations(file: h5py.File, records: Sequence[AgentRecord], measures: Sequence[Measure]) -> None:
    """Padded to the longest agent: NaN in the measures, -1 in the tables of integers.

    `tested`, how many tasks the measures have, is there only where that is not always 0..task.
    """
    all_columns = [evaluation_columns(record.evaluations, measures) for record in records]
    length = max((len(columns["task"]) for columns in all_columns), default=0)
    padded = {name: _stacked([one[name] for one in all_columns], length) for name in (*MOMENT, "tested")}
    for measure in measures:
        values = _stacked([one[measure.name] for one in all_columns], length)
        _write_columns(file, {measure.name: values})
        file[measure.name].attrs["axes"] = np.bytes_("agent, evaluation, task")
    task, tested = padded["task"], padded["tested"]
    tables = {name: np.stack([padded[one] for one in both], axis=-1) for name, both in _PAIRS.items()}
    tables["schedule_time"] = padded["time"]
    if np.any(tested != np.where(task < 0, -1, task + 1)):
        tables["tested"] = tested
    _write_columns(file, tables)
    for name, both in _PAIRS.items():
        file[name].attrs["columns"] = np.bytes_(", ".join(both))


def _stacked(columns: Sequence[NDArray[Any]], length: int) -> NDArray[Any]:
    """`[agents, length, ...]`, padded with NaN or -1."""
    width = [max(sizes) for sizes in zip(*(column.shape[1:] for column in columns), strict=True)]
    whole = bool(columns) and all(column.dtype.kind == "i" for column in columns)
    found = np.full((len(columns), length, *width), -1 if whole else np.nan)
    found = found.astype(np.int64) if whole else found
    for row, column in zip(found, columns, strict=True):
        row[tuple(slice(size) for size in column.shape)] = column
    return found


def _read_evaluations(file: h5py.File, row: int, measures: Sequence[Measure]) -> dict[str, Any]:
    count = int(np.count_nonzero(file["evaluation"][row, :, 0] >= 0))
    names = [measure.name for measure in measures] + ["tested"] * ("tested" in file)
    columns = {name: file[name][row, :count] for name in names}
    for name, both in _PAIRS.items():
        columns |= zip(both, file[name][row, :count].T, strict=True)
    return columns | {"time": file["schedule_time"][row, :count]}


def _write_table(file: h5py.File, name: str, parts: Mapping[int, Table]) -> None:
    """The rows of all agents, one after the other; what a clock made goes to `timing`."""
    group = file.create_group(f"tables/{name}")
    lengths = [len(next(iter(table.values()))) for table in parts.values()]
    group.create_dataset(AGENT, data=np.repeat(np.array([*parts], np.int64), lengths), track_times=False)
    for column in dict.fromkeys(column for table in parts.values() for column in table):
        place = file.require_group(f"timing/{name}") if from_a_clock(column) else group
        try:
            values = [table[column] for table in parts.values()]
            whole, shapes = _one_after_the_other(values)
        except (KeyError, ValueError) as error:
            raise RecordError(
                f"The table `{name}` should have the same columns, with as many axes, in all agents. Found"
                f" `{column}` in some that is missing or of another kind in others: {error}."
            ) from error
        if shapes is not None:
            place.create_dataset(column + SHAPE, data=shapes, track_times=False)
        # Mostly NaN where tasks are many: Gram matrices shrink to what was there.
        packed = {"compression": "gzip"} if whole.ndim > 2 and whole.size else {}
        place.create_dataset(column, data=whole, track_times=False, **packed)


def _one_after_the_other(
    values: Sequence[NDArray[np.generic]],
) -> tuple[NDArray[Any], NDArray[np.int64] | None]:
    """All rows, and where they are not of one shape the shape of each; then they are padded with 0."""
    if len({value.shape[1:] for value in values}) == 1:
        return np.concatenate(values), None
    largest = np.max([value.shape[1:] for value in values], axis=0)
    shapes = [np.tile(np.array(value.shape[1:], np.int64), (len(value), 1)) for value in values]
    gaps = [[(0, 0), *((0, size) for size in largest - value.shape[1:])] for value in values]
    padded = [np.pad(value, gap) for value, gap in zip(values, gaps, strict=True)]
    return np.concatenate(padded), np.concatenate(shapes)


def _read_tables(file: h5py.File) -> dict[int, Tables]:
    """By agent."""
    found: dict[int, Tables] = {}
    for name, group in file["tables"].items() if "tables" in file else ():
        columns = read_columns(group)
        if name in file["timing"]:
            columns |= read_columns(file["timing"][name])
        for agent in dict.fromkeys(columns[AGENT].tolist()):
            found.setdefault(agent, {})[name] = rows_of(columns, agent)
    return found


def rows_of(columns: Mapping[str, NDArray[Any]], agent: int) -> Table:
    """Those of one agent, without the column that says whose they are; empty: it has none."""
    mine = columns[AGENT] == agent
    names = [name for name in columns if name != AGENT and not name.endswith(SHAPE)] if mine.any() else []
    table = {name: columns[name][mine] for name in names}
    for name in table:
        if name + SHAPE in columns:
            shape = columns[name + SHAPE][mine][0]
            table[name] = table[name][(slice(None), *map(slice, shape))]
    return table


def _write_columns(group: h5py.Group, columns: Mapping[str, Any]) -> None:
    for name, values in columns.items():
        if isinstance(values, list):
            width = max((len(value.encode()) for value in values), default=1)
            values = np.array([value.encode() for value in values], f"S{max(width, 1)}")
        group.create_dataset(name, data=values, track_times=False)


def read_columns(group: h5py.Group) -> dict[str, Any]:
    """The data sets of a group, texts as lists."""
    columns = {name: dataset[()] for name, dataset in group.items() if isinstance(dataset, h5py.Dataset)}
    return {
        name: [value.decode() for value in values.tolist()] if values.dtype.kind == "S" else values
        for name, values in columns.items()
    }
