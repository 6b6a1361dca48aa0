"""What merging needs of torch: neighbours' units in one's own order, and BatchNorm statistics of own rows."""

from __future__ import annotations

from typing import cast

import numpy as np
from torch import Tensor

from mpidcl.errors import ExperimentError
from mpidcl.exchange.averaging import Contribution
from mpidcl.exchange.base import Neighbourhood
from mpidcl.exchange.capabilities import HasProbe, SharesParameters
from mpidcl.exchange.experts.options import ExpertsOptions
from mpidcl.exchange.experts.travel import Travel
from mpidcl.exchange.packing.compression import Floats
from mpidcl.learning.matching import Matching, Orders, refresh_statistics
from mpidcl.model.flat import writable
from mpidcl.randomness import numpy_generator
from mpidcl_kernels.base.types import View


class Looking:
    """Looks at an agent's model on rows of its own.

    Raises ExperimentError where units are to be matched of a model that does not say which it has.
    """

    def __init__(
        self, options: ExpertsOptions, learner: SharesParameters, travel: Travel, near: Neighbourhood
    ) -> None:
        self._options, self._learner, self._travel, self._near = options, learner, travel, near
        self._matching: Matching | None = None
        if options.merge == "matched":
            if not learner.model.permutations():
                raise ExperimentError(
                    '`merge` of an exchange of kind "experts" should be "average" or "sparse" with a model'
                    f' whose units cannot be matched. Found "matched", and {type(learner.model).__name__},'
                    " whose `permutations()` are none: mlp, cnn and resnet18 have some."
                )
            self._matching = Matching(learner.model, travel.kinds)

    def matched(self, given: Contribution[View]) -> Contribution[View]:
        """What a neighbour sent, its units in one's own order; what it does not use moves with them."""
        assert self._matching is not None
        vector, sent = self._travel.read().copy(), np.zeros(self._travel.size, np.float32)
        vector[given.positions], sent[given.positions] = given.values, 1
        data = self._flat(vector)
        rng = numpy_generator(self._near.seed, self._near.agent, "matching", given.agent)
        probe = cast("HasProbe", self._learner).probe(self._options.probe)
        orders = self._matching.find(data, self._options.by, probe, rng)
        values = self._aligned(vector, orders)
        if isinstance(given.positions, slice):
            return Contribution(given.agent, given.positions, values)
        positions = np.flatnonzero(self._aligned(sent, orders)).astype(np.uint64)
        return Contribution(given.agent, positions, values[positions])

    def _aligned(self, vector: Floats, orders: Orders) -> Floats:
        assert self._matching is not None
        aligned = self._matching.aligned(self._flat(vector), orders)
        return self._travel.of_flat(aligned.cpu().numpy())

    def _flat(self, vector: Floats) -> Tensor:
        """All flat parameters, with a vector in place of what travels."""
        data = self._learner.parameters.data.clone()
        self._travel.into_flat(
            data, {kind: writable(part) for kind, part in self._travel.by_kind(vector).items()}
        )
        return data

    def refresh(self) -> None:
        """BatchNorm statistics of the model as it is now."""
        probe = cast("HasProbe", self._learner).probe(self._options.probe)
        refresh_statistics(self._learner.model, probe)
