"""The figure: accuracy against bytes."""

from __future__ import annotations

from mpidcl.reproduce.dmkd.rows import WAYS
from mpidcl.reproduce.outcomes import Found
from mpidcl.views.figures.style import colour, new_figure, png, styled

SHOWN = ("alone", "sparse-3", "sparse-10", "average", "matched", "fedavg-er", "matching", "dmkd")
"""Rows that share in different ways."""


def figure(found: Found) -> bytes:
    """PNG: final accuracy of each way of sharing against what an agent sends."""
    with styled():
        picture = new_figure(3.2)
        axes = picture.subplots()
        for place, name in enumerate(name for name in SHOWN if name in found.outcomes):
            sent, final = found.mean(name, "sent_mib"), found.mean(name, "final")
            axes.errorbar(
                [sent.mean], [final.mean], yerr=[final.standard_error], marker="o", capsize=2,
                color=colour(place), label=WAYS[name].words,
            )  # fmt: skip
        axes.set_xlabel("sent by an agent [MiB]")
        axes.set_ylabel("final accuracy [%]")
        axes.legend(fontsize=6, frameon=False)
        return png(picture)
