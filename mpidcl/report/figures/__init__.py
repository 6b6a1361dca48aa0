"""The pictures of a report. matplotlib is imported here and nowhere else; nothing global of it is touched."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from mpidcl.record.modules import has_modules
from mpidcl.record.parallel_metrics import one_per_model
from mpidcl.report.compare import Group
from mpidcl.report.figures import (
    comparison,
    cost,
    course_curves,
    curves,
    divergence,
    group_costs,
    matrix,
    modules,
    parallel_readings,
    provenance,
    readings,
    speed,
    structures,
    times,
    topology,
)
from mpidcl.report.figures.parallel import Sheet, parallel_sheets
from mpidcl.report.figures.style import Drawing, png, styled
from mpidcl.report.loaded import Run


def run_drawings(run: Run) -> list[Drawing]:
    """The figures of one run; those that have nothing to show are left out."""
    records = run.records
    if any(record.course is not None for record in records):
        sheets = parallel_sheets(records)
    else:
        sheets = _serial_sheets(run)
    if _has_network(run):
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


def _has_network(run: Run) -> bool:
    """Agents that share one model need no links, and send none of what links count."""
    if len(one_per_model(run.records)) < len(run.records):
        return any(record.ledger for record in run.records)
    return bool(run.links) or len(run.records) > 1 and run.finished


def _serial_sheets(run: Run) -> list[Sheet]:
    """Of agents whose tasks come one after the other."""
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
    return sheets


def _module_sheets(run: Run) -> list[Sheet]:
    """Only for agents whose models are made of modules."""
    records = [record for record in run.records if has_modules(record)]
    if not records:
        return []
    found = run.settings.get("learning.threshold")
    threshold = found if isinstance(found, int | float) else None
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
    parallel = any(record.course is not None for group in groups for record in group.records)
    sheets: list[Sheet] = [("metrics", "Metrics", readings.DOTS, partial(comparison.metric_dots, groups))]
    if len(groups) > 1:
        draw = partial(comparison.difference_dots, groups)
        sheets.append(("differences", "Paired differences", readings.PAIRED, draw))
    sheets += _parallel_curves(groups) if parallel else _serial_curves(groups)
    if not parallel or len({group.per_agent("sent_bytes") for group in groups}) > 1:
        draw = partial(group_costs.group_costs, groups)
        sheets.append(("accuracy-cost", "Accuracy against cost", readings.COSTS, draw))
    if not any(group.mark for group in groups):  # no name has a star: nothing to explain
        sheets = [
            (name, title, text.removesuffix(readings.ONE_SEED), draw) for name, title, text, draw in sheets
        ]
    return _drawn(sheets)


def _serial_curves(groups: Sequence[Group]) -> list[Sheet]:
    words = "How fast a new task is learned"
    return [
        ("learning-curves", "Learning curves", readings.CURVES, partial(comparison.group_curves, groups)),
        ("learning-speed", words, readings.SPEED, partial(speed.group_speeds, groups)),
    ]


def _parallel_curves(groups: Sequence[Group]) -> list[Sheet]:
    draw = partial(course_curves.group_courses, groups)
    return [("learning-curves", "Learning curves", parallel_readings.CURVES, draw)]


def _drawn(sheets: Sequence[Sheet]) -> list[Drawing]:
    found = []
    with styled():
        for name, title, reading, draw in sheets:
            figure = draw()
            found.append(Drawing(name, title, reading, png(figure), float(figure.get_figwidth())))
    return found
