"""The figure of sharing: final accuracy of every method, alone and with each exchange."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from mpidcl.reproduce.baselines.found import Found
from mpidcl.reproduce.baselines.methods import METHODS
from mpidcl.reproduce.baselines.streams import NETWORKED, SHARING
from mpidcl.views.figures.style import colour, new_figure, png, styled


def figures(found: Found) -> dict[str, bytes]:
    """File name (without suffix) -> PNG, for every stream with agents on a ring."""
    with styled():
        return {
            f"sharing-{name}": png(sharing(found, name))
            for name in found.streams
            if found.cells(name, *NETWORKED)
        }


def sharing(found: Found, stream: str) -> Figure:
    """A bar for each way of sharing, method by method; above class-, below task-incremental."""
    cells = list({cell._replace(sharing="") for cell in found.cells(stream, *NETWORKED)})
    order = list(METHODS)
    cells.sort(key=lambda cell: (order.index(cell.method), cell.buffer))
    ways = [way for way in NETWORKED if found.cells(stream, way)]
    figure = new_figure(5.2)
    wide = 0.8 / len(ways)
    places = np.arange(len(cells))
    panels = figure.subplots(2, 1, sharex=True)
    for axes, (name, words) in zip(panels, (("final", "class"), ("task", "task")), strict=True):
        for number, way in enumerate(ways):
            means = [found.mean(cell._replace(sharing=way), name) for cell in cells]
            axes.bar(
                places + (number - (len(ways) - 1) / 2) * wide, [one.mean for one in means], wide,
                yerr=[one.standard_error for one in means], capsize=2,
                color=colour(number), label=SHARING[way][0],
            )  # fmt: skip
        axes.set_ylabel(f"{words}-incremental [%]")
    names = [f"{METHODS[cell.method].words}{f' {cell.buffer}' if cell.buffer else ''}" for cell in cells]
    panels[1].set_xticks(places, names, rotation=30, ha="right")
    panels[0].legend(fontsize=7, frameon=False, ncols=len(ways))
    return figure
