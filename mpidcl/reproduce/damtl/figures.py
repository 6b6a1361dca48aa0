"""Figures: error against the strength of the relation, and what hard networks cost."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from mpidcl.reproduce.damtl.cells import CONDITIONS, Cell
from mpidcl.reproduce.damtl.found import MAIN, Found
from mpidcl.reproduce.damtl.methods import FORMS, LINEAR, Method, words_of
from mpidcl.reproduce.damtl.tables import SHOWN
from mpidcl.views.figures.style import colour, new_figure, new_panel, png, styled

DASHES = {"local": ":", "group-only": "--", "consensus": "-."}
MARKS = "osD^v"
COLUMNS = 2


def figures(found: Found) -> dict[str, bytes]:
    """File name (without suffix) -> PNG, for each part where there is something to draw."""
    drawn = {}
    with styled():
        for part in SHOWN:
            settings = [one for one in found.settings(part) if found.methods(part, one, FORMS)]
            if settings:
                drawn[f"strength-{part}"] = png(strengths(found, part, settings))
        for setting in found.settings("conditions"):
            drawn["conditions"] = png(conditions(found, setting))
    return drawn


def strengths(found: Found, part: str, settings: list[str]) -> Figure:
    """A panel for each setting: forms over their strength, methods without one as lines across.

    An open mark at the left is the rule.
    """
    lines = -(-len(settings) // COLUMNS)
    figure = new_figure(2.6 * lines + 0.8)
    panels = figure.subplots(lines, min(COLUMNS, len(settings)), squeeze=False)
    for axes, setting in zip(panels.flat, settings, strict=False):
        _panel(axes, found, part, setting)
        axes.set_title(setting)
        axes.set_xlabel("strength of the relation")
    for axes in panels.flat[len(settings) :]:
        axes.set_visible(False)
    for axes in panels[:, 0]:
        axes.set_ylabel(f"late {SHOWN[part][MAIN[part]]}")
    handles, labels = panels.flat[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, fontsize=7, frameon=False)
    return figure


def _panel(axes: Axes, found: Found, part: str, setting: str) -> None:
    def mean(method: Method) -> tuple[float, float]:
        one = found.mean(Cell(part, setting, method.name), MAIN[part])
        return one.mean, float(np.nan_to_num(one.standard_error))

    for family in LINEAR:
        if Cell(part, setting, family) in found.outcomes:
            axes.axhline(
                mean(Method(family))[0], linestyle=DASHES[family], color="0.4", label=words_of(family)
            )
    for place, family in enumerate(FORMS):
        methods = found.methods(part, setting, [family])
        tried = [one for one in methods if one.strength]
        means = [mean(one) for one in tried]
        if means:
            axes.errorbar(
                [one.strength or 0 for one in tried], [one for one, _ in means],
                yerr=[error for _, error in means], marker=MARKS[place], markersize=4, capsize=2,
                color=colour(place), label=words_of(family),
            )  # fmt: skip
        if Method(family) in methods:
            axes.plot(
                [1e-3 * 1.2**place], [mean(Method(family))[0]], marker=MARKS[place], markersize=5,
                markerfacecolor="none", color=colour(place),
                linestyle="none", label=None if means else f"{words_of(family)}, rule",
            )  # fmt: skip
    axes.set_xscale("log")
    axes.set_yscale("log")
    for axis, steps in ((axes.xaxis, (1.0,)), (axes.yaxis, (1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 7.0))):
        axis.set_major_locator(LogLocator(subs=steps))
        axis.set_major_formatter(FuncFormatter(lambda value, place: f"{value:g}"))
        axis.set_minor_formatter(NullFormatter())


def conditions(found: Found, setting: str) -> Figure:
    """Bars: how much larger the error is than without any condition, in percent."""
    base = Cell("conditions", setting, "none")
    changes = {
        words: found.change(Cell("conditions", setting, name), base, "error")
        for name, words in CONDITIONS.items()
        if name != "none"
    }
    known = {words: one for words, one in changes.items() if one is not None}
    figure, axes = new_panel(0.25 * len(known) + 1.0)
    axes.barh(
        list(known), [one.mean for one in known.values()],
        xerr=[float(np.nan_to_num(one.standard_error)) for one in known.values()], capsize=2,
        color=colour(0),
    )  # fmt: skip
    axes.invert_yaxis()
    axes.axvline(0, color="0.4", linewidth=0.8)
    axes.set_xlabel("late error against none [%]")
    return figure
