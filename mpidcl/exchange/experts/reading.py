"""What came from a neighbour, checked: a peer may be damaged, or run another version."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mpidcl.errors import FrameError
from mpidcl.exchange.averaging import Contribution
from mpidcl.exchange.base import Received
from mpidcl.exchange.experts.travel import Travel, Use
from mpidcl.exchange.packing.compression import Floats, Positions, decode, index_dtype, positions_of
from mpidcl.network.frames.message import Message
from mpidcl_kernels.base.types import View

FORMATS = {"float32", "float16", "int8"}


def read(received: Received, travel: Travel, names: Sequence[str], sparse: bool) -> Contribution[View]:
    """Positions and values of the vector, and Fisher information if `names` holds it.

    Raises FrameError, with the sender, for positions outside the vector or that come twice, another number of
    values than places, values that are no finite numbers, and arrays that are not there.
    """
    try:
        return _read(received, travel, names, sparse)
    except FrameError as error:
        raise FrameError(f"a model from agent {received.source}: {error}") from error


def _read(received: Received, travel: Travel, names: Sequence[str], sparse: bool) -> Contribution[View]:
    message = received.message
    for name in names:
        found = message.arrays.get(name)
        if found is None or found.ndim != 1 or str(found.dtype) not in FORMATS:
            what = "none" if found is None else f"{found.dtype} {list(found.shape)}"
            raise FrameError(f"`{name}` should be a vector of {', '.join(sorted(FORMATS))}. Found {what}.")
        if found.dtype == np.float16 and f"{name}_scale" not in message.scalars:
            raise FrameError(f"`{name}` should come with its scale, a number. Found none.")
        if found.dtype == np.int8 and f"{name}_steps" not in message.arrays:
            raise FrameError(f"`{name}` should come with its steps. Found none.")
    positions = _positions(message, travel, sparse)
    count = positions.stop if isinstance(positions, slice) else positions.size
    vectors = {name: _values(message, name, int(count)) for name in names}
    return Contribution(received.source, positions, vectors["model"], vectors.get("fisher"))


def _values(message: Message, name: str, count: int) -> Floats:
    values = decode(message, name)
    if values.size != count:
        raise FrameError(f"`{name}` should have {count} values. Found {values.size}.")
    if not np.isfinite(values).all():
        place = int(np.flatnonzero(~np.isfinite(values))[0])
        raise FrameError(f"`{name}` should hold finite numbers. Found {values[place]} at place {place}.")
    if name == "fisher" and (values < 0).any():
        raise FrameError(f"`{name}` should be at least 0. Found {values.min()}.")
    return values


def _positions(message: Message, travel: Travel, sparse: bool) -> Positions:
    used = _used(message, travel)
    if not sparse or not {"positions", "bitmap"} & message.arrays.keys():
        return travel.positions(used)
    if "positions" in message.arrays:
        found, wanted = message.arrays["positions"], np.dtype(index_dtype(travel.size))
        if found.dtype != wanted or found.ndim != 1:
            raise FrameError(
                f"`positions` should be a vector of {wanted}. Found {found.dtype} {list(found.shape)}."
            )
        return positions_of(message, "model", travel.size)
    return np.flatnonzero(_bits(message, "bitmap", travel.size)).astype(np.uint64)


def _used(message: Message, travel: Travel) -> Use:
    if not travel.modules:
        return np.ones(0, np.bool_)
    return _bits(message, "used", len(travel.modules))


def _bits(message: Message, name: str, count: int) -> NDArray[np.bool_]:
    """`count` bits. Raises FrameError for another number of bytes, or for bits that stand for nothing."""
    found = message.arrays.get(name)
    if found is None or found.dtype != np.uint8 or found.shape != (math.ceil(count / 8),):
        what = "none" if found is None else f"{found.dtype} {list(found.shape)}"
        raise FrameError(f"`{name}` should be {math.ceil(count / 8)} bytes, {count} bits. Found {what}.")
    bits = np.unpackbits(found).astype(np.bool_)  # type: ignore[arg-type]
    if bits[count:].any():
        raise FrameError(f"`{name}` should have {count} bits. Found others behind them.")
    return bits[:count]
