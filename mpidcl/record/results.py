"""`results.h5`: every accuracy and the traffic of a run as plain HDF5 tables (docs/report.md lists them).

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

from mpidcl.errors import RunFolderError
from mpidcl.record.atomic import write_bytes
from mpidcl.record.columns import Row, from_columns, to_columns
from mpidcl.record.hdf5 import open_hdf5
from mpidcl.record.parallel_results import read_course, read_gallery, read_steps, write_parallel
from mpidcl.record.records import (
    AgentRecord,
    Divergence,
    LedgerRow,
    ModuleDecision,
    evaluation_columns,
    evaluations_from_columns,
    no_structures,
)

FORMAT = "mpidcl results 1"


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
    whole = io.BytesIO()
    with open_hdf5(whole, "w") as file:
        file.attrs["format"] = np.bytes_(FORMAT)
        _write_columns(file.create_group("agents"), _agent_columns(ordered))
        _write_evaluations(file, ordered)
        _write_columns(file.create_group("ledger"), _joined(LedgerRow, [record.ledger for record in ordered]))
        _write_divergence(file.create_group("divergence"), ordered)
        _write_modules(file, ordered)
        file["links"] = np.array(sorted(links), np.int64).reshape(-1, 2)
        _write_columns(file.create_group("timing"), _timing_columns(ordered))
        write_parallel(file, ordered)
    write_bytes(path, whole.getbuffer())


def read_results(path: Path) -> Results:
    """What `write_results` wrote. Raises RunFolderError, naming the file, when it is not that or damaged."""
    try:
        with open_hdf5(path, "r") as file:
            found = bytes(file.attrs.get("format", b"")).decode()
            if found != FORMAT:
                raise RunFolderError(f"`{path}` should have the format '{FORMAT}'. Found '{found}'.")
            return Results(_read_records(file), [(int(a), int(b)) for a, b in file["links"][()]])
    except RunFolderError:
        raise
    except Exception as error:  # whatever h5py and we make of bytes that anybody may have written
        raise RunFolderError(
            f"`{path}` should be a results file of mpidcl. It cannot be read: {error}. "
            "It was cut or damaged. The same `mpidcl run` command makes it again from the last checkpoint."
        ) from error


def _agent_columns(records: Sequence[AgentRecord]) -> dict[str, Any]:
    columns: dict[str, Any] = {
        name: np.array([getattr(record, name) for record in records], np.int64)
        for name in ("agent", "joint_tasks", "tasks", "flops", "training_floats", "combined_bytes")
    }
    return columns | {"digest": [record.digest for record in records]}


def _timing_columns(records: Sequence[AgentRecord]) -> dict[str, Any]:
    names = sorted({name for record in records for name in record.timing})
    columns: dict[str, Any] = {
        name: np.array([record.timing.get(name, np.nan) for record in records], np.float64) for name in names
    }
    return columns | {"peak_rss_bytes": np.array([record.peak_rss_bytes for record in records], np.int64)}


def _write_evaluations(file: h5py.File, records: Sequence[AgentRecord]) -> None:
    """Padded to the longest agent: NaN in `accuracy`, -1 in the tables of integers.

    `tested`, how many tasks `accuracy` has, is there only where that is not always 0..task.
    """
    all_columns = [evaluation_columns(record.evaluations) for record in records]
    length = max((len(columns["task"]) for columns in all_columns), default=0)
    tasks = max((columns["accuracy"].shape[1] for columns in all_columns), default=0)
    accuracy = np.full((len(records), length, tasks), np.nan)
    evaluation = np.full((len(records), length, 2), -1, np.int64)
    sent = np.full((len(records), length, 2), -1, np.int64)
    time = np.full((len(records), length), np.nan)
    tested = np.full((len(records), length), -1, np.int64)
    for row, columns in enumerate(all_columns):
        count, seen = columns["accuracy"].shape
        accuracy[row, :count, :seen] = columns["accuracy"]
        evaluation[row, :count] = np.stack([columns["task"], columns["tick"]], axis=1)
        sent[row, :count] = np.stack([columns["wire_bytes"], columns["paper_floats"]], axis=1)
        time[row, :count] = columns["time"]
        tested[row, :count] = columns["tested"]
    tables = {"accuracy": accuracy, "evaluation": evaluation, "sent": sent, "schedule_time": time}
    if np.any(tested != np.where(evaluation[..., 0] < 0, -1, evaluation[..., 0] + 1)):
        tables["tested"] = tested
    _write_columns(file, tables)
    file["accuracy"].attrs["axes"] = np.bytes_("agent, evaluation, task")
    file["evaluation"].attrs["columns"] = np.bytes_("task, tick")
    file["sent"].attrs["columns"] = np.bytes_("wire_bytes, paper_floats")


def _read_evaluations(file: h5py.File, row: int) -> dict[str, Any]:
    count = int(np.count_nonzero(file["evaluation"][row, :, 0] >= 0))
    task, tick = file["evaluation"][row, :count].T
    wire_bytes, paper_floats = file["sent"][row, :count].T
    tested = {"tested": file["tested"][row, :count]} if "tested" in file else {}
    return tested | {
        "task": task,
        "tick": tick,
        "accuracy": file["accuracy"][row, :count],
        "time": file["schedule_time"][row, :count],
        "wire_bytes": wire_bytes,
        "paper_floats": paper_floats,
    }


def _write_divergence(group: h5py.Group, records: Sequence[AgentRecord]) -> None:
    _write_owned(group, Divergence, {record.agent: record.divergence for record in records})


def _write_modules(file: h5py.File, records: Sequence[AgentRecord]) -> None:
    """Nothing where nobody has modules. Structures are padded to the largest agent with NaN."""
    if not any(record.structures.size or record.modules for record in records):
        return
    decisions = {record.agent: record.modules for record in records}
    _write_owned(file.create_group("modules"), ModuleDecision, decisions)
    largest = np.max([record.structures.shape for record in records], axis=0)
    structures = np.full((len(records), *largest), np.nan)
    for row, record in zip(structures, records, strict=True):
        row[tuple(slice(length) for length in record.structures.shape)] = record.structures
    _write_columns(file, {"structures": structures})
    file["structures"].attrs["axes"] = np.bytes_("agent, task, module, layer")


def _read_structures(file: h5py.File, row: int) -> NDArray[np.float64]:
    if "structures" not in file:
        return no_structures()
    padded = file["structures"][row]
    known = np.argwhere(~np.isnan(padded))
    if not len(known):
        return no_structures()
    found: NDArray[np.float64] = padded[tuple(slice(last + 1) for last in known.max(axis=0))]
    return found


def _write_owned(group: h5py.Group, kind: type[Any], rows: Mapping[int, Sequence[Any]]) -> None:
    """The rows of all agents as columns, and whose they are in the column `agent`."""
    agents = [agent for agent, owned in rows.items() for _ in owned]
    _write_columns(group, {"agent": np.array(agents, np.int64)} | _joined(kind, list(rows.values())))


def _read_owned(file: h5py.File, name: str, kind: type[Row]) -> dict[int, list[Row]]:
    """Rows by agent; a file from before there was such a group has none."""
    columns = _read_columns(file[name]) if name in file else {"agent": np.zeros(0)}
    owners = columns.pop("agent").tolist()
    found: dict[int, list[Row]] = {}
    for owner, row in zip(owners, from_columns(kind, columns) if owners else [], strict=True):
        found.setdefault(owner, []).append(row)
    return found


def _read_records(file: h5py.File) -> list[AgentRecord]:
    agents, timing, ledger = (_read_columns(file[name]) for name in ("agents", "timing", "ledger"))
    memory = timing.pop("peak_rss_bytes")
    training = agents.get("training_floats", np.zeros(len(memory)))
    combined = agents.get("combined_bytes", np.zeros(len(memory)))
    rows = from_columns(LedgerRow, ledger)
    differences = _read_owned(file, "divergence", Divergence)
    decisions = _read_owned(file, "modules", ModuleDecision)
    return [
        AgentRecord(
            agent=agent,
            joint_tasks=int(agents["joint_tasks"][row]),
            evaluations=evaluations_from_columns(_read_evaluations(file, row)),
            ledger=[one for one in rows if one.source == agent],
            divergence=differences.get(agent, []),
            timing={name: float(values[row]) for name, values in timing.items() if not np.isnan(values[row])},
            peak_rss_bytes=int(memory[row]),
            flops=int(agents["flops"][row]),
            digest=agents["digest"][row],
            modules=decisions.get(agent, []),
            structures=_read_structures(file, row),
            training_floats=int(training[row]),
            combined_bytes=int(combined[row]),
            course=read_course(file, agent),
            steps=read_steps(file, agent),
            gallery=read_gallery(file, agent),
        )
        for row, agent in enumerate(agents["agent"].tolist())
    ]


def _joined(kind: type[Any], lists: Sequence[Sequence[Any]]) -> dict[str, Any]:
    return to_columns(kind, [row for rows in lists for row in rows])


def _write_columns(group: h5py.Group, columns: Mapping[str, Any]) -> None:
    for name, values in columns.items():
        if isinstance(values, list):
            width = max((len(value.encode()) for value in values), default=1)
            values = np.array([value.encode() for value in values], f"S{max(width, 1)}")
        group.create_dataset(name, data=values, track_times=False)


def _read_columns(group: h5py.Group) -> dict[str, Any]:
    columns = {name: dataset[()] for name, dataset in group.items() if isinstance(dataset, h5py.Dataset)}
    return {
        name: [value.decode() for value in values.tolist()] if values.dtype.kind == "S" else values
        for name, values in columns.items()
    }
