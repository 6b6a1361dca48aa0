"""Vectors in fewer bytes: float16 with one power-of-two scale, or int8 with a step per block.

| form    | bytes for m values           | largest error of one value                                        |
|---------|------------------------------|-------------------------------------------------------------------|
| float16 | 2 m + 4                      | the larger of |x| / 2^11 and s / 2^25; s = power of two above max |
| int8    | m + 4 ceil(m / block)        | half a step; step = maximum of the block / 127                    |

float16 values are divided by the power of two `s` first: they cannot overflow, and small ones (diagonal
Fisher information, say) keep their digits. What is not finite arrives as not finite: in int8 the whole
block as NaN; in float16 `s` is 1 as soon as one value is not finite.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal, overload

import numpy as np
import numpy.typing as npt

from mpidcl_kernels.base import checks
from mpidcl_kernels.base.arrays import unwrap
from mpidcl_kernels.base.errors import bad
from mpidcl_kernels.base.threads import for_pieces
from mpidcl_kernels.base.types import Array, ArrayModule, ArrayT, Floats, FloatT, View
from mpidcl_kernels.quantise import loops

Form = Literal["float16", "int8"]
Codes = npt.NDArray[np.float16 | np.int8]
LEVELS = 127
SMALLEST_STEP = float(np.finfo(np.float32).tiny)
"""1 / step would overflow below it: such a block, all below 2e-36, becomes zeros."""
PIECE = 65_536
"""Values per piece of work (whole blocks in int8)."""


# --- definitions --------------------------------------------------------------------------------------


def quantise_definition(values: Floats, form: Form, block: int = 1024) -> tuple[Codes, Floats]:
    """Codes [m] (float16 or int8) and scales [1] or [ceil(m / block)] (float32) of values [m].

    float64 values are rounded to float32 first.

    >>> codes, steps = quantise_definition(np.array([127.0, -1.0, 0.5, 1.5]), "int8")
    >>> codes.tolist(), steps.tolist()  # halves go to the even neighbour
    ([127, -1, 0, 2], [1.0])
    """
    with np.errstate(over="ignore"):
        values = values.astype(np.float32)
    return _float16(values) if form == "float16" else _int8(values, block)


def _float16(values: Floats) -> tuple[Codes, Floats]:
    largest, scale = float(np.max(np.abs(values), initial=0.0)), 1.0
    if largest != 0 and math.isfinite(largest):
        # float32 reaches down to 2^-149; 2^-126 and up keeps the scale itself a normal float32.
        scale = 2.0 ** min(127, max(-126, math.frexp(largest)[1]))
    with np.errstate(over="ignore"):
        return (values / np.float32(scale)).astype(np.float16), np.array([scale], np.float32)


def _int8(values: Floats, block: int) -> tuple[Codes, Floats]:
    blocks = -(-values.size // block)
    grid = np.zeros((blocks, block), np.float32)
    grid.reshape(-1)[: values.size] = values
    steps = np.abs(grid).max(axis=1, initial=0.0) / np.float32(LEVELS)
    steps[steps < SMALLEST_STEP] = 0.0
    with np.errstate(divide="ignore", invalid="ignore"):
        codes = np.rint(grid / steps[:, None])
    codes = np.clip(np.nan_to_num(codes, nan=0.0, posinf=0.0, neginf=0.0), -LEVELS, LEVELS)
    steps[~np.isfinite(steps)] = np.nan
    return codes.astype(np.int8).reshape(-1)[: values.size].copy(), steps


def dequantise_definition(codes: Codes, scales: Floats, block: int = 1024) -> Floats:
    """The values [m] (float32) that `quantise_definition` put into codes [m] and scales."""
    steps = scales if codes.dtype == np.float16 else np.repeat(scales, block)[: codes.size]
    with np.errstate(over="ignore"):
        values: Floats = codes.astype(np.float32) * steps.astype(np.float32)
    return values


# --- public functions ---------------------------------------------------------------------------------


@overload
def quantise(
    values: View, form: Form = "int8", block: int = 1024, out: tuple[View, View] | None = None
) -> tuple[Codes, npt.NDArray[np.float32]]: ...
@overload
def quantise(
    values: ArrayT, form: Form = "int8", block: int = 1024, out: tuple[ArrayT, ArrayT] | None = None
) -> tuple[ArrayT, ArrayT]: ...
def quantise(
    values: Array, form: Form = "int8", block: int = 1024, out: tuple[Array, Array] | None = None
) -> tuple[Array, Array]:
    """Codes [m] and float32 scales of values [m] (float32 or float64), bit for bit as the definition.

    "float16": codes float16, scales [1]. "int8": codes int8, scales [ceil(m / block)]. `out`: codes and
    scales to fill. Each value is read once from memory in int8, twice in float16. A vector that is not
    contiguous is copied first.

    Raises TypeError for other dtypes and for arrays on different devices, ValueError for what is no vector,
    an unknown form, a block below 1 and an `out` of the wrong shape or in the memory of `values`.

    >>> codes, scales = quantise(np.array([0.5, -3.0], np.float32), "float16")
    >>> codes.tolist(), scales.tolist()
    ([0.125, -0.75], [4.0])
    """
    if form not in ("float16", "int8"):
        raise bad("form", "'float16' or 'int8'", repr(form))
    given = (None, None) if out is None else out
    (flat, codes, scales), home = unwrap(values=values, codes=given[0], scales=given[1])
    checks.vector("values", flat, np.float32, np.float64)
    count = 1 if form == "float16" else blocks_of(flat.size, block)
    with home.stream():
        code_type = np.float16 if form == "float16" else np.int8
        codes = _result("codes", codes, flat.size, (code_type,), home.xp)
        scales = _result("scales", scales, count, (np.float32,), home.xp)
        checks.apart(home.xp, "codes", codes, values=flat, scales=scales)
        checks.apart(home.xp, "scales", scales, values=flat)
        if home.device is None:
            _on_cpu(flat, form, block, codes, scales)
        else:
            from mpidcl_kernels.quantise import cuda

            cuda.quantise(home.device, flat, int(block), codes, scales)
        return home.wrap(codes), home.wrap(scales)


@overload
def dequantise(
    codes: View, scales: View, block: int = 1024, *, out: npt.NDArray[FloatT]
) -> npt.NDArray[FloatT]: ...
@overload
def dequantise(codes: View, scales: View, block: int = 1024, out: None = None) -> npt.NDArray[np.float32]: ...
@overload
def dequantise(codes: ArrayT, scales: ArrayT, block: int = 1024, out: ArrayT | None = None) -> ArrayT: ...
def dequantise(codes: Array, scales: Array, block: int = 1024, out: Array | None = None) -> Array:
    """Values [m] (float32, or the float dtype of `out`) from what `quantise` returned.

    Raises TypeError for codes that are neither float16 nor int8, ValueError when the number of scales does
    not fit the number of codes and `block`, and for an `out` in their memory.
    """
    (flat, steps, filled), home = unwrap(codes=codes, scales=scales, out=out)
    checks.vector("codes", flat, np.float16, np.int8)
    checks.vector("scales", steps, np.float32)
    count = 1 if flat.dtype == np.float16 else blocks_of(flat.size, block)
    if steps.size != count:
        raise bad("scales", f"[{count}] for {flat.size} codes", list(steps.shape))
    with home.stream():
        filled = _result("out", filled, flat.size, (np.float32, np.float64), home.xp)
        checks.apart(home.xp, "out", filled, codes=flat, scales=steps)
        if home.device is None:
            _back_on_cpu(flat, steps, block, filled)
        else:
            from mpidcl_kernels.quantise import cuda

            cuda.dequantise(home.device, flat, steps, int(block), filled)
        return home.wrap(filled)


def blocks_of(size: int, block: int) -> int:
    """How many blocks hold `size` values. Raises ValueError for a block below 1."""
    if checks.whole("block", block) < 1:
        raise bad("block", "at least 1", block)
    return -(-size // checks.whole("block", block))


def _result(
    name: str, given: View | None, size: int, dtypes: tuple[type[np.generic], ...], xp: ArrayModule
) -> View:
    if given is None:
        return xp.empty(size, dtypes[0])
    checks.vector(name, given, *dtypes)
    # The compiled loops step from value to value, so what they fill has to be in one row and aligned.
    if given.size != size or not given.flags.c_contiguous or (xp is np and not given.flags.behaved):
        raise bad(name, f"[{size}], contiguous and writable", f"{list(given.shape)}, strides {given.strides}")
    return given


# --- on the CPU ---------------------------------------------------------------------------------------


def _on_cpu(values: Floats, form: Form, block: int, codes: View, scales: Floats) -> None:
    values = np.require(values, requirements=["C", "A"])
    if form == "int8":
        _by_blocks(loops.to_int8, values, codes, scales, block)
        return
    pieces = -(-values.size // PIECE)
    tops = np.zeros(pieces, np.uint32)

    def find(first: int, last: int) -> None:
        for p in range(first, last):
            tops[p] = loops.largest_bits(values[p * PIECE : (p + 1) * PIECE])

    for_pieces(find, pieces)
    scales[0] = _scale(int(tops.max(initial=0)))
    inverse, bits = np.float32(1) / scales[0], codes.view(np.uint16)

    def convert(first: int, last: int) -> None:
        loops.to_half(values[first * PIECE : last * PIECE], inverse, bits[first * PIECE : last * PIECE])

    for_pieces(convert, pieces)


def _scale(top: int) -> float:
    """The power of two above the float32 with bits `top`; 2^-126 .. 2^127, where 1 / s is exact too."""
    if top == 0 or top >= loops.INFINITY_BITS:
        return 1.0
    return float(2.0 ** min(127, (top >> 23) - 126))


def _back_on_cpu(codes: View, scales: Floats, block: int, out: Floats) -> None:
    codes, scales = (np.require(array, requirements=["C", "A"]) for array in (codes, scales))
    if codes.dtype == np.int8:
        _by_blocks(loops.from_int8, codes, out, scales, block)
        return
    bits, scale = codes.view(np.uint16), scales[0]

    def convert(first: int, last: int) -> None:
        part = slice(first * PIECE, last * PIECE)
        loops.from_half(bits[part], scale, out[part])

    for_pieces(convert, -(-codes.size // PIECE))


def _by_blocks(loop: Callable[..., None], read: View, written: View, steps: Floats, block: int) -> None:
    per = max(1, PIECE // block)

    def work(first: int, last: int) -> None:
        part = slice(first * per * block, last * per * block)
        loop(read[part], block, written[part], steps[first * per : last * per])

    for_pieces(work, -(-steps.size // per))


def warm() -> None:
    """Compile what a run calls, or load it from the cache."""
    for form in ("float16", "int8"):
        dequantise(*quantise(np.ones(2, np.float32), form))
