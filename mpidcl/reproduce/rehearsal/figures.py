"""The figure: accuracy against the size of the buffer, between the lower and the upper bound."""

from __future__ import annotations

from mpidcl.reproduce.rehearsal.found import Found
from mpidcl.reproduce.rehearsal.rows import WAYS
from mpidcl.views.figures.style import colour, new_panel, png, styled

BOUNDS = {"incremental": ":", "from-scratch": "--"}
LINES = {"global buffer": "o", "local buffers": "s", "global buffer, DER++": "^"}


def figure(found: Found) -> bytes:
    """PNG."""
    with styled():
        picture, axes = new_panel(3.0)
        for name, dashes in BOUNDS.items():
            if name in found.outcomes:
                mean = found.mean(name, "final").mean
                axes.axhline(mean, linestyle=dashes, color="0.4", label=WAYS[name].words)
        for place, (words, mark) in enumerate(LINES.items()):
            ways = [way for way in WAYS.values() if way.words == words and way.name in found.outcomes]
            ways.sort(key=lambda way: way.share)
            means = [found.mean(way.name, "final") for way in ways]
            if means:
                axes.errorbar(
                    [way.share for way in ways], [one.mean for one in means],
                    yerr=[one.standard_error for one in means], marker=mark, capsize=2,
                    color=colour(place), label=words,
                )  # fmt: skip
        axes.set_xlabel("buffer [% of all training rows]")
        axes.set_ylabel("final accuracy [%]")
        axes.legend(fontsize=7, frameon=False)
        return png(picture)
