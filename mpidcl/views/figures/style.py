"""How all figures look: one width, one light style, colours that colour-blind readers tell apart."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from io import BytesIO
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

Label = tuple[float, str, Any]
"""Height, text and colour of what is written at the end of a line."""
WIDTH = 9.0
"""Inches of a figure that fills the page."""
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#555555")
"""Okabe and Ito's palette without its yellow, which is too light for lines."""
LINES = ("-", "--", ":", "-.")
INK = "#222222"
FAINT = "#8A8A8A"
_STYLE = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "text.color": INK,
    "axes.titlesize": 9,
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "axes.labelcolor": INK,
    "axes.edgecolor": FAINT,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#E6E6E6",
    "grid.linewidth": 0.8,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "lines.linewidth": 1.6,
    "figure.facecolor": "white",
    "savefig.dpi": 180,
    "text.parse_math": False,  # names of runs are no formulas: `$` is a dollar
}


def styled() -> AbstractContextManager[Any]:
    """Figures made and written inside this context have the style; nothing outside it changes."""
    settings: dict[Any, Any] = {**matplotlib.rcParamsDefault}
    return matplotlib.rc_context(settings | _STYLE | {"backend": "agg"})


def new_figure(height: float, width: float = WIDTH) -> Figure:
    """An empty figure of so many inches."""
    return Figure(figsize=(width, height), layout="constrained")


def new_panel(height: float, width: float = WIDTH) -> tuple[Figure, Axes]:
    """The same with one panel."""
    figure = new_figure(height, width)
    return figure, figure.subplots()


def whole_numbers(axis: Axis, most: int = 10) -> None:
    """Ticks at whole numbers alone; `most`: about how many."""
    axis.set_major_locator(MaxNLocator(most, integer=True))


def png(figure: Figure) -> bytes:
    """The figure as PNG; the same figure gives the same bytes."""
    buffer = BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def colour(index: int) -> str:
    """The colour of the index-th series."""
    return COLOURS[index % len(COLOURS)]


def line(index: int) -> str:
    """Its line style: another one each time the colours are used up."""
    return LINES[index // len(COLOURS) % len(LINES)]


def sequence(count: int) -> list[Any]:
    """Colours for things in order, dark first, all dark enough for a line on white."""
    return [matplotlib.colormaps["viridis"](value) for value in np.linspace(0, 0.78, max(count, 1))]


def shade(axes: Axes, x: Any, low: Any, high: Any, ink: str) -> None:
    """A band `[n]` around a line."""
    axes.fill_between(x, low, high, color=ink, alpha=0.18, linewidth=0)


def note(axes: Axes, text: str, place: tuple[float, float], shift: tuple[float, float], **style: Any) -> None:
    """A text beside a place of the axes, `shift` points from it."""
    axes.annotate(text, place, xytext=shift, textcoords="offset points", **style)


def bare(axes: Axes) -> None:
    """No grid, no frame and no marks: for pictures and maps."""
    axes.grid(False)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)


def end_labels(axes: Axes, x: float, labels: Sequence[Label], gap: float = 0.055) -> None:
    """Writes each label right of `x`, at least `gap` of the axes' height apart, also on logarithmic axes."""
    log = axes.get_yscale() == "log"
    labels = [(float(np.log10(y)), *rest) for y, *rest in labels if y > 0] if log else labels
    low, high = np.log10(axes.get_ylim()) if log else axes.get_ylim()
    ordered = sorted((one for one in labels if not np.isnan(one[0])), key=lambda label: label[0])
    places = spread([one[0] for one in ordered], gap * (high - low))
    for (_, text, ink), y in zip(ordered, places, strict=True):
        place = x, 10.0**y if log else y
        note(axes, text, place, (5, 0), va="center", color=ink, annotation_clip=False)


def spread(values: Sequence[float], gap: float) -> list[float]:
    """Rising values moved as little as needed to be `gap` apart, each crowd around its mean.

    Isotonic regression of what is left without the gaps, by its min-max formula.
    """
    left, places = [value - gap * place for place, value in enumerate(values)], range(len(values))

    def level(place: int) -> float:
        lows = (min(np.mean(left[i : j + 1]) for j in places[place:]) for i in places[: place + 1])
        return float(max(lows))

    return [level(place) + gap * place for place in places]


def spaced(count: int, reach: float) -> NDArray[np.float64]:
    """So many places around 0, evenly from -reach to reach: overlap is avoided without chance."""
    return reach * np.linspace(-1, 1, count) if count > 1 else np.zeros(count)
