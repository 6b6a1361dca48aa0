"""The innermost loops of `average`, in LLVM's own terms: all arrays at once, a strip of values at a time.

For each strip the sums over all arrays stay in registers. Compiled from Python they would go through
memory once per array (measured: half the speed), and an output that is one of the inputs would keep the
compiler from using vectors, since it cannot see that each strip is read before it is written.

Products and sums are rounded one by one (no fused operation), so every machine computes the same bits.
Imports numba, so this is imported when a kernel is first used.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.core import cgutils
from numba.core.base import BaseContext
from numba.core.typing.templates import Signature
from numba.extending import intrinsic

from mpidcl_kernels.base.types import Inlined

Value: TypeAlias = ir.Value
"""A value of the program that is being written; a vector unless said otherwise."""
Step = Callable[[Value, list[Value]], list[Value]]

_I64, _DOUBLE = ir.IntType(64), ir.DoubleType()
_ITEMS = {types.float32: (ir.FloatType(), 4), types.float64: (_DOUBLE, 8)}
LINE = 64
"""Bytes of a cache line; stores that go past the caches start at a multiple of it."""
AHEAD = 256
"""Bytes from what is read to what is fetched for later: processors lose track of so many arrays."""


class _Strip:
    """Writes the instructions for `lanes` values, from place `at` on, of arrays of one type."""

    def __init__(self, b: ir.IRBuilder, kind: types.Type, lanes: int, at: Value, stream: bool) -> None:
        item, self.size = _ITEMS[kind]
        self.b, self.lanes, self.at, self.stream = b, lanes, at, stream
        self.narrow, self.wide = ir.VectorType(item, lanes), ir.VectorType(_DOUBLE, lanes)
        self.zero = ir.Constant(self.wide, [0.0] * lanes)
        self.first_lane = ir.Constant(ir.VectorType(ir.IntType(32), lanes), [0] * lanes)

    def of(self, kind: types.Type) -> _Strip:
        """The same places of arrays of another type, that stay in the caches."""
        return _Strip(self.b, kind, self.lanes, self.at, False)

    def _place(self, address: Value) -> Value:
        there = self.b.add(address, self.b.mul(self.at, _I64(self.size)))
        return self.b.inttoptr(there, self.narrow.as_pointer())

    def load(self, address: Value) -> Value:
        """The strip of the array at `address`, as doubles."""
        place = self._place(address)
        for line in range(AHEAD, AHEAD + self.size * self.narrow.count // LINE * LINE, LINE):
            self._fetch(self.b.add(self.b.ptrtoint(place, _I64), _I64(line)))
        found = self.b.load(place)
        found.align = self.size  # of one value: arrays need not start at a cache line
        return found if self.narrow == self.wide else self.b.fpext(found, self.wide)

    def _fetch(self, address: Value) -> None:
        """Ask for the cache line at `address`; where there is no memory nothing happens."""
        byte, number = ir.IntType(8).as_pointer(), ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [byte, number, number, number])
        fetch = cgutils.get_or_insert_function(self.b.module, kind, "llvm.prefetch.p0")  # type: ignore[no-untyped-call]
        to_read, keep, data = number(0), number(3), number(1)
        self.b.call(fetch, [self.b.inttoptr(address, byte), to_read, keep, data])

    def store(self, value: Value, address: Value) -> None:
        """Round `value` to the array at `address`."""
        rounded = value if self.narrow == self.wide else self.b.fptrunc(value, self.narrow)
        stored = self.b.store(rounded, self._place(address))
        stored.align = self.size
        if self.stream:
            stored.align = LINE
            stored.set_metadata("nontemporal", self.b.module.add_metadata([ir.IntType(32)(1)]))

    def repeat(self, scalar: Value) -> Value:
        """`scalar` in every lane."""
        nothing = ir.Constant(self.wide, ir.Undefined)
        one = self.b.insert_element(nothing, scalar, ir.IntType(32)(0))
        return self.b.shuffle_vector(one, nothing, self.first_lane)


def _over_arrays(b: ir.IRBuilder, first: Value, last: Value, sums: list[Value], step: Step) -> list[Value]:
    """The loop `for j in range(first, last): sums = step(j, sums)`, which is not empty."""
    before, body, after = b.block, b.append_basic_block("array"), b.append_basic_block("summed")
    b.branch(body)
    b.position_at_end(body)
    running = [b.phi(value.type) for value in (first, *sums)]
    j = running[0]
    later = [b.add(j, _I64(1)), *step(j, running[1:])]
    for value, start, following in zip(running, (first, *sums), later, strict=True):
        value.add_incoming(start, before)
        value.add_incoming(following, b.block)
    b.cbranch(b.icmp_signed("<", later[0], last), body, after)
    b.position_at_end(after)
    return later[1:]


def _over_strips(
    b: ir.IRBuilder, kind: types.Type, lanes: int, count: Value, stream: Value, body: Callable[[_Strip], None]
) -> None:
    """`body(strip)` for all `count` values: whole strips, then the rest one by one."""
    whole = b.sdiv(count, _I64(lanes))
    with b.if_else(stream) as (past_caches, usual):
        for branch, streams in ((past_caches, True), (usual, False)):
            with branch, cgutils.for_range(b, whole) as loop:
                body(_Strip(b, kind, lanes, b.mul(loop.index, _I64(lanes)), streams))
    done = b.mul(whole, _I64(lanes))
    with cgutils.for_range(b, b.sub(count, done)) as loop:
        body(_Strip(b, kind, 1, b.add(done, loop.index), False))
    b.fence("seq_cst")  # what went past the caches is seen by all threads from here on


class _Small:
    """An array of the caller that is read value by value: `read(j)`, or `read(j, k)` for element [k, j]."""

    def __init__(self, context: BaseContext, b: ir.IRBuilder, kind: types.Type, array: Value) -> None:
        made = context.make_array(kind)(context, b, array)  # type: ignore[no-untyped-call]
        self.b, self.data, self.shape = b, made.data, cgutils.unpack_tuple(b, made.shape)  # type: ignore[no-untyped-call]

    def read(self, j: Value, k: int = 0) -> Value:
        at = self.b.add(j, self.b.mul(_I64(k), self.shape[-1]))
        return self.b.load(self.b.gep(self.data, [at]))

    def row(self, k: int) -> Value:
        """Address of row k."""
        start = self.b.gep(self.data, [self.b.mul(_I64(k), self.shape[-1])])
        return self.b.ptrtoint(start, _I64)


def _begin(strip: _Strip, sums: _Small, count: int, resume: Value) -> list[Value]:
    """The sums of earlier arrays, or zeros."""
    b, wide = strip.b, strip.of(types.float64)
    with b.if_else(resume) as (yes, no):
        with yes:
            earlier, from_memory = [wide.load(sums.row(k)) for k in range(count)], b.block
        with no:
            from_zero = b.block
    started = [b.phi(strip.wide) for _ in range(count)]
    for value, found in zip(started, earlier, strict=True):
        value.add_incoming(found, from_memory)
        value.add_incoming(strip.zero, from_zero)
    return started


Read = Callable[[], Value]
Terms = Callable[[_Strip, Read, Read, Read], list[Value]]
"""(strip, reader of the weight, of the values, of their Fisher information) -> what is added to the sums."""
Results = Callable[[_Strip, list[Value], Value], list[Value]]
"""(strip, sums, eps) -> what is written to the outputs."""


def _sums_over_rows(count: int, lanes: int, terms: Terms, results: Results) -> Inlined:
    """A compiled function with `count` running sums; all such have the arguments of `run`."""

    def run(typingctx, like, rows, weights, eps, sums, outs, first, last, size, stream):  # type: ignore[no-untyped-def]
        """Add rows first..last to the sums of `size` values; the last of all rows write the results.

        `like`: any array of the type of all. `rows [2, n]`: addresses of the values and of their Fisher
        information. `weights [n]`. `sums [count, >= size]` keeps float64 sums from call to call; it is not
        touched when one call takes all rows. `outs`: addresses. `stream`: write past the caches; the
        outputs start at cache lines.
        """
        signature = types.void(
            like, rows, weights, types.float64, sums, outs, *[types.int64] * 3, types.boolean
        )
        kinds = dict(enumerate((like, rows, weights, None, sums, outs)))

        def write(context: BaseContext, b: ir.IRBuilder, made: Signature, given: Sequence[Value]) -> Value:
            row, weight, kept, out = (_Small(context, b, kinds[k], given[k]) for k in (1, 2, 4, 5))
            resume = b.icmp_signed(">", given[6], _I64(0))
            finish = b.icmp_signed("==", given[7], weight.shape[0])

            def body(strip: _Strip) -> None:
                def step(j: Value, running: list[Value]) -> list[Value]:
                    added = terms(
                        strip,
                        lambda: strip.repeat(weight.read(j)),
                        lambda: strip.load(row.read(j)),
                        lambda: strip.load(row.read(j, 1)),
                    )
                    return [b.fadd(total, term) for total, term in zip(running, added, strict=True)]

                totals = _over_arrays(b, given[6], given[7], _begin(strip, kept, count, resume), step)
                with b.if_else(finish) as (yes, no):
                    with yes:
                        for k, result in enumerate(results(strip, totals, strip.repeat(given[3]))):
                            strip.store(result, out.read(_I64(k)))
                    with no:
                        for k, total in enumerate(totals):
                            strip.of(types.float64).store(total, kept.row(k))

            _over_strips(b, like.dtype, lanes, given[8], given[9], body)
            return context.get_dummy_value()  # type: ignore[no-untyped-call]

        return signature, write

    return intrinsic(run)


mean_of_rows = _sums_over_rows(
    count=1,
    lanes=32,
    terms=lambda strip, weight, value, fisher: [strip.b.fmul(weight(), value())],
    results=lambda strip, sums, eps: sums,
)
"""sum_j w_j a_j"""


def _fisher_terms(strip: _Strip, weight: Read, value: Read, fisher: Read) -> list[Value]:
    a, f = value(), fisher()
    return [f, strip.b.fmul(f, a), strip.b.fmul(weight(), a)]


def _fisher_mean(strip: _Strip, sums: list[Value], eps: Value) -> list[Value]:
    b, (information, weighted, mean) = strip.b, sums
    return [b.fdiv(b.fadd(weighted, b.fmul(eps, mean)), b.fadd(information, eps))]


fisher_mean_of_rows = _sums_over_rows(3, 16, _fisher_terms, _fisher_mean)
"""(sum_j F_j a_j + eps sum_j w_j a_j) / (sum_j F_j + eps)"""

fisher_sums_of_rows = _sums_over_rows(
    count=2,
    lanes=16,
    terms=lambda strip, weight, value, fisher: [f := fisher(), strip.b.fmul(f, value())],
    results=lambda strip, sums, eps: sums,
)
"""sum_j F_j and sum_j F_j a_j, to two outputs"""


def _pointer(typingctx, address):  # type: ignore[no-untyped-def]
    """An address as what `numba.carray` takes."""
    return types.voidptr(address), lambda context, b, made, arguments: b.inttoptr(
        arguments[0], cgutils.voidptr_t
    )


pointer: Inlined = intrinsic(_pointer)
