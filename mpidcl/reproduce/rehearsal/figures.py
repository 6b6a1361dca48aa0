"""The figure: accuracy against the size of the buffer, between the lower and the upper bound."""

from __future__ import annotations

from matplotlib.axes import Axes

from mpidcl.reproduce.outcomes import Found
from mpidcl.reproduce.rehearsal.found import MEASURES
from mpidcl.reproduce.rehearsal.rows import WAYS
from mpidcl.views.figures.style import colour, new_figure, png, styled

BOUNDS = {"incremental": ":", "from-scratch": "--"}
LINES = {"global buffer": "o", "local buffers": "s", "global buffer, DER++": "^"}


def figure(found: Found) -> bytes:
    """PNG, one panel for each measure."""
    with styled():
        picture = new_figure(3.0)
        for axes, (name, words) in zip(picture.subplots(1, len(MEASURES)), MEASURES.items(), strict=True):
            _panel(axes, found, name)
            axes.set_title(words)
            axes.set_xlabel("buffer [% of all rows]")
            axes.set_xlim(0, 32)
        picture.axes[0].set_ylabel("final accuracy [%]")
        picture.axes[-1].legend(fontsize=6, frameon=False)
        return png(picture)


def _panel(axes: Axes, found: Found, name: str) -> None:
    for bound, dashes in BOUNDS.items():
        if bound in found.outcomes:
            axes.axhline(found.mean(bound, name).mean, linestyle=dashes, color="0.4", label=WAYS[bound].words)
    for place, (words, mark) in enumerate(LINES.items()):
        ways = [way for way in WAYS.values() if way.words == words and way.name in found.outcomes]
        ways.sort(key=lambda way: way.share)
        means = [found.mean(way.name, name) for way in ways]
        if means:
            axes.errorbar(
                [way.share for way in ways], [one.mean for one in means],
                yerr=[one.standard_error for one in means], marker=mark, capsize=2,
                color=colour(place), label=words,
            )  # fmt: skip
