"""Linear models that learn one stream of samples: late and final errors, of agents and of groups."""

from __future__ import annotations

import math
from collections.abc import Sequence

from mpidcl.record.records import AgentRecord
from mpidcl.views.base import Metric, Sheet, Tile, View
from mpidcl.views.cost.view import CostView
from mpidcl.views.groups import Group, of_one_measure
from mpidcl.views.regression.numbers import ESTIMATES, LATE, grouped, metrics
from mpidcl.views.run import Run
from mpidcl.views.tasks.view import metric_tile
from mpidcl.views.units import axis, with_error

SHORT = {"error": "error", "mse": "MSE", "r2": "R^2"}
"""Measures where there is little room."""


class RegressionView(View):
    """Errors at the end of one stream. A run with several tasks has what tasks have in its place."""

    name = "regression"
    reads = (ESTIMATES,)
    instead_of = ("tasks", "cost")

    def sees(self, record: AgentRecord) -> bool:
        """Agents with a linear model and one task: with several, forgetting and the like mean something."""
        return super().sees(record) and record.tasks == 1

    def metrics(self, record: AgentRecord) -> dict[str, float]:
        return metrics(record)

    def shown(self, record: AgentRecord) -> list[Metric]:
        main, *_ = record.measures
        found = []
        for when in ("late", "final"):
            for one in record.measures:
                words, short = f"{when} {one.words}", f"{when} {SHORT.get(one.name, one.words)}"
                beside = "" if one == main and when == "final" else f"final_{main.name}"
                drawn, compared = one == main, short if one == main or when == "late" else ""
                panel = axis(short, one.unit) if drawn else ""
                known = f"{when}_{one.name}", words, one.unit, compared, panel, drawn, beside
                found.append(Metric(*known, digits=".3g"))
        return found

    def summary(self, records: Sequence[AgentRecord]) -> dict[str, object]:
        """`regression`: of each group its agents and its means over them, and the means over groups."""
        found = grouped([record for record in records if self.sees(record)])
        return {
            "regression": {
                "groups": list(found.groups),
                "agents": list(found.agents),
                "by_group": {name: [_number(one) for one in means] for name, means in found.means.items()},
                "over_groups": {name: _number(found.over_groups(name)) for name in found.means},
            }
        }

    def tiles(self, run: Run) -> list[Tile]:
        last = f"mean over the last {LATE:.0%} of the time".replace("%", " %")
        late = [
            metric_tile(run, f"late_{one.name}", f"late {one.words}: {last}")
            for one in run.records[0].measures
        ]
        main = run.records[0].main
        return [*late, metric_tile(run, f"final_{main.name}", f"final {main.words}, at the last evaluation")]

    def reading(self, run: Run) -> str:
        whole = "" if not self._uneven(run) else f" {self._over_groups(run)}"
        return (
            f"Late is the mean over the evaluations in the last {100 * LATE:.0f} % of an agent's time, final"
            " the last evaluation, both averaged over agents; s.e. is the standard error. With a constant"
            f" step size errors go up and down for ever: compare late ones.{whole}"
        )

    def lines(self, run: Run) -> list[str]:
        return [self._over_groups(run)] if self._uneven(run) else []

    def _uneven(self, run: Run) -> bool:
        return grouped([record for record in run.records if self.sees(record)]).uneven

    def _over_groups(self, run: Run) -> str:
        """The other mean of what is late."""
        found = grouped([record for record in run.records if self.sees(record)])
        words = [
            f"late {one.words} {with_error(found.over_groups(f'late_{one.name}'), None, unit=one.unit)}"
            for one in run.records[0].measures
        ]
        return (
            f"Groups have different sizes. Means inside each of the {len(found.groups)}, then over groups:"
            f" {', '.join(words)}."
        )

    def sheets(self, run: Run) -> list[Sheet]:
        from mpidcl.views.regression import figures

        records, main = [record for record in run.records if self.sees(record)], run.records[0].main
        curves = Sheet.of("error-curve", "Error over time", figures.error_curves, records, run.time)
        bars = "late-by-group", f"Late {main.words} by group", figures.late_by_group
        return [curves, Sheet.of(*bars, records)]

    def group_sheets(self, groups: Sequence[Group]) -> list[Sheet]:
        from mpidcl.views.regression import figures

        alike = of_one_measure(groups)
        curves = Sheet.of_groups("error-curves", "Error over time", figures.group_error_curves, alike)
        return [curves, *CostView().group_sheets(groups)]


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None
