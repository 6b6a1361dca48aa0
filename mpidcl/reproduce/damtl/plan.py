"""From parts and seeds to a list of runs, each with its command and its folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mpidcl.errors import ExperimentError
from mpidcl.reproduce.damtl.cells import PARTS, Cell, Scale, cells, sets_of_file
from mpidcl.reproduce.plan import Planned
from mpidcl.reproduce.protocol import Row


def chosen(names: Sequence[str] | None) -> list[str]:
    """The parts of these names, all by default. Raises ExperimentError for a name that is not known."""
    for name in names or ():
        if name not in PARTS:
            raise ExperimentError(f"--only should be of {', '.join(PARTS)}. Found {name}")
    return [part for part in PARTS if names is None or part in names]


def run_folder(out: Path, cell: Cell, seed: int) -> Path:
    """Where a run lies: OUT/runs/PART/SETTING/METHOD/seed-SEED."""
    return out / "runs" / cell.part / cell.setting / cell.method / f"seed-{seed}"


def plan(
    parts: Sequence[str],
    seeds: Sequence[int],
    scale: Scale,
    more: Sequence[str],
    examples: Path,
    out: Path,
    files: Path | None = None,
) -> list[Planned]:
    """All runs, part by part, in each seed by seed: stopped at any time, what is there can be compared.

    `more`: for every run. `files`: the folder of the tables; None: the part `student` has no runs.
    """
    return [
        Planned(
            Row(f"{cell.part}-{cell.setting}-{cell.method}", cell.part, PARTS[cell.part]),
            "",
            seed,
            examples / sets_of_file(part),
            run_folder(out, cell, seed),
            (f"name={cell.method}", *sets, f"seed={seed}", *more),
        )
        for part in parts
        for seed in seeds
        for cell, sets in cells(part, scale, files)
    ]
