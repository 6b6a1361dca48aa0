"""The field, the estimate and the error as maps."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from numpy.typing import NDArray

from mpidcl.views.field.maps import Maps
from mpidcl.views.figures.style import INK, bare, new_figure


def field_maps(found: Maps) -> Figure:
    """The noise-free field at the end, what the mean of the models of each group says, and its error.
    Lines are the borders of the groups' regions. rms is the root mean square over all cells; below it that
    of the best models, since a quadratic for each region cannot follow every cell.
    """
    error = found.estimate - found.field
    ends = [float(end(one)) for end in (np.min, np.max) for one in (found.field, found.estimate)]
    heat = ScalarMappable(Normalize(min(ends), max(ends)), "viridis")
    most = max(float(np.abs(error).max()), 1e-12)
    wrong = ScalarMappable(Normalize(-most, most), "RdBu_r")
    figure = new_figure(3.2)
    field, estimate, last = figure.subplots(1, 3)
    for axes, values, colours, title in (
        (field, found.field, heat, "field"),
        (estimate, found.estimate, heat, "estimate"),
        (last, error, wrong, f"error: rms {found.rms(found.estimate):.3g}"),
    ):
        axes.imshow(values, cmap=colours.cmap, norm=colours.norm)
        bare(axes)
        _borders(axes, found.region)
        axes.set(title=title, xlabel="column")
    last.set_xlabel(f"column\nof the best models: rms {found.rms(found.best):.3g}")
    field.set_ylabel("row")
    for colours, beside, words in (
        (heat, [field, estimate], "temperature"),
        (wrong, [last], "estimate - field"),
    ):
        bar = figure.colorbar(colours, ax=beside, shrink=0.8, pad=0.02)
        bar.outline.set_visible(False)
        bar.set_label(words)
    return figure


def _borders(axes: Axes, region: NDArray[np.int64]) -> None:
    """Between neighbouring cells of two regions."""
    for row, column in zip(*np.nonzero(region[:, 1:] != region[:, :-1]), strict=True):
        axes.plot([column + 0.5] * 2, [row - 0.5, row + 0.5], color=INK, linewidth=1.2)
    for row, column in zip(*np.nonzero(region[1:] != region[:-1]), strict=True):
        axes.plot([column - 0.5, column + 0.5], [row + 0.5] * 2, color=INK, linewidth=1.2)
