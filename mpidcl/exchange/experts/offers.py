"""What an exchange of experts puts on a link: which form fits the room, and which parameters it carries.

A message holds `model`, the values in their format. A sparse one also says which parameters they are, by
whichever is smaller: `positions`, 2 or 4 bytes each, or `bitmap`, a bit for each parameter that could travel.
`fisher` holds Fisher information at the same places. Where experts travel `used` has a bit for each: those
that the sender does not use do not travel.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from mpidcl.exchange.base import ByteRange
from mpidcl.exchange.experts.options import ExpertsOptions
from mpidcl.exchange.experts.travel import Travel, Use
from mpidcl.exchange.packing.apportion import largest_remainder
from mpidcl.exchange.packing.compression import (
    BLOCK,
    Floats,
    Format,
    encode_all,
    encoded_bytes,
    index_dtype,
)
from mpidcl.learning.importance import counts_of, top_counts
from mpidcl.network.frames.budget import UNLIMITED
from mpidcl.network.frames.frame import message_bytes
from mpidcl.network.frames.message import Array, Message, Scalar

KIND = "experts"
Named = Literal["all", "positions", "bitmap"]
"""How a message says which parameters it carries."""


@dataclass(frozen=True, slots=True)
class Offer:
    """`count` values of each vector in `form`."""

    form: Format
    count: int
    named: Named


class Offers:
    """Plans and builds the messages of one agent. `names`: vectors of which each message has values."""

    def __init__(self, options: ExpertsOptions, travel: Travel) -> None:
        self._options, self._travel = options, travel
        self._sparse = options.merge == "sparse"
        self.names = ("model", "fisher") if options.fisher_mean else ("model",)
        self._index = np.dtype(index_dtype(travel.size)).itemsize
        self._bitmap = math.ceil(travel.size / 8)
        self._heads: dict[tuple[Format, Named], int] = {}

    # --- how much -------------------------------------------------------------------------------

    def bytes_range(self, budget: int | None) -> ByteRange:
        """Bytes of the least offer and of that for a link with `budget` bytes, when all experts are used."""
        used = np.ones(len(self._travel.modules), np.bool_)
        wanted, size = self._wanted(used), self._travel.size
        offers = [self._cheapest(form, wanted, size) for form in self._forms]
        if self._sparse:
            offers.append(self._cheapest(self._forms[-1], min(BLOCK, wanted), size))
        # Of few values the scale of a short form takes more than it saves: the least may be another one.
        least = min(map(self._bytes, offers))
        offer = self.plan(UNLIMITED if budget is None else budget, used)
        return ByteRange(least, self._bytes(offer) if offer else least)

    def plan(self, room: int, used: Use) -> Offer | None:
        """The best offer of at most `room` bytes; None when not even the least one fits."""
        wanted, size = self._wanted(used), self._travel.size_of(used)
        for form in self._forms:
            offer = self._cheapest(form, wanted, size)
            if self._bytes(offer) <= room:
                return offer
        if not self._sparse:
            return None
        fewer = [self._fitting(self._forms[-1], named, room, wanted) for named in ("positions", "bitmap")]
        most = max(fewer, key=lambda offer: offer.count)
        return most if most.count >= max(1, min(BLOCK, wanted)) else None

    @property
    def _forms(self) -> tuple[Format, ...]:
        """Formats that are tried, the best first."""
        if self._options.precision != "auto":
            return (self._options.precision,)
        return ("float32", "float16") if self._sparse else ("float32", "float16", "int8")

    def _wanted(self, used: Use) -> int:
        """Values that an offer would like to carry."""
        return sum(self._counts(used)) if self._sparse else self._travel.size_of(used)

    def _ranked(self, used: Use) -> list[slice]:
        """Ranges of the vector of each of which a share travels."""
        return (
            self._travel.layers_of(used) if self._options.rank == "layer" else [slice(0, self._travel.size)]
        )

    def _counts(self, used: Use) -> list[int]:
        if self._options.rank == "layer":
            return counts_of(self._options.fraction, self._ranked(used))
        return counts_of(self._options.fraction, [slice(0, self._travel.size_of(used))])

    def _cheapest(self, form: Format, count: int, size: int) -> Offer:
        """Of the ways to say which `count` of `size` values these are."""
        if count == size:
            return Offer(form, count, "all")
        return min((Offer(form, count, "positions"), Offer(form, count, "bitmap")), key=self._bytes)

    def _fitting(self, form: Format, named: Named, room: int, wanted: int) -> Offer:
        """As many values as fit."""
        left = room - self._bytes(Offer(form, 0, named))
        each = len(self.names) * encoded_bytes(form, 1) + (self._index if named == "positions" else 0)
        return Offer(form, min(wanted, max(0, left) // each), named)

    def _bytes(self, offer: Offer) -> int:
        places = {"all": 0, "positions": offer.count * self._index, "bitmap": self._bitmap}[offer.named]
        values = len(self.names) * encoded_bytes(offer.form, offer.count)
        return self._head(offer.form, offer.named) + places + values

    def _head(self, form: Format, named: Named) -> int:
        """Bytes of a message without its values and places: names, shapes, scalars, who is used."""
        if (form, named) not in self._heads:
            nothing: dict[str, Array] = {}
            if named == "positions":
                nothing["positions"] = np.empty(0, index_dtype(self._travel.size))
            elif named == "bitmap":
                nothing["bitmap"] = np.empty(0, np.uint8)
            arrays, scalars = encode_all(dict.fromkeys(self.names, np.empty(0, np.float32)), form)
            used = np.ones(len(self._travel.modules), np.bool_)
            self._heads[form, named] = message_bytes(self._message(arrays | nothing, scalars, used, 0))
        return self._heads[form, named]

    # --- which ----------------------------------------------------------------------------------

    def message(
        self, offer: Offer, vectors: Mapping[str, Floats], used: Use, scores: Floats | None
    ) -> Message:
        """The message of an offer. Vectors are whole [size]; of a sparse one `scores` rank them.

        A whole float32 model of which all experts are used is not copied.
        """
        named: dict[str, Array] = {}
        chosen: NDArray[np.int64] | slice
        if offer.named == "all":
            chosen = slice(None) if used.all() else np.flatnonzero(self._travel.mask(used))
        else:
            assert scores is not None
            chosen = self._chosen(offer.count, used, scores)
            named = self._places(offer.named, chosen)
        arrays, scalars = encode_all({name: vectors[name][chosen] for name in self.names}, offer.form)
        return self._message(arrays | named, scalars, used, len(self.names) * offer.count)

    def _chosen(self, count: int, used: Use, scores: Floats) -> NDArray[np.int64]:
        """Positions of the highest scores; of each range as many in proportion where not all fit."""
        ranges, counts = self._ranked(used), np.array(self._counts(used))
        if count < counts.sum():
            counts = largest_remainder(count, counts)
        if not used.all():
            scores = np.where(self._travel.mask(used), scores, np.float32(-np.inf))
        return top_counts(scores, counts.tolist(), ranges)

    def _places(self, named: Named, chosen: NDArray[np.int64]) -> dict[str, Array]:
        if named == "positions":
            return {"positions": chosen.astype(index_dtype(self._travel.size))}
        bits = np.zeros(self._travel.size, np.bool_)
        bits[chosen] = True
        return {"bitmap": np.packbits(bits)}

    def _message(
        self, arrays: dict[str, Array], scalars: dict[str, Scalar], used: Use, floats: int
    ) -> Message:
        if len(used):
            arrays = {**arrays, "used": np.packbits(used)}
        return Message(KIND, scalars, arrays, floats=floats)
