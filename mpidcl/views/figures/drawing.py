"""Draws the sheets of views: pictures of a run, or of several."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from mpidcl.views.base import Sheet
from mpidcl.views.figures import comparison, readings
from mpidcl.views.figures.style import Drawing, png, styled
from mpidcl.views.groups import Group, views_of
from mpidcl.views.run import Run
from mpidcl.views.units import told


def run_drawings(run: Run) -> list[Drawing]:
    """The figures of one run."""
    return _drawn(run.views.sheets(run))


def comparison_drawings(groups: Sequence[Group]) -> list[Drawing]:
    """The figures of several runs."""
    dots = told(readings.DOTS, groups[0].main)
    sheets = [Sheet("metrics", "Metrics", dots, partial(comparison.metric_dots, groups))]
    if len(groups) > 1:
        draw = partial(comparison.difference_dots, groups)
        sheets.append(Sheet("differences", "Paired differences", readings.PAIRED, draw))
    sheets += views_of(groups).group_sheets(groups)
    if not any(group.mark for group in groups):  # no name has a star: nothing to explain
        sheets = [replace(one, reading=one.reading.removesuffix(readings.ONE_SEED)) for one in sheets]
    return _drawn(sheets)


def _drawn(sheets: Sequence[Sheet]) -> list[Drawing]:
    found = []
    with styled():
        for sheet in sheets:
            figure = sheet.draw()
            if figure is None:
                continue
            width = float(figure.get_figwidth())
            found.append(Drawing(sheet.name, sheet.title, sheet.reading, png(figure), width, sheet.below))
    return found
