"""How far neighbours are apart around each averaging of parameters."""

from __future__ import annotations

from mpidcl.exchange.divergence import DIVERGENCE
from mpidcl.views.base import Sheet, View
from mpidcl.views.run import Run


class DivergenceView(View):
    """The distance between neighbours, before and after they average."""

    name = "divergence"
    reads = (DIVERGENCE,)

    def sheets(self, run: Run) -> list[Sheet]:
        from mpidcl.views.divergence.figure import divergence_over_time

        return [Sheet.of("divergence", "Distance between neighbours", divergence_over_time, run.records)]
