"""From streams, methods, buffers and seeds to a list of runs, each with its command and its folder."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from mpidcl.reproduce.baselines.methods import METHODS, chosen_methods, settings_of
from mpidcl.reproduce.baselines.streams import (
    NETWORKED,
    Cell,
    memory_sets,
    sharing_sets,
    stream_of,
    stream_sets,
)
from mpidcl.reproduce.plan import Planned
from mpidcl.reproduce.protocol import Row


@dataclass(frozen=True)
class Asked:
    """What is to be compared; `methods` None: all. `sets` are for every run."""

    streams: Sequence[str]
    seeds: Sequence[int]
    methods: Sequence[str] | None = None
    buffers: Sequence[int] = (200,)
    networked: bool = False
    quick: bool = False
    sets: tuple[str, ...] = ()


def plan(asked: Asked, examples: Path, out: Path) -> list[Planned]:
    """All runs, seed by seed: stopped at any time, what is there can be compared.

    Raises ExperimentError for unknown names.
    """
    cells = list(_cells(asked))
    return [_run(cell, seed, asked, examples, out) for seed in asked.seeds for cell in cells]


def _cells(asked: Asked) -> Iterator[Cell]:
    for stream in asked.streams:
        stream_of(stream)
        for sharing in NETWORKED if asked.networked else ("single",):
            for method in chosen_methods(asked.methods, asked.networked):
                remembers = method.memory in ("buffer", "tasks")
                for buffer in asked.buffers if remembers else (0,):
                    yield Cell(stream, sharing, method.name, buffer)


def sets_of(cell: Cell, quick: bool = False) -> list[str]:
    """`--set` values of a cell for the example file of its method."""
    stream, method = stream_of(cell.stream), METHODS[cell.method]
    return [
        *stream_sets(cell.stream, quick),
        *settings_of(method, cell.buffer, stream.settings),
        *memory_sets(method, cell.buffer, stream.tasks),
        *_together(cell),
        *_passes(cell, quick),
        *sharing_sets(cell.stream, cell.sharing, quick),
    ]


def _together(cell: Cell) -> list[str]:
    """Joint training has all tasks of the stream, however many."""
    return [f"stream.joint_tasks={stream_of(cell.stream).tasks}"] if cell.method == "joint" else []


def _passes(cell: Cell, quick: bool) -> list[str]:
    """FedAvg has agents of its own, which take more passes over fewer rows, as in its file."""
    epochs = stream_of(cell.stream).epochs
    return [f"learning.epochs={4 * epochs}"] if cell.method == "fedavg" and epochs > 1 and not quick else []


def run_folder(out: Path, cell: Cell, seed: int) -> Path:
    """Where a run lies: OUT/runs/STREAM/SHARING/METHOD-BUFFER/seed-SEED."""
    return out / "runs" / cell.stream / cell.sharing / cell.label / f"seed-{seed}"


def _run(cell: Cell, seed: int, asked: Asked, examples: Path, out: Path) -> Planned:
    name = f"{cell.sharing}-{cell.label}"
    return Planned(
        Row(f"{cell.stream}-{name}", cell.method, METHODS[cell.method].words),
        stream_of(cell.stream).dataset,
        seed,
        examples / f"{cell.method}.toml",
        run_folder(out, cell, seed),
        (f"name={name}", *sets_of(cell, asked.quick), f"seed={seed}", *asked.sets),
    )
