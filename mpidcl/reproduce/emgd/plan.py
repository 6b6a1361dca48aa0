"""From streams, modes, places and methods to a list of runs, each with its command and its folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from mpidcl.reproduce.emgd.methods import GROUPS, Method, chosen_methods
from mpidcl.reproduce.emgd.streams import Place, data_sets, stream_of, stream_sets
from mpidcl.reproduce.plan import Planned
from mpidcl.reproduce.protocol import Row


@dataclass(frozen=True)
class Asked:
    """What is to be compared; `methods` None: the usual ones. `sets` are for every run."""

    datasets: Sequence[str]
    modes: Sequence[str]
    places: Sequence[Place]
    methods: Sequence[str] | None = None
    quick: bool = False
    split: str | None = None
    sets: tuple[str, ...] = ()


def plan(asked: Asked, examples: Path, out: Path) -> list[Planned]:
    """All runs, in the order in which they say most: core methods first, mode by mode, place by place.

    Stopped at any time, what is there can be compared. Raises ExperimentError for unknown names.
    """
    methods = {name: chosen_methods(asked.methods, name, asked.quick) for name in asked.datasets}
    data = {name: data_sets(name, asked.split) for name in asked.datasets}
    return [
        _run(
            dataset, mode, place, method, [*data[dataset], *_sets(asked, dataset, mode, place)], examples, out
        )
        for group, mode, place, dataset in product(GROUPS, asked.modes, asked.places, asked.datasets)
        for method in methods[dataset]
        if method.group == group
    ]


def places(label_sets: Sequence[int], timelines: Sequence[int], seeds: Sequence[int]) -> list[Place]:
    """Every label set with every timeline under every seed; first all pairs under the first seed."""
    return [Place(label, line, seed) for seed, label, line in product(seeds, label_sets, timelines)]


def run_folder(out: Path, dataset: str, mode: str, place: Place, method: str) -> Path:
    """Where a run lies: OUT/runs/DATASET/MODE/lL-tT/METHOD/seed-SEED."""
    where = f"l{place.label_set}-t{place.timeline}"
    return out / "runs" / dataset / mode / where / method / f"seed-{place.seed}"


def _sets(asked: Asked, dataset: str, mode: str, place: Place) -> list[str]:
    return [*stream_sets(dataset, mode, place, asked.quick), *asked.sets]


def _run(
    dataset: str, mode: str, place: Place, method: Method, sets: list[str], examples: Path, out: Path
) -> Planned:
    file = stream_of(dataset).file
    name = f"{mode}-l{place.label_set}-t{place.timeline}-{method.name}"
    row = Row(name, file, method.words)
    return Planned(
        row,
        dataset,
        place.seed,
        examples / f"{file}.toml",
        run_folder(out, dataset, mode, place, method.name),
        (f"name={name}", *method.sets, *sets),
    )
