"""How far neighbours are apart around each averaging of parameters."""

from __future__ import annotations

from functools import partial

from mpidcl.exchange.divergence import DIVERGENCE
from mpidcl.views.base import Sheet, View
from mpidcl.views.run import Run


class DivergenceView(View):
    """The distance between neighbours, before and after they average."""

    name = "divergence"
    reads = (DIVERGENCE,)

    def sheets(self, run: Run) -> list[Sheet]:
        from mpidcl.views.divergence.figure import divergence_over_time

        draw = partial(divergence_over_time, run.records)
        return [Sheet("divergence", "Distance between neighbours", READING, draw)]


READING = (
    "Mean absolute difference of one shared parameter to the same one of a neighbour, just before and "
    "just after averaging; the band is ± one standard error over the pairs of this run. Learning pulls "
    "neighbours apart, averaging brings them together."
)
