"""Models that grow by modules: how they grow, what is kept, and who gets what from whom."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
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
        found = run.summary["modules"]
        mean = number_error(found["mean"], found["standard_error"], MARK)
        return [f"modules {mean} per agent; {_kept(found)}"]

    def columns(self, groups: Sequence[Group]) -> dict[str, list[str]]:
        means = [final_mean(group.models) for group in groups]
        return {"modules": [number_error(*mean[:2], mean.mark) if mean else NOTHING for mean in means]}

    def sheets(self, run: Run) -> list[Sheet]:
        from mpidcl.views.modules import growth, provenance, structures

        records = self._mine(run.records)
        found = run.settings.get("learning.threshold")
        threshold = found if isinstance(found, int | float) else None
        grown = Sheet.of("module-growth", "Modules", growth.module_growth, records, threshold)
        grown = replace(grown, below=Below("modules.html", _candidates(records)))
        more = [
            (DECISIONS, "module-provenance", "Who got which module from whom", provenance.provenance),
            (STRUCTURES, "module-structures", "Which module each layer uses", structures.structures),
        ]
        there = [one[1:] for one in more if any(record.has(one[0]) for record in records)]
        return [grown, *(Sheet.of(*one, records) for one in there)]

    def _mine(self, records: Sequence[AgentRecord]) -> list[AgentRecord]:
        return [record for record in records if self.sees(record)]


def _kept(found: Mapping[str, Any]) -> str:
    received = f", {found['received_kept']} of the {found['received']} received" if found["received"] else ""
    return f"{found['kept']} of {found['candidates']} candidates kept{received}"


def _candidates(records: Sequence[AgentRecord]) -> dict[str, object]:
    tasks = sorted({decision.task for record in records for decision in decisions(record)})
    passed_on, rows = given(records), []
    for record in records:
        cells = [[one for one in decisions(record) if one.task == task] for task in tasks]
        rows.append((record.agent, cells, final_modules(record), passed_on[record.agent]))
    return {"tasks": tasks, "rows": rows}
