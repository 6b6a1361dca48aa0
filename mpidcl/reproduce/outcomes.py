"""Numbers of finished runs by row and seed, and their differences paired by seed."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from mpidcl.reproduce.cells import known, seeds_text
from mpidcl.reproduce.found import finished_run
from mpidcl.views.mean_error import MeanError, mean_error
from mpidcl.views.run import Run

Outcome = dict[str, float]


@dataclass
class Found:
    """Outcomes of finished runs: row -> seed -> name -> value. `notes`: what could not be used."""

    outcomes: dict[str, dict[int, Outcome]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def mean(self, row: str, name: str) -> MeanError:
        """Mean over seeds with its standard error; NaN without runs."""
        outcomes = self.outcomes.get(row, {})
        return mean_error([one[name] for one in outcomes.values()], list(outcomes))

    def difference(self, row: str, base: str, name: str) -> MeanError | None:
        """Row minus base, paired by seed; None where no seed has both."""
        mine, theirs = (self.outcomes.get(one, {}) for one in (row, base))
        pairs = {seed: mine[seed][name] - theirs[seed][name] for seed in mine if seed in theirs}
        return mean_error(pairs.values(), pairs) if pairs else None

    def seeds(self, row: str) -> str:
        """The seeds of a row in words."""
        return seeds_text(sorted(self.outcomes.get(row, {})))

    def numbers(self, rows: Iterable[str], names: Iterable[str]) -> list[dict[str, object]]:
        """Every number of every row that was run, for a CSV file."""
        wanted = list(names)
        return [
            {
                "row": row,
                "number": name,
                "mean": known(self.mean(row, name).mean),
                "standard_error": known(self.mean(row, name).standard_error),
                "seeds": self.seeds(row),
            }
            for row in rows
            if row in self.outcomes
            for name in wanted
        ]


def run_folder(out: Path, row: str, seed: int) -> Path:
    """Where a run lies: OUT/runs/ROW/seed-SEED."""
    return out / "runs" / row / f"seed-{seed}"


def find(out: Path, rows: Iterable[str], outcome: Callable[[Run], Outcome]) -> Found:
    """All finished runs of these rows under `out`. A folder that cannot be read becomes a note."""
    found = Found()
    for row in rows:
        for folder in sorted((out / "runs" / row).glob("seed-*")):
            seed = folder.name.removeprefix("seed-")
            if seed.isdecimal() and folder == run_folder(out, row, int(seed)):
                run = finished_run(folder, found.notes)
                if run is not None:
                    found.outcomes.setdefault(row, {})[int(seed)] = outcome(run)
    return found
