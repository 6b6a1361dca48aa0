"""Figures of mail: ages of messages by exchange, and what became of the frames of each link."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mpidcl.base.quantities import significant
from mpidcl.views.figures.style import COLOURS, INK, colour, new_figure, note
from mpidcl.views.mail.numbers import Ages, Fate, together

MOST_LINKS = 24
"""Above it a row stands for all links to an agent."""
MOST_AGENTS = 64
_UNITS = ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"))
FATES = {
    "arrived": ("arrived", 0),
    "skipped": ("skipped", 4),
    "lost": ("lost", 1),
    "down": ("link down", 3),
}
"""Of a frame: the words, and the colour."""


def age_histogram(found: Sequence[Ages]) -> Figure:
    """How old messages were when they were used, in virtual time: from when their frame left to the tick of
    the receiver at which they were taken in. A bar is twice as old as the one before it. Left of the dashed
    line are half of the messages. The older a message, the more it pulls a model back to what a neighbour
    was.
    """
    figure = _histograms(found)
    low = min(int(one.powers[0]) for one in found) - 1
    high = max(int(one.powers[-1]) for one in found)
    step = -(-(high - low + 1) // 16)
    places = np.arange(low, high + 1, step)
    figure.axes[-1].set_xticks(places, [_age(2.0**place) for place in places.tolist()])
    figure.axes[-1].set_xlabel("age when used")
    return figure


def tick_histogram(found: Sequence[Ages]) -> Figure:
    """How old messages were when they were used: the ticks of the sender from when their frame left to the
    newest one that the receiver had heard of; 0: nothing newer had come. Left of the dashed line are half of
    the messages. The older a message, the more it pulls a model back to what a neighbour was.
    """
    figure = _histograms([_whole(one) for one in found])
    most = max(int(one.powers[-1]) for one in found)
    names = ["0", "1", *(f"{2 ** (power - 1)}–{2**power - 1}" for power in range(2, most + 1))]
    kept = range(0, max(most, 0) + 1, -(-(max(most, 0) + 1) // 16))
    figure.axes[-1].set_xticks([power - 0.5 for power in kept], [names[power] for power in kept])
    figure.axes[-1].set_xlabel("age when used [ticks of the sender]")
    return figure


def _whole(one: Ages) -> Ages:
    """Ages that are whole numbers: power 0 has those of 0."""
    powers = np.arange(max(int(one.powers[-1]), 0) + 1)
    messages = np.zeros(len(powers), np.int64)
    np.add.at(messages, np.maximum(one.powers, 0), one.messages)
    return replace(one, powers=powers, messages=messages)


def _histograms(found: Sequence[Ages]) -> Figure:
    figure = new_figure(0.5 + 1.9 * len(found))
    panels = figure.subplots(len(found), 1, sharex=True, squeeze=False)[:, 0]
    for axes, one in zip(panels, found, strict=True):
        _histogram(axes, one)
    return figure


def _histogram(axes: Axes, one: Ages) -> None:
    total = one.messages.sum()
    shares, ink = 100 * one.messages / total, colour(one.exchange)
    axes.bar(one.powers - 0.5, shares, width=0.94, color=ink)
    for power, share, count in zip(one.powers, shares, one.messages, strict=True):
        if count:
            note(axes, f"{count}", (power - 0.5, share), (0, 2), ha="center", fontsize=7, color=INK)
    axes.axvline(float(np.log2(one.median)), color=INK, linewidth=0.9, linestyle="--")
    axes.set(ylabel="messages [%]", title=f"{one.exchange} {one.kind}: {total} messages used")
    axes.set_ylim(0, 1.15 * float(shares.max()))
    axes.grid(axis="x", visible=False)


def _age(seconds: float) -> str:
    """A power of two with its unit, short."""
    unit, name = next((one for one in _UNITS if seconds >= one[0]), _UNITS[-1])
    number = seconds / unit
    return f"{number:.0f} {name}" if number >= 10 or number.is_integer() else f"{significant(number)} {name}"


def frames_by_link(found: Mapping[tuple[int, int], Fate], ticks: bool = False) -> Figure:
    """Left: of the frames that were due, those that arrived, those that were skipped because their line was
    busy with the one before, those that the network lost, and those whose link was down. Right: the mean age
    of a message when it was used. In a large network a row is all links to one agent.
    """
    rows = _rows(found)
    figure = new_figure(1.2 + (0.3 if len(rows) <= 12 else 0.16) * len(rows))
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=[3, 2])
    places, start = np.arange(len(rows)), np.zeros(len(rows))
    parts = [part for part in FATES if part != "down" or any(one.down for one in rows.values())]
    for part in parts:
        words, ink = FATES[part]
        length = np.array([getattr(one, part) for one in rows.values()], np.float64)
        left.barh(places, length, left=start, color=COLOURS[ink], height=0.72, label=words)
        start += length
    known = [(place, one.mean_age) for place, one in enumerate(rows.values()) if one.mean_age is not None]
    right.plot([age for _, age in known], [place for place, _ in known], "o", color=COLOURS[0], markersize=4)
    right.set_xlim(0, 1.08 * max((age for _, age in known), default=1.0) or 1.0)
    left.set_xlabel("frames")
    right.set_xlabel(f"mean age when used [{'ticks' if ticks else 's'}]")
    left.set_yticks(places, list(rows))
    left.tick_params(axis="y", labelsize=8 if len(rows) <= 12 else 6, length=0)
    right.tick_params(axis="y", length=0)
    left.grid(axis="y", visible=False)
    left.invert_yaxis()
    style = {"ncols": len(parts), "frameon": False, "handlelength": 1, "borderpad": 0}
    left.legend(loc="lower left", bbox_to_anchor=(0, 1), **style)
    return figure


def _rows(found: Mapping[tuple[int, int], Fate]) -> dict[str, Fate]:
    """By the words at the axis."""
    if len(found) <= MOST_LINKS:
        return {f"{source} → {target}": one for (source, target), one in found.items()}
    targets: dict[int, list[Fate]] = {}
    for (_, target), one in found.items():
        targets.setdefault(target, []).append(one)
    return {
        f"to agent {target}": together(all_of) for target, all_of in sorted(targets.items())[:MOST_AGENTS]
    }
