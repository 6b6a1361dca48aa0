"""The field of a run as it is, and as the models of its groups say, from the settings and the record."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from mpidcl.record.records import AgentRecord
from mpidcl.stream.regression.field import Recipe, fields_of
from mpidcl.stream.regression.grid import FEATURES, make_grid
from mpidcl.stream.regression.options import FieldOptions
from mpidcl.stream.regression.task import Doubles
from mpidcl.views.regression.numbers import ESTIMATES, group_of
from mpidcl.views.run import Run


class Maps(NamedTuple):
    """Of the last task, [side, side] each: the noise-free field, what the groups say, and the best models.

    `region`: of which group each cell is. A group says the mean of the models of its agents.
    """

    field: Doubles
    estimate: Doubles
    best: Doubles
    region: NDArray[np.int64]

    def rms(self, said: Doubles) -> float:
        """Root mean square of what a map is wrong by, over all cells."""
        return float(np.sqrt(np.mean((said - self.field) ** 2)))


def maps_of(run: Run) -> Maps | None:
    """Of a run with the stream `field`; None for others, and where the model of a group is not there."""
    options, records = _options(run), [one for one in run.records if one.has(ESTIMATES)]
    if options is None or not records:
        return None
    count = max(map(group_of, records)) + 1
    models, truth = _by_group(records, "model", count), _by_group(records, "truth", count)
    if models.shape[1] != FEATURES or not (np.isfinite(models).all() and np.isfinite(truth).all()):
        return None
    task = max((row.task for record in records for row in record.evaluations), default=0)
    side = options.side
    grid = make_grid(side, options.regions, count, options.coordinates)
    field = fields_of(Recipe(run.seed, side, options.rho, options.move)).at(task).reshape(side, side)
    return Maps(field, grid.estimated(models), grid.estimated(truth), grid.region.reshape(side, side))


def _options(run: Run) -> FieldOptions | None:
    """As the settings say; None where they are no options of this stream."""
    if run.settings.get("stream.kind") != "field":
        return None
    names = ("side", "rho", "move", "regions", "coordinates")
    known = {name: run.settings[f"stream.{name}"] for name in names if f"stream.{name}" in run.settings}
    try:
        return FieldOptions.model_validate(known)
    except ValidationError:
        return None


def _by_group(records: Sequence[AgentRecord], column: str, count: int) -> Doubles:
    """Means [groups, d] over the agents of each group; NaN of a group without agents."""
    rows = [np.asarray(record.tables[ESTIMATES][column][0], np.float64) for record in records]
    found: Doubles = np.full((count, len(rows[0])), np.nan)
    for group in range(count):
        own = [row for record, row in zip(records, rows, strict=True) if group_of(record) == group]
        if own:
            found[group] = np.mean(own, axis=0)
    return found
