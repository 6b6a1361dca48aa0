"""What travels of a learner's flat parameters, as one vector: some kinds of segments, experts in use only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, cast

import numpy as np
from numpy.typing import NDArray

from mpidcl.base.arrays import Placed
from mpidcl.exchange.capabilities import SharesParameters, UsesModules, missing
from mpidcl.exchange.experts.options import KIND_OF, Part
from mpidcl.exchange.packing.compression import Floats, Positions
from mpidcl_kernels.base.types import View

if TYPE_CHECKING:
    from torch import Tensor

Use = NDArray[np.bool_]
WHOLE = {("shared",): "shared", ("shared", "modules", "heads"): "all"}
"""Kinds that learners view as one span."""


class Travel:
    """The vector of the kinds of segments that `parts` name, in the order of the flat parameters.

    `kinds`: those of which the model has any, and their `places` in the vector; `layers`: a range for each
    segment; `modules`: a range for each expert, () where none travel. Agents with the same tensors have the
    same vector, whatever experts they use.
    """

    def __init__(self, learner: SharesParameters, parts: Sequence[Part]) -> None:
        self._learner = learner
        segments, self._knows_use = learner.parameters.segments, not missing(learner, (UsesModules,))
        present = {segment.kind for segment in segments}
        self.kinds = tuple(kind for part, kind in KIND_OF.items() if part in parts and kind in present)
        self.places: dict[str, slice] = {}
        self.layers: list[slice] = []
        self.size = 0
        for kind in self.kinds:
            mine = [segment for segment in segments if segment.kind == kind]
            shift = self.size - mine[0].start
            self.layers += [slice(one.start + shift, one.stop + shift) for one in mine]
            self.places[kind] = slice(self.size, mine[-1].stop + shift)
            self.size = mine[-1].stop + shift
        self.modules = self._modules()
        learning = [kind for kind in ("shared", "modules", "heads") if kind in present]
        whole = next((name for kinds, name in WHOLE.items() if _same(self.kinds, kinds, learning)), None)
        self._span = whole

    def _modules(self) -> tuple[slice, ...]:
        if "modules" not in self.kinds:
            return ()
        start = self._learner.parameters.span("modules").start
        shift = self.places["modules"].start - start
        spans = self._learner.model.module_spans
        return tuple(slice(one.start + shift, one.stop + shift) for one in spans)

    # --- which experts --------------------------------------------------------------------------

    def used(self) -> Use:
        """Which of the experts that travel the learner uses now."""
        if not self.modules or not self._knows_use:
            return np.ones(len(self.modules), np.bool_)
        return cast("UsesModules", self._learner).used_modules()

    def size_of(self, used: Use) -> int:
        """Floats of the vector without the experts that are not used."""
        return self.size - sum(_length(one) for one, use in zip(self.modules, used, strict=True) if not use)

    def layers_of(self, used: Use) -> list[slice]:
        """The layers outside the experts that are not used."""
        idle = [one for one, use in zip(self.modules, used, strict=True) if not use]
        return [one for one in self.layers if not any(i.start <= one.start < i.stop for i in idle)]

    def positions(self, used: Use) -> Positions:
        """Positions in the vector outside the experts that are not used."""
        if used.all():
            return slice(0, self.size)
        return np.flatnonzero(self.mask(used)).astype(np.uint64)

    def mask(self, used: Use) -> NDArray[np.bool_]:
        """Which positions lie outside the experts that are not used [size]."""
        found = np.ones(self.size, np.bool_)
        for one, use in zip(self.modules, used, strict=True):
            found[one] &= use
        return found

    # --- the vector -----------------------------------------------------------------------------

    def read(self) -> Floats:
        """The vector in the host's memory: the parameters themselves where they are one span, else a copy."""
        if self._span is not None:
            return self._learner.host_view(self._span)
        return np.concatenate([self._learner.host_view(kind) for kind in self.kinds])

    def placed(self) -> Placed:
        """The same where kernels find the parameters."""
        if self._span is not None:
            return self._learner.device_view(self._span)
        vector = self._learner.place(np.empty(self.size, np.float32))
        for kind, place in self.places.items():
            vector[place] = self._learner.device_view(kind)  # type: ignore[assignment]
        return vector

    def write(self, vector: Placed) -> None:
        """Put the vector that `placed` gave, changed in place, where it belongs."""
        if self._span is None:
            for kind, place in self.places.items():
                self._learner.device_view(kind)[:] = vector[place]  # type: ignore[assignment]

    def by_kind(self, vector: View) -> dict[str, Floats]:
        """The vector by kinds of segments."""
        return {kind: cast("Floats", vector[place]) for kind, place in self.places.items()}

    def of_flat(self, flat: Floats) -> Floats:
        """What travels of a vector that lies as the flat parameters that learn."""
        spans = (self._learner.parameters.span(kind) for kind in self.kinds)
        return np.concatenate([flat[span] for span in spans]) if self.kinds else flat[:0]

    def into_flat(self, flat: Tensor, vectors: Mapping[str, Tensor]) -> None:
        """Replace what travels in all flat parameters of a model."""
        for kind, values in vectors.items():
            flat[self._learner.parameters.span(kind)] = values


def _same(kinds: tuple[str, ...], of: tuple[str, ...], present: Sequence[str]) -> bool:
    """Whether these kinds are just those of the span that the model has."""
    return kinds == tuple(kind for kind in of if kind in present) and bool(kinds)


def _length(one: slice) -> int:
    return int(one.stop - one.start)
