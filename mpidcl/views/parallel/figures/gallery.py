"""Rows of the memory before and after editing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from mpidcl.views.figures.style import WIDTH, bare, new_figure

MOST = 12
Rows = Mapping[str, NDArray[Any]]


def together(galleries: Sequence[Rows]) -> Rows:
    """The rows of all agents that keep rows of one memory."""
    names = galleries[0] if galleries else ()
    return {name: np.concatenate([rows[name] for rows in galleries]) for name in names}


def can_draw(gallery: Rows) -> bool:
    """Whether there are rows, and they are pictures: [channels, height, width] with 1 or 3 channels."""
    return "x" in gallery and len(gallery["x"]) > 0 and _as_picture(gallery["x"][0]) is not None


def gallery(rows: Rows) -> Figure:
    """Rows of the memory that were moved furthest among those kept for this picture, at the end of the run:
    as they came, as they are now, and the difference, as many times larger as is said there (grey:
    unchanged); below, their task and distance from the original. Edits that one can see change what the row
    shows, and should be smaller.
    """
    chosen = np.argsort(-rows["displacement"], kind="stable")[:MOST]
    figure = new_figure(0.75 + 3 * WIDTH / (MOST + 1), WIDTH * (len(chosen) + 1) / (MOST + 1))
    grid = figure.subplots(3, len(chosen), squeeze=False)
    magnified = _magnified(rows["x"][chosen] - rows["original"][chosen])
    for axes in grid.flat:
        bare(axes)
        axes.set(xticks=[], yticks=[])
    for column, row in zip(grid.T, chosen, strict=True):
        original, edited = rows["original"][row], rows["x"][row]
        pictures = (original, edited, 0.5 + magnified * (edited - original))
        for axes, picture in zip(column, pictures, strict=True):
            axes.imshow(_as_picture(np.clip(picture, 0, 1)), cmap="gray", vmin=0, vmax=1)
        column[0].set_title(f"class {rows['y'][row]}", fontsize=7, loc="center", fontweight="normal")
        column[2].set_xlabel(f"task {rows['task'][row]}\n{rows['displacement'][row]:.3g}", fontsize=7)
    for axes, words in zip(grid[:, 0], ("original", "edited", f"difference × {magnified:,}"), strict=True):
        axes.set_ylabel(words, fontsize=7)
    return figure


def _magnified(differences: NDArray[Any]) -> int:
    """The largest power of ten by which all differences can be shown around grey, 1 at least."""
    largest = float(np.abs(differences).max(initial=0))
    return 1 if largest == 0 else int(10 ** np.clip(np.floor(np.log10(0.5 / largest)), 0, 6))


def _as_picture(row: NDArray[Any]) -> NDArray[Any] | None:
    """[height, width] or [height, width, 3]; None for rows that are no pictures."""
    if row.ndim == 3 and row.shape[0] in (1, 3):
        return row[0] if row.shape[0] == 1 else np.moveaxis(row, 0, -1)
    side = int(np.sqrt(row.size))
    return row.reshape(side, side) if row.ndim == 1 and side * side == row.size else None
