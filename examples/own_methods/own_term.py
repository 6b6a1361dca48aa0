"""A loss term of your own: punish overconfident answers (Pereyra et al. 2017, section 3).

L = cross-entropy - weight * mean entropy of the answers
"""

from __future__ import annotations

from pydantic import Field
from torch import Tensor

from mpidcl.experiment.options import Options
from mpidcl.learning.batches import Batch
from mpidcl.learning.terms.base import Term


class Modesty(Term):
    """Rewards answers of high entropy."""

    class Options(Options):
        """How much."""

        weight: float = Field(0.1, ge=0, description="weight of the entropy")

    options: Options
    name = "modesty"

    def loss(self, batch: Batch) -> Tensor | None:
        """A scalar; `batch.logits [n, classes]` are the answers of the rows through their own heads."""
        assert batch.logits is not None
        logs = batch.logits.log_softmax(1)
        entropy = -(logs.exp() * logs).sum(1).mean()
        return -self.options.weight * entropy
