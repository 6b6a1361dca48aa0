"""What it costs to be right: bytes sent, and floats as the publication counts them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from mpidcl.views.base import Sheet, View
from mpidcl.views.groups import Group
from mpidcl.views.mean_error import ONE_SEED
from mpidcl.views.run import Run
from mpidcl.views.units import told


class CostView(View):
    """The main measure against what was sent."""

    name = "cost"

    def sheets(self, run: Run) -> list[Sheet]:
        from mpidcl.views.cost.figures import accuracy_against_cost

        if not any(row.wire_bytes for record in run.records for row in record.evaluations):
            return []
        main, draw = run.records[0].main, partial(accuracy_against_cost, run.records)
        return [Sheet(f"{main.name}-cost", f"{main.words.capitalize()} against bytes sent", COST, draw)]

    def group_sheets(self, groups: Sequence[Group]) -> list[Sheet]:
        from mpidcl.views.cost.figures import group_costs

        main = groups[0].main
        words = f"{main.words.capitalize()} against cost"
        return [Sheet(f"{main.name}-cost", words, told(COSTS, main), partial(group_costs, groups))]


COST = (
    "One point at the end of each task, numbered by task: the blue line is the mean over agents, the "
    "grey lines are the agents. Left: payload and headers as measured on the wire. Right: the floats "
    "that the publication charges."
)

COSTS = (
    "What an agent knew at the end over what it sent in the whole run: up and left is better. The bar is "
    "one standard error over seeds. A dashed line is the level of a group that sent nothing." + ONE_SEED
)
