"""The groups `course`, `steps` and `gallery` of `results.h5`: one group per agent that has such a thing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from mpidcl.record.course import ParallelCourse
from mpidcl.record.records import AgentRecord
from mpidcl.record.steps import StepLog

CLOCK = "wall_s"
"""The one array of a StepLog that a clock made: it goes to `timing/steps`."""


def write_parallel(file: h5py.File, records: Sequence[AgentRecord]) -> None:
    """Nothing for agents whose tasks come one after the other."""
    for record in records:
        if record.course is not None:
            _write(file, f"course/{record.agent}", record.course.state())
        if record.gallery is not None:
            _write(file, f"gallery/{record.agent}", record.gallery)
        if record.steps is not None:
            columns = record.steps.columns()
            file.require_group("timing/steps").create_dataset(
                str(record.agent), data=columns.pop(CLOCK), track_times=False
            )
            _write(file, f"steps/{record.agent}", columns)
            file[f"steps/{record.agent}"].attrs["steps"] = record.steps.steps


def read_course(file: h5py.File, agent: int) -> ParallelCourse | None:
    """None for an agent without one, as for all of an older file."""
    columns = _read(file, f"course/{agent}")
    return ParallelCourse.from_state(columns) if columns else None


def read_steps(file: h5py.File, agent: int) -> StepLog | None:
    """None for an agent without one."""
    columns = _read(file, f"steps/{agent}")
    if not columns:
        return None
    steps = int(file[f"steps/{agent}"].attrs["steps"])
    clock = {CLOCK: file[f"timing/steps/{agent}"][()]}
    return StepLog.from_state({"tasks": columns["loss"].shape[1] - 1, "steps": steps, **columns, **clock})


def read_gallery(file: h5py.File, agent: int) -> dict[str, NDArray[Any]] | None:
    """None for an agent without one."""
    return _read(file, f"gallery/{agent}") or None


def _write(file: h5py.File, name: str, columns: Mapping[str, NDArray[Any]]) -> None:
    group = file.require_group(name)
    for key, values in columns.items():
        # Mostly NaN where tasks are many: Gram matrices shrink to what was there.
        packed = {"compression": "gzip"} if np.ndim(values) > 2 and np.size(values) else {}
        group.create_dataset(key, data=values, track_times=False, **packed)


def _read(file: h5py.File, name: str) -> dict[str, NDArray[Any]]:
    return {key: dataset[()] for key, dataset in file[name].items()} if name in file else {}
