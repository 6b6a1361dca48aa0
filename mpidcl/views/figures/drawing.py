"""Draws the sheets of views: pictures of a run, or of several."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import NamedTuple

from mpidcl.views.base import Sheet
from mpidcl.views.figures import comparison
from mpidcl.views.figures.style import png, styled
from mpidcl.views.groups import Group, views_of
from mpidcl.views.mean_error import ONE_SEED
from mpidcl.views.run import Run
from mpidcl.views.units import told


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
    dots = told(DOTS, groups[0].main)
    sheets = [Sheet("metrics", "Metrics", dots, partial(comparison.metric_dots, groups))]
    if len(groups) > 1:
        draw = partial(comparison.difference_dots, groups)
        sheets.append(Sheet("differences", "Paired differences", PAIRED, draw))
    sheets += views_of(groups).group_sheets(groups)
    if not any(group.mark for group in groups):  # no name has a star: nothing to explain
        sheets = [replace(one, reading=one.reading.removesuffix(ONE_SEED)) for one in sheets]
    return _drawn(sheets)


def _drawn(sheets: Sequence[Sheet]) -> list[Drawing]:
    found = []
    with styled():
        for sheet in sheets:
            figure = sheet.draw()
            if figure is not None:
                found.append(Drawing(sheet, png(figure), float(figure.get_figwidth())))
    return found


DOTS = (
    "A small dot is one agent of one run, the large one the mean over agents and seeds with its "
    "standard error over seeds; agents that share one model are one dot. Accuracies and speed: further right "
    "is better. Forgetting: further left is better." + ONE_SEED
)

PAIRED = (
    "Each small dot is one agent under one seed, compared with the same agent under the same seed in "
    "the first group: what luck does to both cancels. The bar is one standard error over seeds. How many of "
    "them a mean must be away from zero to be hardly luck depends on the number of seeds: 12.7 with two, 4.3 "
    "with three, 2.8 with five, 2.4 with eight." + ONE_SEED
)
