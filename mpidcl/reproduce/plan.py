"""From rows, data sets and seeds to a list of runs, each with its command and its folder."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mpidcl.errors import ExperimentError, RunFolderError
from mpidcl.experiment import overrides
from mpidcl.experiment.reading import load, read
from mpidcl.record.folder import RunFolder, RunState
from mpidcl.record.settings import aligned, completed, deciding, differences, flat_settings
from mpidcl.reproduce.protocol import Row, Scale, sets_of
from mpidcl.stream.datasets.catalogue import make
from mpidcl.stream.datasets.combined import Combined
from mpidcl.stream.datasets.places import complete


@dataclass(frozen=True)
class Planned:
    """One run: a row on a data set under one seed, in a folder of its own.

    `dataset`: "" where no data set is read that might be lacking.
    """

    row: Row
    dataset: str
    seed: int
    file: Path
    folder: Path
    sets: tuple[str, ...]

    @property
    def title(self) -> str:
        """`mnist modmod-1 seed 0`."""
        return f"{self.dataset} {self.row.name} seed {self.seed}".lstrip()

    @property
    def data_options(self) -> dict[str, object]:
        """What its `--set` values say about [stream.data]."""
        tables = overrides.apply({}, [value for value in self.sets if value.startswith("stream.data.")])
        stream = tables.get("stream")
        data = stream.get("data") if isinstance(stream, dict) else None
        return data if isinstance(data, dict) else {}

    def words(self, driver: str) -> list[str]:
        """Arguments of `mpidcl`."""
        words = ["run", str(self.file), "--driver", driver, "--quiet", "--out", str(self.folder)]
        for value in self.sets:
            words += ["--set", value]
        return words

    def command(self, driver: str) -> str:
        """The command line for a shell."""
        return shlex.join(["mpidcl", *self.words(driver)])

    def state(self) -> RunState:
        """How far it has come.

        A finished run of older code counts as one with the defaults of keys that have come since; one that
        has to go on must have been begun with all of them. Raises ExperimentError or RunFolderError when it
        cannot be run or resumed.
        """
        experiment = load(self.file, self.sets)
        folder = RunFolder(self.folder)
        state = folder.state()
        if state is not RunState.NEW:
            settings = completed if state is RunState.FINISHED else flat_settings
            there = deciding(settings(read(folder.experiment_file)))
            found = differences(there, deciding(flat_settings(experiment.to_toml())))
            if found:
                raise _other_settings(self.folder, found)
        return state


def plan(
    rows: Sequence[Row],
    datasets: Sequence[str],
    seeds: Sequence[int],
    scale: Scale,
    examples: Path,
    out: Path,
) -> list[Planned]:
    """All runs, in the order in which they say most: the main table seed by seed, then the sweeps.

    Stopped at any time, what is there can be compared. Raises ExperimentError for a data set that is not of
    the protocol.
    """
    return [
        Planned(
            row,
            dataset,
            seed,
            examples / f"{row.file}.toml",
            run_folder(out, dataset, row.name, seed),
            (*sets_of(row, dataset, scale), f"seed={seed}"),
        )
        for part in ([row for row in rows if row.main], [row for row in rows if not row.main])
        for seed in seeds
        for dataset in datasets
        for row in part
    ]


def run_folder(out: Path, dataset: str, row: str, seed: int) -> Path:
    """Where a run lies: OUT/runs/DATASET/ROW/seed-SEED."""
    return out / "runs" / dataset / row / f"seed-{seed}"


def share(runs: Sequence[Planned], index: int, of: int) -> list[Planned]:
    """Part `index` (from 0) of `of` parts: every of-th run. Raises ExperimentError when it is none."""
    if not 0 <= index < of:
        raise ExperimentError(f"--index should be between 0 and {of - 1} with --of {of}. Found {index}")
    return list(runs[index::of])


def missing_data(dataset: str, options: Mapping[str, object] | None = None) -> list[str]:
    """Names of data sets whose files are not on this machine, of those that `dataset` needs.

    `options`: the table [stream.data], such as the parts of `combined`.
    """
    whole = make(dataset, options)
    parts = whole.parts() if isinstance(whole, Combined) else (whole,)
    return [part.info.key for part in parts if part.info.files and not complete(part.info)]


def no_data(dataset: str, options: Mapping[str, object] | None = None) -> str | None:
    """`no data: mpidcl data fetch kmnist`, or None when all files are here."""
    missing = missing_data(dataset, options)
    return f"no data: mpidcl data fetch {' '.join(missing)}" if missing else None


def _other_settings(folder: Path, found: dict[str, tuple[str, str]]) -> RunFolderError:
    rows = [("key", "there", "here"), *((key, *pair) for key, pair in found.items())]
    return RunFolderError(
        f"`{folder}` should be a run of this protocol. Found one with other settings:\n{aligned(rows)}\n"
        "Choose another folder with `--out`, or remove that run."
    )
