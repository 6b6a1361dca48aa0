"""A run that begins with the experts of an earlier one, those that went included."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from mpidcl.errors import ExperimentError
from mpidcl.learning.experts.inventory import SPANS
from mpidcl.learning.saved import saved
from mpidcl.model.flat import KINDS, FlatParameters, writable

if TYPE_CHECKING:
    from mpidcl.learning.experts.learner import ExpertsLearner

TAKEN = ("shared", "modules", "structures")
"""Kinds of segments that are taken over: encoder, experts and router."""
LAYOUT = "layout"
"""Key of a learner's state: where the floats of each kind end."""


def layout(flat: FlatParameters) -> npt.NDArray[np.int64]:
    """Where the floats of each kind end, in order."""
    return np.array([flat.span(kind).stop for kind in KINDS], dtype=np.int64)


def begin_with(learner: ExpertsLearner, run: Path) -> None:
    """Take over encoder, router and experts of an agent of `run`, as its newest checkpoint has them.

    An expert that went there comes back into its slot, with the weights that it had, unless another one has
    the slot. Heads stay new. Raises ExperimentError for a run of another model.
    """
    options, model, flat = learner.options, learner.model, learner.parameters
    chosen = learner.agent if options.start_agent is None else options.start_agent
    found = saved(run, chosen)
    weights = np.asarray(found.parameters["parameters"], dtype=np.float32)
    ends = dict(zip(KINDS, map(int, found.learner.get(LAYOUT, ())), strict=False))
    for kind, begin in zip(KINDS, (0, *ends.values()), strict=False):
        own = weights[begin : ends[kind]] if kind in ends else weights[:0]
        span = flat.span(kind)
        if kind in TAKEN and len(own) != span.stop - span.start:
            raise ExperimentError(
                f"learning.start_from should name a run whose model has encoder, experts and router of this"
                f" size: {span.stop - span.start} floats of kind `{kind}`. Found {len(own)} in `{run}`."
            )
        if kind in TAKEN:
            flat.data[span] = writable(own).to(flat.data.device)
    spans = {(span.start, span.stop) for span in model.module_spans}
    if spans != set(map(tuple, np.asarray(found.learner[SPANS]).tolist())):
        raise ExperimentError(
            "learning.start_from should name a run whose experts have the sizes of those here, one by one."
            f" Found others in `{run}`: give both runs the same model.experts and model.hidden."
        )
    used = np.array(found.learner["experts"]["used"], dtype=np.bool_)
    retired = found.learner["changes"]["retired"]
    # One slot may have lost several, one after the other: the last one has it.
    for name in sorted(retired, key=lambda name: int(name.split()[0])):
        expert, gone = int(name.split()[1]), retired[name]
        if not found.learner["experts"]["used"][expert]:
            flat.data[model.module_spans[expert]] = writable(gone).to(flat.data.device)
            used[expert] = True
    for kind in TAKEN:
        learner.replaced(flat.span(kind))
    model.change(used=used, frozen=used & options.start_frozen)
