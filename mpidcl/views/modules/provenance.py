"""Where modules come from: which agent owns which, and who got them from whom."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch

from mpidcl.learning.compositional.decisions import ModuleDecision
from mpidcl.record.records import AgentRecord
from mpidcl.views.figures.style import COLOURS, FAINT, INK, colour, new_panel
from mpidcl.views.modules.counts import decisions, first_modules, kept

Place = tuple[float, float]
Places = Mapping[tuple[int, int], Place]
"""Where a module stands, by (agent, number)."""
_MANY = 12
_START = -1.0
"""Height of the row with the modules that the agents began with, in tasks above the first row drawn."""


def provenance(records: Sequence[AgentRecord]) -> Figure:
    """One lane per agent, time runs downwards. A disc is a module that was kept when the task of its row was
    learned, with its number in its agent: white ones began at random, dark ones began as a copy of the module
    that their arrow comes from, and were trained further. Arrows have the colour of the agent that gave. A
    cross is a task whose candidates were all dropped.
    """
    lanes = {record.agent: lane for lane, record in enumerate(records)}
    tasks = sorted({decision.task for record in records for decision in decisions(record)})
    rows = {task: row for row, task in enumerate(tasks)}
    places = _places(records, lanes, rows)
    figure, axes = new_panel(1.0 + 0.52 * (len(rows) + 1))
    _lanes(axes, records, rows)
    for record in records:
        for decision in kept(record):
            _arrow(axes, places, record.agent, decision, lanes)
        _modules(axes, places, record, lanes[record.agent], rows)
    return figure


def _places(records: Sequence[AgentRecord], lanes: Mapping[int, int], rows: Mapping[int, int]) -> Places:
    """Modules that an agent kept in one task stand side by side."""
    found: dict[tuple[int, int], Place] = {}
    for record, (task, row) in product(records, rows.items()):
        numbers = [decision.module for decision in kept(record) if decision.task == task]
        for place, number in enumerate(numbers):
            shift = 0.3 * (place - (len(numbers) - 1) / 2)
            found[record.agent, number] = (lanes[record.agent] + shift, float(row))
    return found


def _lanes(axes: Axes, records: Sequence[AgentRecord], rows: Mapping[int, int]) -> None:
    few = len(records) <= _MANY
    for lane, record in enumerate(records):
        axes.plot([lane, lane], [_START, len(rows) - 0.6], color="#DDDDDD", linewidth=1.2, zorder=0)
        text = f"{first_modules(record)} modules" if few else str(first_modules(record))
        box = {"boxstyle": "round,pad=0.35", "facecolor": "#F2F2F2", "edgecolor": FAINT, "linewidth": 0.8}
        axes.text(lane, _START, text, ha="center", va="center", fontsize=8, bbox=box)
    axes.set_xticks(range(len(records)), [f"{'agent ' if few else ''}{record.agent}" for record in records])
    axes.set_yticks([_START, *rows.values()], ["at first", *(f"task {task}" for task in rows)])
    axes.set_xlim(-0.6, len(records) - 0.4)
    axes.set_ylim(len(rows) - 0.5, _START - 0.5)
    axes.xaxis.tick_top()
    axes.tick_params(length=0, labelsize=9)
    axes.grid(axis="x", visible=False)
    axes.spines[:].set_visible(False)


def _arrow(
    axes: Axes, places: Places, agent: int, decision: ModuleDecision, lanes: Mapping[int, int]
) -> None:
    """From the module where it was to where it went; one of the modules owned at first leaves their box."""
    if decision.source not in lanes:
        return
    start = places.get((decision.source, decision.source_module), (float(lanes[decision.source]), _START))
    end = places[agent, decision.module]
    bend = 0.12 if start[0] < end[0] else -0.12
    axes.add_patch(
        FancyArrowPatch(
            start, end, arrowstyle="-|>", mutation_scale=11, shrinkA=9, shrinkB=9.5, linewidth=1.3,
            color=colour(lanes[decision.source]), connectionstyle=f"arc3,rad={bend}", zorder=1,
        )
    )  # fmt: skip


def _modules(axes: Axes, places: Places, record: AgentRecord, lane: int, rows: Mapping[int, int]) -> None:
    """A disc with the module's number: dark for one that was received, light for one that began at random."""
    for decision in kept(record):
        x, y = places[record.agent, decision.module]
        face, ink = (COLOURS[0], "white") if decision.received else ("white", INK)
        # a white ring, so that an arrow which passes below does not seem to begin or end here
        axes.scatter([x], [y], s=360, color="white", linewidth=0, zorder=2)
        axes.scatter([x], [y], s=230, facecolor=face, edgecolor=COLOURS[0], linewidth=1.6, zorder=2)
        axes.text(x, y, str(decision.module), ha="center", va="center", color=ink, fontsize=8, zorder=3)
    accepted = {decision.task for decision in kept(record)}
    for decision in decisions(record):
        if decision.task not in accepted:
            axes.scatter([lane], [rows[decision.task]], s=26, marker="x", color=FAINT, linewidth=1.2)
