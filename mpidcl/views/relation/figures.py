"""Figures of how groups are related: maps of partial correlations, and graphs of the strong ones."""

from __future__ import annotations

import networkx as nx
import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from mpidcl.views.figures.style import COLOURS, INK, bare, new_figure
from mpidcl.views.relation.numbers import Doubles, Relations, partial_correlations

MOST_NODES = 64
EDGE = 0.05
"""Partial correlations below it are no edges."""
_MOST_NUMBERS = 12
"""Groups up to which cells have numbers."""
ATTRACT, REPEL = COLOURS[0], COLOURS[1]
_PANEL = 4.3


def _panels(found: Relations) -> dict[str, Doubles]:
    """Titles and Thetas."""
    learned = {f"learned: messenger of group {found.first.group}": found.first.theta}
    return learned if found.true is None else learned | {"of the true models": found.true}


def relation_maps(found: Relations) -> Figure:
    """Partial correlations of the models of two groups, -Theta_kl / sqrt(Theta_kk Theta_ll), given those of
    all others. Blue: the groups attract each other; red: they repel each other; white: no direct relation.
    About a common mean models add up to nothing, so groups that have nothing in common repel each other.
    Right, where the true models are known, those of their precision matrix, made in the same way.
    """
    maps = {title: partial_correlations(theta) for title, theta in _panels(found).items()}
    count = len(found.first.theta)
    most = max(0.1, *(float(np.nanmax(np.abs(one))) for one in maps.values()))
    figure = new_figure(_PANEL - 0.5, _PANEL * len(maps) + 0.4)
    panels = figure.subplots(1, len(maps), squeeze=False)[0]
    colours = ScalarMappable(Normalize(-most, most), "RdBu")
    for axes, (title, values) in zip(panels, maps.items(), strict=True):
        axes.imshow(values, cmap=colours.cmap, norm=colours.norm)
        bare(axes)
        axes.set(title=title, xlabel="group")
        if count <= _MOST_NUMBERS:
            axes.set_xticks(range(count))
            axes.set_yticks(range(count))
            _numbers(axes, values, most)
    panels[0].set_ylabel("group")
    bar = figure.colorbar(colours, ax=panels, shrink=0.85, pad=0.02)
    bar.outline.set_visible(False)
    bar.set_label("partial correlation")
    return figure


def _numbers(axes: Axes, values: Doubles, most: float) -> None:
    size = 8 if len(values) <= 8 else 6
    for (row, column), value in np.ndenumerate(values):
        if not np.isnan(value):
            ink = "white" if abs(value) > 0.6 * most else INK
            axes.text(column, row, f"{value:.2f}", ha="center", va="center", color=ink, fontsize=size)


def task_graph(found: Relations) -> Figure:
    """Groups whose partial correlation is above .05 in size are linked, the thicker the stronger. Blue: they
    attract each other; red and dashed: they repel each other.
    """
    panels = _panels(found)
    maps = {title: np.nan_to_num(partial_correlations(theta)) for title, theta in panels.items()}
    most = max(EDGE, *(float(np.abs(one).max()) for one in maps.values()))
    figure = new_figure(_PANEL - 0.3, _PANEL * len(maps))
    every = figure.subplots(1, len(maps), squeeze=False)[0]
    for axes, (title, values) in zip(every, maps.items(), strict=True):
        _graph(axes, values, most)
        axes.set_title(title)
    handles = [
        Line2D([], [], color=ATTRACT, linewidth=2.5, label="attract"),
        Line2D([], [], color=REPEL, linewidth=2.5, linestyle=(0, (2.2, 1.1)), label="repel"),
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=2, frameon=False)
    return figure


def _graph(axes: Axes, values: Doubles, most: float) -> None:
    """On a circle, so that a group has one place in all panels."""
    graph = nx.Graph()
    graph.add_nodes_from(range(len(values)))
    graph.add_weighted_edges_from(
        (k, m, float(values[k, m])) for k in graph for m in range(k) if abs(values[k, m]) > EDGE
    )
    places = nx.circular_layout(graph)
    for k, m, strength in sorted(graph.edges(data="weight"), key=lambda edge: abs(edge[2])):
        (x, y), (u, v) = places[k], places[m]
        ink, style = (ATTRACT, "-") if strength > 0 else (REPEL, (0, (2.2, 1.1)))
        width = 0.6 + 5.4 * abs(strength) / most
        axes.plot([x, u], [y, v], color=ink, linestyle=style, linewidth=width, alpha=0.85, zorder=1)
    many = len(values) > 20
    xs, ys = zip(*places.values(), strict=True)
    axes.scatter(xs, ys, s=90 if many else 420, color="white", edgecolor=INK, linewidth=1.2, zorder=2)
    for group, (x, y) in places.items():
        size = 5.5 if many else 9
        axes.text(x, y, str(group), ha="center", va="center", fontsize=size, color=INK, zorder=3)
    axes.set_axis_off()
    axes.set_aspect("equal")
    axes.set(xlim=(-1.2, 1.2), ylim=(-1.2, 1.2))
