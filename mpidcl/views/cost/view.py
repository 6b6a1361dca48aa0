"""What it costs to be right: bytes sent, and floats as the publication counts them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mpidcl.views.base import Sheet, View
from mpidcl.views.groups import Group, of_one_measure, paired_differences
from mpidcl.views.mean_error import MeanError
from mpidcl.views.run import Run
from mpidcl.views.units import scale

MIB = 1024**2


class CostView(View):
    """The main measure against what was sent."""

    name = "cost"

    def sheets(self, run: Run) -> list[Sheet]:
        from mpidcl.views.cost.figures import accuracy_against_cost

        if not any(row.wire_bytes for record in run.records for row in record.evaluations):
            return []
        main = run.records[0].main
        title = f"{main.words.capitalize()} against bytes sent"
        return [Sheet.of(f"{main.name}-cost", title, accuracy_against_cost, run.records)]

    def group_sheets(self, groups: Sequence[Group]) -> list[Sheet]:
        from mpidcl.views.cost.figures import group_costs

        main, groups = groups[0].main, of_one_measure(groups)
        if not any(group.per_agent(what) for group in groups for what in ("sent_bytes", "paper_floats")):
            return []
        title = f"{main.words.capitalize()} against cost"
        return [Sheet.of_groups(f"{main.name}-cost", title, group_costs, groups)]


def points_per_mib(groups: Sequence[Group]) -> list[MeanError | None]:
    """Points of final accuracy that each group has over the first, for each MiB that an agent sent beyond it.

    From the paired differences, with their standard error; bytes are those measured on the wire. None for
    the first group, for one that sent no more than it, and where a run is not finished.
    """
    main = groups[0].main
    points = -scale(main.unit) if main.better == "lower" else scale(main.unit)
    found: list[MeanError | None] = [None]
    for group, difference in zip(groups[1:], paired_differences(groups, groups[0].main_metric), strict=True):
        beyond = (group.per_agent("sent_bytes") - groups[0].per_agent("sent_bytes")) / MIB
        whole = all(run.finished for one in (groups[0], group) for run in one.runs)
        there = whole and beyond > 0 and difference.values
        found.append(difference.mean.times(points / beyond) if there else None)
    return found


def sent_over_trained(runs: Sequence[Run]) -> float | None:
    """Floats that an agent sent, as the paper counts, over the floats of its training rows; mean of the runs.

    None where a run does not know them (it is not finished, or older than this number).
    """
    trained = [run.summary.get("training_floats", 0) for run in runs]
    if not all(trained) or not all(run.finished for run in runs):
        return None
    sent = [run.summary["communication"]["paper_floats"] for run in runs]
    return float(np.mean(np.array(sent) / np.array(trained)))
