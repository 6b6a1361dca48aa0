"""Is a neighbour's message what it should be? Checked field by field before anything is taken in."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from mpidcl.errors import FrameError
from mpidcl.exchange.packing.compression import BLOCK, Floats, decode
from mpidcl.network.frames.message import Message, Scalar

ScalarT = TypeVar("ScalarT", bound=Scalar)
DtypeT = TypeVar("DtypeT", bound=np.generic)


def scalar_of(message: Message, name: str, kind: type[ScalarT]) -> ScalarT:
    """A scalar of a message. Raises FrameError when it is absent or of another type."""
    value = message.scalars.get(name)
    if type(value) is not kind:
        raise FrameError(
            f"message {message.kind!r} should have a scalar {name!r}, {kind.__name__}. Found {value!r}."
        )
    return value


def array_of(
    message: Message, name: str, dtypes: Sequence[type[DtypeT]], shape: tuple[int, ...]
) -> NDArray[DtypeT]:
    """An array of a message; -1 in `shape` allows any length. Raises FrameError when it differs."""
    array = message.arrays.get(name)
    wanted = f"{' or '.join(np.dtype(d).name for d in dtypes)} {list(shape)}"
    if array is None:
        raise FrameError(f"message {message.kind!r} should have an array {name!r}, {wanted}. Found none.")
    fits = len(array.shape) == len(shape) and all(
        w in (-1, s) for s, w in zip(array.shape, shape, strict=True)
    )
    if not fits or array.dtype not in [np.dtype(d) for d in dtypes]:
        raise FrameError(
            f"array {name!r} of message {message.kind!r} should be {wanted}. "
            f"Found {array.dtype} {list(array.shape)}."
        )
    return cast("NDArray[DtypeT]", array)


def values_of(message: Message, name: str, count: int) -> Floats:
    """The `count` float32 values that `compression.encode` put into a message; a copy.

    Raises FrameError when there are more or fewer, their scales are absent, or one is not finite.
    """
    coded = array_of(message, name, (np.float32, np.float16, np.int8), (count,))
    if coded.dtype == np.float16:
        scalar_of(message, f"{name}_scale", float)
    if coded.dtype == np.int8:
        array_of(message, f"{name}_steps", (np.float32,), (math.ceil(count / BLOCK),))
    values = decode(message, name)
    check_finite(values, name)
    return values.copy()


def check_finite(values: Floats, name: str) -> None:
    """Raises FrameError when some of `values` is not a finite number."""
    if not np.isfinite(values).all():
        raise FrameError(
            f"{name!r} from a neighbour should hold finite numbers. "
            f"Found {int((~np.isfinite(values)).sum())} of {values.size} that are not."
        )
