"""FedCurv: the averaged parameters stay where others' losses are curved (Shoham et al. 2019, eq. 4)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from pydantic import Field
from torch import Tensor

from mpidcl.base.arrays import Parts
from mpidcl.base.state import State
from mpidcl.experiment.options import Options
from mpidcl.learning.batches import Batch
from mpidcl.learning.terms.base import Term, TermHost
from mpidcl.learning.terms.proximal import on_device


class Curvature(Term):
    """weight * sum_j sum_p F_j[p] (w[p] - w_j[p])^2 over the neighbours j, but for a constant.

    Only sum_j F_j and sum_j F_j w_j are needed: the sum is (sum F) w^2 - 2 (sum F w_j) w + constant, and the
    constant has no gradient. Silent until an exchange sets the two sums.
    """

    class Options(Options):
        """Strength of the pull, and on what."""

        weight: float = Field(1.0, ge=0, description="weight of the curvature term, lambda of the paper")
        parts: Parts = Field("shared", description="the span that is pulled: without heads, or with them")

    options: Options
    name = "curvature"
    reads_memory = False

    def __init__(self, options: Options, host: TermHost) -> None:
        super().__init__(options, host)
        self._sums: tuple[Tensor, Tensor] | None = None

    def set_sums(
        self,
        fisher: npt.NDArray[np.float32] | Tensor | None,
        fisher_times_weights: npt.NDArray[np.float32] | Tensor | None,
    ) -> None:
        """Take copies of sum_j F_j [span] and sum_j F_j w_j [span]; None silences the term."""
        if fisher is None or fisher_times_weights is None:
            self._sums = None
        else:
            host, parts = self.host, self.options.parts
            self._sums = on_device(fisher, host, parts), on_device(fisher_times_weights, host, parts)

    def loss(self, batch: Batch) -> Tensor | None:
        if self._sums is None or self.options.weight == 0:
            return None
        fisher, product = self._sums
        weights = self.host.parameters.leaf(self.options.parts)
        return self.options.weight * ((fisher * weights - 2 * product) * weights).sum()

    def state(self) -> State:
        if self._sums is None:
            return {}
        return {"fisher": self._sums[0].cpu().numpy().copy(), "product": self._sums[1].cpu().numpy().copy()}

    def load(self, state: State) -> None:
        self.set_sums(state.get("fisher"), state.get("product"))
