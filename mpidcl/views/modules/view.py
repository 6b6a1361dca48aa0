"""Models that grow by modules: how they grow, what is kept, and who gets what from whom."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from mpidcl.base.quantities import NOTHING, number_error
from mpidcl.learning.compositional.decisions import DECISIONS, STRUCTURES
from mpidcl.record.records import AgentRecord
from mpidcl.views.base import Below, Sheet, Tile, View
from mpidcl.views.groups import Group
from mpidcl.views.mean_error import MARK
from mpidcl.views.modules.counts import decisions, final_mean, final_modules, given, module_summary
from mpidcl.views.run import Run


class ModulesView(View):
    """Counts of modules; growth, origins and structures."""

    name = "modules"
    reads = (DECISIONS, STRUCTURES)

    def summary(self, records: Sequence[AgentRecord]) -> dict[str, object]:
        return {"modules": module_summary(self._mine(records))}

    def tiles(self, run: Run) -> list[Tile]:
        found = run.summary["modules"]
        error = found["standard_error"]
        small = "" if error is None else f"± {error:.1f}{MARK}"
        return [Tile(f"{found['mean']:.1f}", small, f"modules per agent at the end; {_kept(found)}")]

    def lines(self, run: Run) -> list[str]:
        """Growth and what was kept."""
        found = run.summary["modules"]
        mean = number_error(found["mean"], found["standard_error"], MARK)
        return [f"modules {mean} per agent; {_kept(found)}"]

    def columns(self, groups: Sequence[Group]) -> dict[str, list[str]]:
        """How many modules an agent has at the end."""
        means = [final_mean(group.models) for group in groups]
        return {"modules": [number_error(*mean[:2], mean.mark) if mean else NOTHING for mean in means]}

    def sheets(self, run: Run) -> list[Sheet]:
        from mpidcl.views.modules import growth, provenance, structures

        records = self._mine(run.records)
        found = run.settings.get("learning.threshold")
        threshold = found if isinstance(found, int | float) else None
        draw = partial(growth.module_growth, records, threshold)
        below = Below("modules.html", _candidates(records))
        sheets = [Sheet("module-growth", "Modules", GROWTH, draw, below)]
        if any(record.has(DECISIONS) for record in records):
            words, draw = "Who got which module from whom", partial(provenance.provenance, records)
            sheets.append(Sheet("module-provenance", words, PROVENANCE, draw))
        if any(record.has(STRUCTURES) for record in records):
            words, draw = "Which module each layer uses", partial(structures.structures, records)
            sheets.append(Sheet("module-structures", words, STRUCTURE, draw))
        return sheets

    def _mine(self, records: Sequence[AgentRecord]) -> list[AgentRecord]:
        return [record for record in records if self.sees(record)]


def _kept(found: Mapping[str, Any]) -> str:
    received = f", {found['received_kept']} of the {found['received']} received" if found["received"] else ""
    return f"{found['kept']} of {found['candidates']} candidates kept{received}"


def _candidates(records: Sequence[AgentRecord]) -> dict[str, object]:
    """Candidates by agent and task."""
    tasks = sorted({decision.task for record in records for decision in decisions(record)})
    passed_on, rows = given(records), []
    for record in records:
        cells = [[one for one in decisions(record) if one.task == task] for task in tasks]
        rows.append((record.agent, cells, final_modules(record), passed_on[record.agent]))
    return {"tasks": tasks, "rows": rows}


GROWTH = (
    "Left: how many modules an agent has after each task; the grey lines are the agents, the blue one is "
    "their mean. Right: what each candidate module added to the accuracy on its task's validation rows, in "
    "% of the accuracy without it. Circles began at random, triangles were received from a neighbour; filled "
    "ones were kept."
)

PROVENANCE = (
    "One lane per agent, time runs downwards. A disc is a module that was kept when the task of its row was "
    "learned, with its number in its agent: white ones began at random, dark ones began as a copy of the "
    "module that their arrow comes from, and were trained further. Arrows have the colour of the agent "
    "that gave. A cross is a task whose candidates were all dropped."
)

STRUCTURE = (
    "One map per agent (the first eight), a row per module, and for each task a column per layer, first "
    "layer left. Black: the layer consists of this module alone; white: the layer makes no use of it, or "
    "the module came later than the task. Each column adds up to one; a dot marks the largest share of a "
    "layer that mixes several. “5 ← 2” is module 5, which came from agent 2."
)
