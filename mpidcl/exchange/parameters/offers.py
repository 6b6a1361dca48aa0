"""What a parameters exchange puts on a link: the form that fits the room, and whose turn it is."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np

from mpidcl.base.state import State
from mpidcl.exchange.base import ByteRange
from mpidcl.exchange.packing.compression import (
    BLOCK,
    Floats,
    Format,
    encode_all,
    encoded_bytes,
    index_dtype,
    largest_count,
    top_changes,
)
from mpidcl.network.frames.frame import message_bytes
from mpidcl.network.frames.message import Array, Message, Scalar
from mpidcl_kernels.sparse import gather_values, scatter_set

Precision = Literal["auto", "float32", "float16", "int8", "top-k", "block"]
UNLIMITED = 2**62
"""Room of a link without a budget, bytes."""


class OfferOptions(Protocol):
    """The options that shape an offer."""

    @property
    def precision(self) -> Precision: ...
    @property
    def blocks(self) -> int: ...
    @property
    def fraction(self) -> float: ...


@dataclass(frozen=True, slots=True)
class Offer:
    """`count` values of each vector in `form`; at chosen positions (`sparse`) or in a row."""

    form: Format
    count: int
    sparse: bool = False


class Offers:
    """Plans and builds the messages of one agent: vectors `names`, each of `size` values, and `buffers`."""

    def __init__(self, options: OfferOptions, size: int, names: tuple[str, ...], buffers: int) -> None:
        self.options = options
        self.size = size
        self.names = names
        self.buffers = buffers
        self._turns: dict[int, int] = {}
        self._sent: dict[int, Floats] = {}
        self._encoded: dict[tuple[Format, int, int], tuple[dict[str, Array], dict[str, Scalar]]] = {}

    def bytes_range(self, budget: int | None) -> ByteRange:
        """Bytes of the least offer that is ever made, and of the offer for a link with `budget` bytes."""
        least = min(map(self._bytes, (*self._whole(), self._offer(self._least()))))
        offer = self.plan(UNLIMITED if budget is None else budget)
        return ByteRange(least, self._bytes(offer) if offer else least)

    def plan(self, room: int) -> Offer | None:
        """The best offer of at most `room` bytes; None when not even the least one fits."""
        for whole in self._whole():
            if self._bytes(whole) <= room:
                return whole
        fits = min(self._wanted(), self._fitting(room))
        return self._offer(fits) if fits >= max(1, self._least()) else None

    def _whole(self) -> tuple[Offer, ...]:
        """Offers of the whole model that are tried before parts of it, the best first."""
        if self.options.precision != "auto":
            return ()
        return Offer("float32", self.size), Offer("float16", self.size), Offer("int8", self.size)

    def _offer(self, fits: int) -> Offer:
        """What is sent where `fits` values would fit."""
        if self.options.precision == "top-k":
            return Offer("float32", fits, True)
        return Offer(_frugal(self.options.precision), self._piece(fits))

    def _piece(self, fits: int) -> int:
        """Values of equal pieces: none of them is a small rest that takes a turn of its own."""
        return math.ceil(self.size / math.ceil(self.size / fits)) if fits else 0

    def _wanted(self) -> int:
        """Values that an offer would like to carry."""
        if self.options.precision == "top-k":
            return math.ceil(self.options.fraction * self.size)
        return math.ceil(self.size / self.options.blocks) if self.options.precision == "block" else self.size

    def _least(self) -> int:
        """Fewer values are not worth a message; equal pieces may be a little smaller than a block."""
        least = min(BLOCK, self._wanted())
        return least if self.options.precision == "top-k" else self._piece(least)

    def _fitting(self, room: int) -> int:
        """Values that fit into `room` bytes in the most frugal form."""
        form, sparse = _frugal(self.options.precision), self.options.precision == "top-k"
        left = max(0, room - self._header(form, sparse))
        return left // self._sparse_bytes() if sparse else largest_count(form, left // len(self.names))

    def _sparse_bytes(self) -> int:
        return np.dtype(index_dtype(self.size)).itemsize + 4 * len(self.names)

    def _bytes(self, offer: Offer) -> int:
        if offer.sparse:
            return self._header("float32", True) + offer.count * self._sparse_bytes()
        return self._header(offer.form, False) + len(self.names) * encoded_bytes(offer.form, offer.count)

    def _header(self, form: Format, sparse: bool) -> int:
        """Bytes of a message without its values: names, shapes, scalars, and the BatchNorm statistics."""
        empty = dict.fromkeys(self.names, np.empty(0, np.float32))
        arrays, scalars = encode_all(empty, form)
        if sparse:
            arrays["positions"] = np.empty(0, index_dtype(self.size))
        return message_bytes(self._pack(arrays, scalars, np.empty(self.buffers, np.float32)))

    def message(
        self, offer: Offer, target: int, vectors: Mapping[str, Floats], buffers: Floats | None
    ) -> Message:
        """The message of an offer; whole float32 vectors are not copied."""
        if offer.sparse:
            return self._pack(*self._pick_changed(offer, target, vectors), buffers)
        start = self._turns.get(target, 0) if offer.count < self.size else 0
        stop = min(start + offer.count, self.size)
        if offer.count < self.size:
            self._turns[target] = stop % self.size
        key = (offer.form, start, stop)
        if key not in self._encoded:
            self._encoded[key] = encode_all({n: vectors[n][start:stop] for n in self.names}, offer.form)
        arrays, scalars = self._encoded[key]
        return self._pack(arrays, {**scalars, "start": start}, buffers)

    def _pick_changed(
        self, offer: Offer, target: int, vectors: Mapping[str, Floats]
    ) -> tuple[dict[str, Array], dict[str, Scalar]]:
        model = vectors["model"]
        sent = self._sent.setdefault(target, np.zeros(self.size, np.float32))
        positions = top_changes(model, sent, offer.count)
        picked: dict[str, Array] = {name: gather_values(vectors[name], positions) for name in self.names}
        scatter_set(sent, positions, picked["model"])
        return {**picked, "positions": positions}, {}

    def _pack(self, arrays: dict[str, Array], scalars: dict[str, Scalar], buffers: Floats | None) -> Message:
        floats = sum(arrays[name].size for name in self.names)
        if buffers is not None and self.buffers:
            arrays = {**arrays, "buffers": buffers}
            floats += self.buffers
        return Message("parameters", {"start": 0, **scalars}, arrays, floats=floats)

    def forget_encoded(self) -> None:
        """Called when a meeting ends: the vectors change."""
        self._encoded.clear()

    def state(self) -> State:
        """Where the blocks in turn stand, and what each link has been sent."""
        return {
            "turns": {str(target): start for target, start in self._turns.items()},
            "sent": {str(target): values.copy() for target, values in self._sent.items()},
        }

    def load(self, state: State) -> None:
        """Put back what `state` returned."""
        self._turns = {int(target): int(start) for target, start in state["turns"].items()}
        self._sent = {int(t): np.array(values, np.float32) for t, values in state["sent"].items()}
        self._encoded.clear()


def _frugal(precision: Precision) -> Format:
    """The format of blocks in turn and of top-k."""
    if precision in ("float16", "int8"):
        return precision
    return "int8" if precision == "auto" else "float32"
