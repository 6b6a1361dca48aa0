"""What gates tell of the class, beside what chance would, and how the router uses its experts."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mpidcl.record.records import AgentRecord
from mpidcl.views.experts.numbers import lives, routing, specialisation
from mpidcl.views.figures.style import COLOURS, INK, end_labels, new_figure, whole_numbers

Lines = dict[int, list[float]]
"""By task: a value of each agent."""


def information(records: Sequence[AgentRecord]) -> Figure:
    """After each task, on validation rows. Left: mutual information of expert and class (blue) beside that
    with shuffled labels (grey), which chance alone gives, and the most that there can be, the entropy of the
    classes (dotted). Right, all from 0 to 1: specialisation (mean over experts by load), even use of the
    experts, and confidence of the router. Thin lines are agents, thick ones their mean.
    """
    figure = new_figure(3.2)
    left, right = figure.subplots(1, 2)
    _lines(
        left, _of(records, lambda row: float(np.log(max(1, row.classes)))), INK, "the most", ":", thin=False
    )
    _lines(left, _of(records, lambda row: row.shuffled), COLOURS[6], "shuffled labels")
    _lines(left, _of(records, lambda row: row.information), COLOURS[0], "information")
    left.set(ylabel="nats")
    _lines(right, _specialisation(records), COLOURS[0], "specialisation")
    _lines(right, _of(records, lambda row: row.balance), COLOURS[1], "even use")
    _lines(right, _of(records, lambda row: row.confidence), COLOURS[2], "confidence")
    right.set_ylim(-0.02, 1.05)
    left.set_ylim(bottom=0)
    for axes in (left, right):
        axes.set_xlabel("after task")
        whole_numbers(axes.xaxis)
        _name(axes)
    return figure


def _of(records: Sequence[AgentRecord], value: Callable[..., float]) -> Lines:
    found: Lines = {}
    for record in records:
        for row in routing(record):
            found.setdefault(row.task, []).append(value(row))
    return dict(sorted(found.items()))


def _specialisation(records: Sequence[AgentRecord]) -> Lines:
    found: Lines = {}
    for record in records:
        if (one := lives(record)) is not None:
            for task, mean in zip(one.tasks, specialisation(one), strict=True):
                found.setdefault(task, []).append(mean)
    return dict(sorted(found.items()))


def _lines(axes: Axes, found: Lines, ink: str, words: str, style: str = "-", thin: bool = True) -> None:
    tasks, most = [*found], max(map(len, found.values()), default=0)
    for place in range(most if thin and most > 1 else 0):
        values = [column[place] if place < len(column) else np.nan for column in found.values()]
        axes.plot(tasks, values, color=ink, linewidth=0.7, alpha=0.35)
    known = [[one for one in column if np.isfinite(one)] for column in found.values()]
    means = [float(np.mean(column)) if column else np.nan for column in known]
    marker = "o" if thin else None
    axes.plot(tasks, means, color=ink, linestyle=style, marker=marker, markersize=3.5, label=words)


def _name(axes: Axes) -> None:
    """Names at the ends of the thick lines, and room for them."""
    thick = [line for line in axes.lines if not str(line.get_label()).startswith("_")]
    ends = [(float(np.asarray(line.get_ydata())[-1]), line.get_label(), line.get_color()) for line in thick]
    last = max(float(np.asarray(line.get_xdata())[-1]) for line in thick)
    end_labels(axes, last, [(y, str(words), ink) for y, words, ink in ends], gap=0.08)
