"""FedProx: the averaged parameters stay near a reference (Li et al. 2020, equation 2)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field
from torch import Tensor

from mpidcl.base.arrays import Parts
from mpidcl.base.state import State
from mpidcl.experiment.options import Options
from mpidcl.learning.batches import Batch
from mpidcl.learning.terms.base import Term, TermHost
from mpidcl.model.flat import writable


class Proximal(Term):
    """(mu / 2) ||w - w_ref||^2 over one span; silent until an exchange sets the reference."""

    class Options(Options):
        """Strength of the pull, and on what."""

        mu: float = Field(0.1, ge=0, description="weight of the squared distance")
        parts: Parts = Field("shared", description="the span that is pulled: without heads, or with them")

    options: Options
    name = "proximal"
    reads_memory = False

    def __init__(self, options: Options, host: TermHost) -> None:
        super().__init__(options, host)
        self._reference: Tensor | None = None

    def set_reference(self, reference: npt.NDArray[np.float32] | Tensor | None) -> None:
        """Take a copy of `reference [span]`; None silences the term."""
        self._reference = None if reference is None else on_device(reference, self.host, self.options.parts)

    def loss(self, batch: Batch) -> Tensor | None:
        if self._reference is None or self.options.mu == 0:
            return None
        weights = self.host.parameters.leaf(self.options.parts)
        return 0.5 * self.options.mu * (weights - self._reference).square().sum()

    def state(self) -> State:
        return {} if self._reference is None else {"reference": self._reference.cpu().numpy().copy()}

    def load(self, state: State) -> None:
        self.set_reference(state.get("reference"))


def on_device(values: npt.NDArray[np.float32] | Tensor, host: TermHost, parts: Parts) -> Tensor:
    """A copy of a vector [span] on the learner's device. Raises ValueError for another length."""
    span = host.parameters.span(parts)
    if tuple(values.shape) != (span.stop - span.start,):
        raise ValueError(
            f"A reference should be a vector of {span.stop - span.start} floats. Found {values.shape}."
        )
    source = values if isinstance(values, Tensor) else writable(values)
    return source.to(host.parameters.device, torch.float32, copy=True)
