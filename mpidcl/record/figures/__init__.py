"""The pictures of a report. matplotlib is imported here and nowhere else; nothing global of it is touched."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from matplotlib.figure import Figure

from mpidcl.record.compare import Group
from mpidcl.record.figures import (
    comparison,
    cost,
    curves,
    divergence,
    group_costs,
    matrix,
    modules,
    provenance,
    readings,
    speed,
    structures,
    times,
    topology,
)
from mpidcl.record.figures.style import Drawing, png, styled
from mpidcl.record.loaded import Run
from mpidcl.record.modules import has_modules

Sheet = tuple[str, str, str, Callable[[], Figure]]


def run_drawings(run: Run) -> list[Drawing]:
    """The figures of one run; those that have nothing to show are left out."""
    records = run.records
    sheets: list[Sheet] = [
        ("learning-curve", "Learning curve", readings.CURVE, lambda: curves.learning_curves(records)),
        (
            "accuracy-by-agent",
            "Every task of every agent",
            readings.PANELS,
            lambda: curves.agent_panels(records),
        ),
        ("accuracy-matrix", "Accuracy matrix", readings.MATRIX, lambda: matrix.accuracy_matrix(records)),
    ]
    sheets += _module_sheets(run)
    if any(row.wire_bytes for record in records for row in record.evaluations):
        words = "Accuracy against bytes sent"
        sheets.append(("accuracy-cost", words, readings.COST, lambda: cost.accuracy_against_cost(records)))
    if run.links or len(records) > 1 and run.finished:
        sheets.append(
            ("topology", "Network", readings.TOPOLOGY, lambda: topology.topology(records, run.links))
        )
    if any(record.divergence for record in records):
        words = "Distance between neighbours"
        sheets.append(
            ("divergence", words, readings.DIVERGENCE, lambda: divergence.divergence_over_time(records))
        )
    if any(record.timing for record in records):
        sheets.append(("time-split", "Time", readings.TIME, lambda: times.time_split(records)))
    return _drawn(sheets)


def _module_sheets(run: Run) -> list[Sheet]:
    """Only for agents whose models are made of modules."""
    records = [record for record in run.records if has_modules(record)]
    if not records:
        return []
    threshold = run.settings.get("learning.threshold")
    draw = partial(modules.module_growth, records, threshold)
    sheets: list[Sheet] = [("module-growth", "Modules", readings.GROWTH, draw)]
    if any(record.modules for record in records):
        words = "Who got which module from whom"
        sheets.append(
            ("module-provenance", words, readings.PROVENANCE, partial(provenance.provenance, records))
        )
    if any(record.structures.size for record in records):
        words = "Which module each layer uses"
        sheets.append(
            ("module-structures", words, readings.STRUCTURES, partial(structures.structures, records))
        )
    return sheets


def comparison_drawings(groups: Sequence[Group]) -> list[Drawing]:
    """The figures of several runs."""
    sheets: list[Sheet] = [
        ("metrics", "Metrics", readings.DOTS, lambda: comparison.metric_dots(groups)),
        ("learning-curves", "Learning curves", readings.CURVES, lambda: comparison.group_curves(groups)),
        (
            "learning-speed",
            "How fast a new task is learned",
            readings.SPEED,
            lambda: speed.group_speeds(groups),
        ),
        ("accuracy-cost", "Accuracy against cost", readings.COSTS, lambda: group_costs.group_costs(groups)),
    ]
    if len(groups) > 1:
        words = "Paired differences"
        sheets.insert(1, ("differences", words, readings.PAIRED, lambda: comparison.difference_dots(groups)))
    return _drawn(sheets)


def _drawn(sheets: Sequence[Sheet]) -> list[Drawing]:
    found = []
    with styled():
        for name, title, reading, draw in sheets:
            figure = draw()
            found.append(Drawing(name, title, reading, png(figure), float(figure.get_figwidth())))
    return found
