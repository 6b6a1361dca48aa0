"""From streams, modes, places and methods to a list of runs, each with its command and its folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from mpidcl.reproduce.emgd.methods import GROUPS, METHODS, chosen_methods
from mpidcl.reproduce.emgd.streams import Cell, Place, data_sets, stream_of, stream_sets
from mpidcl.reproduce.plan import Planned
from mpidcl.reproduce.protocol import Row


@dataclass(frozen=True)
class Asked:
    """What is to be compared; `methods` None: the usual ones. `sets` are for every run.

    `memories`: numbers of remembered rows per class; None: that of the stream's example file.
    """

    datasets: Sequence[str]
    modes: Sequence[str]
    places: Sequence[Place]
    methods: Sequence[str] | None = None
    quick: bool = False
    split: str | None = None
    sets: tuple[str, ...] = ()
    memories: Sequence[int] | None = None


def plan(asked: Asked, examples: Path, out: Path) -> list[Planned]:
    """All runs, in the order in which they say most: core methods first, mode by mode, place by place.

    Stopped at any time, what is there can be compared. Raises ExperimentError for unknown names.
    """
    methods = {name: chosen_methods(asked.methods, name, asked.quick) for name in asked.datasets}
    data = {name: data_sets(name, asked.split) for name in asked.datasets}
    return [
        _run(
            Cell(dataset, mode, memory, method.name),
            place,
            [*data[dataset], *asked.sets],
            asked,
            examples,
            out,
        )
        for group, mode, place, dataset in product(GROUPS, asked.modes, asked.places, asked.datasets)
        for memory in asked.memories or [stream_of(dataset).memory]
        for method in methods[dataset]
        if method.group == group
    ]


def places(label_sets: Sequence[int], timelines: Sequence[int], seeds: Sequence[int]) -> list[Place]:
    """Every label set with every timeline under every seed; first all pairs under the first seed."""
    return [Place(label, line, seed) for seed, label, line in product(seeds, label_sets, timelines)]


def run_folder(out: Path, cell: Cell, place: Place) -> Path:
    """Where a run lies: OUT/runs/DATASET/memory-ROWS/MODE/lL-tT/METHOD/seed-SEED."""
    where = f"l{place.label_set}-t{place.timeline}"
    return (
        out
        / "runs"
        / cell.dataset
        / f"memory-{cell.memory}"
        / cell.mode
        / where
        / cell.method
        / f"seed-{place.seed}"
    )


def _run(cell: Cell, place: Place, sets: list[str], asked: Asked, examples: Path, out: Path) -> Planned:
    file, method = stream_of(cell.dataset).file, METHODS[cell.method]
    name = f"{cell.mode}-l{place.label_set}-t{place.timeline}-{method.name}"
    stream = stream_sets(cell.dataset, cell.mode, place, cell.memory, asked.quick)
    return Planned(
        Row(f"memory-{cell.memory}-{name}", file, method.words),
        cell.dataset,
        place.seed,
        examples / f"{file}.toml",
        run_folder(out, cell, place),
        (f"name={name}", *method.sets, *stream, *sets),
    )
