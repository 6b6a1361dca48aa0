"""Compiled copies of rows by number. Imports numba, so `gather` imports this on its first call.

Rows are bytes here, `[rows, row bytes]` with any distance between rows: one compiled form serves every dtype.
Both loops check all numbers before they write anything, and say what is wrong by what they return.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba import extending, types
from numba.core import cgutils
from numba.core.base import BaseContext
from numba.core.typing.context import Context
from numba.core.typing.templates import Signature

from mpidcl_kernels.base.cache import compiled_only
from mpidcl_kernels.base.types import Bytes, Decorator, Index, Inlined

Value: TypeAlias = ir.Value
Generate: TypeAlias = Callable[[BaseContext, ir.IRBuilder, Signature, Sequence[Value]], Value]

DONE, OVERLAP = -1, -2
"""What a loop returns when all is well, and when it would read what it writes; else where a bad number is."""

AHEAD = 16
"""Rows between the one that is copied and the one whose memory is asked for: the time that takes to come."""

SHORT = 1024
"""Bytes of the longest rows that are asked for as a whole; of longer ones the processor guesses the rest."""

PAST_CACHE = 1 << 26
"""Bytes of a store that no cache keeps: what is written there goes to memory without being read first."""

LINE = 64
"""Bytes of a line of the cache."""


# --- what numba has no words for --------------------------------------------------------------------

BYTE, FLAG, COUNT = ir.IntType(8), ir.IntType(32), ir.IntType(64)
WHOLE_LINE = ir.VectorType(ir.IntType(64), LINE // 8)


def _instruction(emit: Callable[..., None]) -> Inlined:
    """`emit(builder, *values)` as a function for compiled loops; its arguments are addresses and counts."""

    def typed(context: Context, *arguments: types.Type) -> tuple[Signature, Generate]:
        def generate(
            context: BaseContext, builder: ir.IRBuilder, signature: Signature, values: Sequence[Value]
        ) -> Value:
            emit(builder, *values)
            return context.get_dummy_value()  # type: ignore[no-untyped-call]

        return types.void(*[types.intp] * len(arguments)), generate

    typed.__signature__ = inspect.signature(emit)  # type: ignore[attr-defined]  # numba counts its parameters
    return extending.intrinsic(typed)


def _at(builder: ir.IRBuilder, address: Value, kind: ir.Type) -> Value:
    return builder.inttoptr(address, kind.as_pointer())


def _emit_ask(builder: ir.IRBuilder, address: Value) -> None:
    form = ir.FunctionType(ir.VoidType(), [BYTE.as_pointer(), FLAG, FLAG, FLAG])
    function: ir.Function = cgutils.get_or_insert_function(builder.module, form, "llvm.prefetch.p0")  # type: ignore[no-untyped-call]
    # To the second cache: it waits for more lines at once than the first; measured 1.4 times as fast.
    read, second_cache, data = FLAG(0), FLAG(2), FLAG(1)
    builder.call(function, [_at(builder, address, BYTE), read, second_cache, data])


def _emit_copy(builder: ir.IRBuilder, to: Value, source: Value, count: Value) -> None:
    to, source = _at(builder, to, BYTE), _at(builder, source, BYTE)
    cgutils.raw_memcpy(builder, to, source, count, COUNT(1), align=1)  # type: ignore[no-untyped-call]


def _emit_line_to_memory(builder: ir.IRBuilder, to: Value, source: Value) -> None:
    value = builder.load(_at(builder, source, WHOLE_LINE), typ=WHOLE_LINE)
    value.align = 1
    store = builder.store(value, _at(builder, to, WHOLE_LINE))
    store.align = LINE
    store.set_metadata("nontemporal", builder.module.add_metadata([FLAG(1)]))


_ask = _instruction(_emit_ask)
"""Ask for the line of memory at an address; a wrong one does no harm."""
_copy = _instruction(_emit_copy)
"""memcpy: to, from, bytes. Addresses need not be aligned."""
_line_to_memory = _instruction(_emit_line_to_memory)
"""Copy LINE bytes: to, from. They go around the caches, to a multiple of LINE."""
_in_order = _instruction(lambda builder: builder.fence("seq_cst"))
"""What went around the caches is seen, by threads and processes, before what is written later."""


# --- loops ------------------------------------------------------------------------------------------

part: Decorator = extending.register_jitable
"""A function that compiled loops call."""


@part
def _outside(numbers, low, high):  # type: ignore[no-untyped-def]
    """Place of the first number outside low..high, else DONE."""
    found = False
    for i in range(numbers.size):
        found |= (numbers[i] < low) | (numbers[i] > high)
    if found:
        for i in range(numbers.size):
            if numbers[i] < low or numbers[i] > high:
                return i
    return DONE


@part
def _span(rows):  # type: ignore[no-untyped-def]
    """First address of an array `[rows, bytes]`, and the one after its last; rows may run backwards."""
    first = np.intp(rows.ctypes.data)
    other = first + (rows.shape[0] - 1) * rows.strides[0]
    return min(first, other), max(first, other) + rows.shape[1]


@part
def _overlap(written, read, numbers):  # type: ignore[no-untyped-def]
    """True where the span of `written` touches that of `read` or `numbers`."""
    low, high = _span(written)
    first, last = _span(read)
    one = np.intp(numbers.ctypes.data)
    other = one + (numbers.size - 1) * numbers.strides[0]
    return (first < high and low < last) or (min(one, other) < high and low < max(one, other) + 8)


@part
def _row_to_memory(to, source, width):  # type: ignore[no-untyped-def]
    """Copy a row of `width` bytes: whole lines around the caches, the ends of the row as usual."""
    end = to + width
    line = (to + (LINE - 1)) & ~(LINE - 1)
    if line + LINE > end:
        _copy(to, source, width)
        return
    if line > to:
        _copy(to, source, line - to)
        source += line - to
    while line + LINE <= end:
        _line_to_memory(line, source)
        line += LINE
        source += LINE
    if line < end:
        _copy(line, source, end - line)


def _insert(store, rows, slots):  # type: ignore[no-untyped-def]
    """store[slots[i]] = rows[i] in order, for slots that are not -1."""
    bad, width = _outside(slots, -1, store.shape[0] - 1), rows.shape[1]
    if bad != DONE or slots.size == 0 or width == 0:
        return bad
    if _overlap(store, rows, slots):
        return OVERLAP
    to, source = np.intp(store.ctypes.data), np.intp(rows.ctypes.data)
    stride, step = store.strides[0], rows.strides[0]
    to_memory = abs(stride) * store.shape[0] >= PAST_CACHE
    for i in range(slots.size):
        if i + AHEAD < slots.size and slots[i + AHEAD] >= 0:
            row = to + slots[i + AHEAD] * stride
            if to_memory:
                # Only the lines at the ends of a row are read: they are shared with the rows beside it.
                if row & (LINE - 1):
                    _ask(row)
                if (row + width) & (LINE - 1):
                    _ask(row + width)
            elif width <= SHORT:
                for line in range(row & ~(LINE - 1), row + width, LINE):
                    _ask(line)
        if slots[i] < 0:
            continue
        if to_memory:
            _row_to_memory(to + slots[i] * stride, source + i * step, width)
        else:
            _copy(to + slots[i] * stride, source + i * step, width)
    if to_memory:
        _in_order()
    return DONE


def _gather(store, index, out):  # type: ignore[no-untyped-def]
    """out[i] = store[index[i]]."""
    bad, width = _outside(index, 0, store.shape[0] - 1), out.shape[1]
    if bad != DONE or index.size == 0 or width == 0:
        return bad
    if _overlap(out, store, index):
        return OVERLAP
    to, source = np.intp(out.ctypes.data), np.intp(store.ctypes.data)
    stride, step = store.strides[0], out.strides[0]
    for i in range(index.size):
        if i + AHEAD < index.size and width <= SHORT:
            row = source + index[i + AHEAD] * stride
            for line in range(row & ~(LINE - 1), row + width, LINE):
                _ask(line)
        _copy(to + i * step, source + index[i] * stride, width)
    return DONE


WRITTEN = types.Array(types.uint8, 2, "A")
READ = types.Array(types.uint8, 2, "A", readonly=True)
NUMBERS = types.Array(types.int64, 1, "A", readonly=True)

insert: Callable[[Bytes, Bytes, Index], int] = compiled_only(_insert, WRITTEN, READ, NUMBERS)
gather: Callable[[Bytes, Index, Bytes], int] = compiled_only(_gather, READ, NUMBERS, WRITTEN)
