"""The runs that are there, and their numbers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mpidcl.errors import MpidclError
from mpidcl.experiment.reading import load
from mpidcl.record.records import one_per_model
from mpidcl.reproduce.damtl.cells import CONDITIONS, OF, PARTS, SILENT, Cell
from mpidcl.reproduce.damtl.central import groups_of, solutions
from mpidcl.reproduce.damtl.methods import CENTRAL, FORMS, LINEAR, Method
from mpidcl.reproduce.damtl.plan import run_folder
from mpidcl.reproduce.found import finished_run
from mpidcl.views.mean_error import MeanError, mean_error
from mpidcl.views.regression.numbers import grouped
from mpidcl.views.run import Run

MAIN = {"ring": "error", "field": "mse", "student": "mse", "conditions": "error", "digits": "final"}
"""The number of each part by which methods are tuned and compared."""
WITH_CENTRAL = ("field", "student")


@dataclass
class Found:
    """Outcomes of finished runs: cell -> seed -> name of a number -> value. `notes`: what could not be used.

    Numbers: error, mse, r2 are means over the last fifth of the time, inside groups first and then over them,
    of `conditions` without the first agent of each group; r2_K is that of a group. final: accuracy in
    percent. age: mean age of a message in seconds; cpu_s: of a run.
    """

    outcomes: dict[Cell, dict[int, dict[str, float]]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def settings(self, part: str) -> list[str]:
        """Settings of a part with runs, in order: those that stand in the files first."""
        known = ["alone", *SILENT]
        there = dict.fromkeys(cell.setting for cell in self.outcomes if cell.part == part)
        return sorted(there, key=lambda name: (known.index(name) if name in known else 0, name))

    def methods(self, part: str, setting: str, families: Iterable[str]) -> list[Method]:
        """Methods of these families with outcomes, family by family, the rule first, then small strengths."""
        there = [Method.of(cell.method) for cell in self.outcomes if cell[:2] == (part, setting)]
        order = list(families)
        found = [one for one in there if one is not None and one.family in order]
        return sorted(found, key=lambda one: (order.index(one.family), one.strength or 0.0))

    def values(self, cell: Cell, name: str) -> dict[int, float]:
        """The number by seed."""
        return {seed: one[name] for seed, one in self.outcomes.get(cell, {}).items() if name in one}

    def mean(self, cell: Cell, name: str) -> MeanError:
        """Mean over seeds with its standard error; NaN without runs."""
        values = self.values(cell, name)
        return mean_error(values.values(), list(values))

    def change(self, cell: Cell, base: Cell, name: str) -> MeanError | None:
        """How much more than the base in percent of it, paired by seed; None where no seed has both."""
        mine, theirs = self.values(cell, name), self.values(base, name)
        pairs = {seed: 100 * (mine[seed] / theirs[seed] - 1) for seed in mine if theirs.get(seed)}
        return mean_error(pairs.values(), pairs) if pairs else None

    def best(self, part: str, setting: str, family: str) -> Method | None:
        """The strength of the grid with the smallest mean of the part's main number.

        Over the seeds that all strengths have. None: none was run, or they have no seed in common.
        """
        tried = {
            one: self.values(Cell(part, setting, one.name), MAIN[part])
            for one in self.methods(part, setting, [family])
            if one.strength is not None
        }
        shared = set.intersection(*map(set, tried.values())) if tried else set()
        if not shared:
            return None
        return min(tried, key=lambda one: sum(tried[one][seed] for seed in shared))

    def tuned(self, part: str, setting: str, family: str) -> Method | None:
        """A method itself, or the best of its grid."""
        if family in LINEAR or family == "pooled":
            return next(iter(self.methods(part, setting, [family])), None)
        return self.best(part, setting, family)


def find(out: Path) -> Found:
    """All finished runs under `out`, and closed forms beside them. What cannot be read becomes a note."""
    found = Found()
    central: dict[tuple[str, str, int], Path] = {}
    for cell, seed, folder in _folders(out):
        run = finished_run(folder, found.notes)
        if run is not None:
            found.outcomes.setdefault(cell, {})[seed] = outcome(run, cell.part)
            if cell.part in WITH_CENTRAL:
                central.setdefault((cell.part, cell.setting, seed), folder)
    for (part, setting, seed), folder in central.items():
        try:
            solved = solutions(groups_of(load(folder / "experiment.toml")))
        except MpidclError as error:
            found.notes.append(f"{part} {setting} seed {seed} has no closed forms: {error}")
            continue
        for name, numbers in solved.items():
            found.outcomes.setdefault(Cell(part, setting, name), {})[seed] = numbers
    return found


def _folders(out: Path) -> Iterator[tuple[Cell, int, Path]]:
    for folder in sorted((out / "runs").glob("*/*/*/seed-*")):
        cell, seed = Cell(*folder.parts[-4:-1]), folder.name.removeprefix("seed-")
        ours = cell.part in PARTS and seed.isdecimal() and _known(cell)
        if ours and folder == run_folder(out, cell, int(seed)):
            yield cell, int(seed), folder


def _known(cell: Cell) -> bool:
    if cell.part == "conditions":
        return cell.method in CONDITIONS
    if cell.part == "digits":
        return cell.method.removeprefix("loss-").isdecimal()
    method = Method.of(cell.method)
    return method is not None and method.family not in CENTRAL


def outcome(run: Run, part: str) -> dict[str, float]:
    """The numbers of a run; what it does not have is not there."""
    mail: dict[str, Any] = run.summary.get("mail", {})
    costs = {"cpu_s": float(run.summary["time"]["cpu_s"])}
    if mail.get("used"):
        costs["age"] = float(mail["mean_age"])
    if part == "digits":
        finals = [run.views.metrics(record)["final_accuracy"] for record in one_per_model(run.records)]
        return costs | {"final": 100 * sum(finals) / len(finals)}
    records = [one for one in run.records if part != "conditions" or one.agent % OF]
    groups = grouped(records)
    names = [name for name in ("error", "mse", "r2") if f"late_{name}" in groups.means]
    by_group = {f"r2_{place}": one for place, one in enumerate(groups.means["late_r2"])}
    return costs | {name: groups.over_groups(f"late_{name}") for name in names} | by_group


RUN_FAMILIES = (*LINEAR, *FORMS)
"""Families of methods that are run, in the order of the tables."""
