"""The number of a metric at the top of a page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mpidcl.views.base import Tile
from mpidcl.views.mean_error import MARK
from mpidcl.views.units import with_error

if TYPE_CHECKING:
    from mpidcl.views.run import Run


def metric_tile(run: Run, metric: str, words: str, unit: str | None = None) -> Tile:
    """A metric's mean with its error; `unit`: what stands behind it, if not the unit of the metric."""
    metrics = run.summary["metrics"]
    own = run.views.unit(metric, run.records)
    shown = own if unit is None else unit
    error = metrics["standard_error"][metric]
    small = "" if error is None else f"± {with_error(error, None, unit=own)}{MARK}{' ' * bool(shown)}"
    return Tile(with_error(metrics[metric], None, unit=own), small + shown, words)
