"""Draws the sheets of views: pictures of a run, or of several."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from mpidcl.views.base import Sheet
from mpidcl.views.figures.comparison import difference_dots, metric_dots
from mpidcl.views.figures.style import png, styled
from mpidcl.views.groups import Group, views_of
from mpidcl.views.run import Run


class Drawing(NamedTuple):
    """A figure ready for the page: what is said of it, its PNG, its width in inches."""

    sheet: Sheet
    png: bytes
    width: float


def run_drawings(run: Run) -> list[Drawing]:
    """The figures of one run."""
    return _drawn(run.views.sheets(run))


def comparison_drawings(groups: Sequence[Group]) -> list[Drawing]:
    """The figures of several runs."""
    sheets = [Sheet.of_groups("metrics", "Metrics", metric_dots, groups)]
    if len(groups) > 1:
        sheets.append(Sheet.of_groups("differences", "Paired differences", difference_dots, groups))
    return _drawn(sheets + views_of(groups).group_sheets(groups))


def _drawn(sheets: Sequence[Sheet]) -> list[Drawing]:
    with styled():
        made = ((sheet, sheet.draw()) for sheet in sheets)
        return [Drawing(sheet, png(one), float(one.get_figwidth())) for sheet, one in made if one is not None]
