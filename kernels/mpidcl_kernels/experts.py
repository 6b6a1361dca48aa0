"""Dense experts of which each row uses a few: rows sorted by expert, then one product per layer and expert.

    M_i(x) = relu(W_2 relu(W_1 x + b_1) + b_2);   y = sum_k gates[k] M_{chosen[k]}(x)

An expert is one piece of a flat vector: W_1 with b_1 as last column [hidden, inputs + 1], then W_2 with b_2
[width, hidden + 1]. Hidden sizes may differ. Layer by layer and expert by expert such a step is some hundred
small operations of which most is book-keeping; here it is one call each way, and products go to BLAS.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mpidcl_kernels.base.cache import compiled
from mpidcl_kernels.base.errors import bad
from mpidcl_kernels.base.types import Floats, Index


@dataclass(frozen=True)
class Layout:
    """Where the experts lie: expert i in `hidden[i] * (inputs + 1) + width * (hidden[i] + 1)` floats from
    `starts[i]` on."""

    inputs: int
    width: int
    hidden: Index
    starts: Index

    @classmethod
    def of(cls, inputs: int, width: int, hidden: tuple[int, ...]) -> Layout:
        """Of experts that lie one after the other."""
        sizes = [h * (inputs + 1) + width * (h + 1) for h in hidden]
        starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
        return cls(inputs, width, np.array(hidden, np.int64), starts.astype(np.int64))

    @property
    def size(self) -> int:
        """Floats of all experts."""
        last = int(self.hidden[-1])
        return int(self.starts[-1]) + last * (self.inputs + 1) + self.width * (last + 1)

    def blocks(self, weights: Floats, expert: int) -> tuple[Floats, Floats]:
        """Views of the two layers of an expert."""
        first, hidden = int(self.starts[expert]), int(self.hidden[expert])
        middle = first + hidden * (self.inputs + 1)
        last = middle + self.width * (hidden + 1)
        return (
            weights[first:middle].reshape(hidden, self.inputs + 1),
            weights[middle:last].reshape(self.width, hidden + 1),
        )


@dataclass(frozen=True)
class Passed:
    """What a pass leaves for the pass backward. Pairs of row and expert are sorted by expert.

    `place [n K]`: where each pair lies; `ends [N + 1]`: where the pairs of each expert begin.
    """

    x: Floats
    chosen: Index
    gates: Floats
    place: Index
    ends: Index
    sorted_x: Floats
    hidden: Floats
    outputs: Floats


# --- definitions ------------------------------------------------------------------------------------


def forward_definition(x: Floats, chosen: Index, gates: Floats, weights: Floats, layout: Layout) -> Floats:
    """y [n, width] of x [n, inputs], row i through experts `chosen[i]` with `gates[i]`."""
    found = np.zeros((len(x), layout.width))
    for row, experts in enumerate(chosen):
        for expert, gate in zip(experts, gates[row].astype(np.float64), strict=True):
            found[row] += gate * _one(x[row].astype(np.float64), weights, layout, int(expert))[-1]
    return found


def backward_definition(
    change: Floats, x: Floats, chosen: Index, gates: Floats, weights: Floats, layout: Layout
) -> tuple[Floats, Floats, Floats]:
    """Gradients by x, gates and weights, from `change [n, width]`, that by y."""
    by_x, by_gates = np.zeros(x.shape), np.zeros(gates.shape)
    by_weights = np.zeros(weights.shape)
    for row, experts in enumerate(chosen):
        for k, expert in enumerate(experts):
            first, second = layout.blocks(weights.astype(np.float64), int(expert))
            by_first, by_second = layout.blocks(by_weights, int(expert))
            given, inner, out = _one(x[row].astype(np.float64), weights, layout, int(expert))
            by_gates[row, k] = change[row] @ out
            slope = float(gates[row, k]) * change[row] * (out > 0)
            by_second += np.outer(slope, inner)
            below = (slope @ second)[:-1] * (inner[:-1] > 0)
            by_first += np.outer(below, given)
            by_x[row] += (below @ first)[:-1]
    return by_x, by_gates, by_weights


def _one(x: Floats, weights: Floats, layout: Layout, expert: int) -> tuple[Floats, Floats, Floats]:
    first, second = layout.blocks(weights.astype(np.float64), expert)
    given = np.append(x, 1.0)
    inner = np.append(np.maximum(first @ given, 0), 1.0)
    return given, inner, np.maximum(second @ inner, 0)


# --- loops ------------------------------------------------------------------------------------------


def _sort(chosen, place, ends):  # type: ignore[no-untyped-def]
    """Counting sort of the pairs by expert, in order; False for an expert that is not there."""
    experts = ends.size - 1
    for p in range(chosen.size):
        if chosen[p] < 0 or chosen[p] >= experts:
            return False
        ends[chosen[p] + 1] += 1
    for i in range(experts):
        ends[i + 1] += ends[i]
    for p in range(chosen.size):
        place[p] = ends[chosen[p]]
        ends[chosen[p]] += 1
    for i in range(experts, 0, -1):
        ends[i] = ends[i - 1]
    ends[0] = 0
    return True


_sort_compiled = compiled(_sort)


def _forward(x, gates, weights, sizes, starts, place, ends, sorted_x, inner, outputs, y):  # type: ignore[no-untyped-def]
    inputs, width, active = x.shape[1], y.shape[1], gates.shape[1]
    for p in range(place.size):
        row, into = x[p // active], sorted_x[place[p]]
        for c in range(inputs):
            into[c] = row[c]
        into[inputs] = 1.0
    room = inner.shape[0] // max(1, place.size)
    for i in range(sizes.size):
        first, last, hidden = ends[i], ends[i + 1], sizes[i]
        if first == last:
            continue
        middle = starts[i] + hidden * (inputs + 1)
        one = weights[starts[i] : middle].reshape(hidden, inputs + 1)
        two = weights[middle : middle + width * (hidden + 1)].reshape(width, hidden + 1)
        found = np.dot(sorted_x[first:last], one.T)
        rows = last - first
        values = inner[first * room : first * room + rows * (hidden + 1)].reshape(rows, hidden + 1)
        for r in range(rows):
            for c in range(hidden):
                value = found[r, c]
                values[r, c] = value if value > 0 else np.float32(0)
            values[r, hidden] = 1.0
        np.dot(values, two.T, outputs[first:last])
        for r in range(first, last):
            for c in range(width):
                value = outputs[r, c]
                outputs[r, c] = value if value > 0 else np.float32(0)
    for p in range(place.size):
        gate, out, into = gates[p // active, p % active], outputs[place[p]], y[p // active]
        for c in range(width):
            into[c] += gate * out[c]


def _backward(  # type: ignore[no-untyped-def]
    change, gates, weights, sizes, starts, place, ends, sorted_x, inner, outputs, by_x, by_gates, by_weights
):
    inputs, width, active = by_x.shape[1], change.shape[1], gates.shape[1]
    slope = np.empty_like(outputs)
    for p in range(place.size):
        row, out, into = change[p // active], outputs[place[p]], slope[place[p]]
        gate = gates[p // active, p % active]
        total = np.float32(0)
        for c in range(width):
            total += row[c] * out[c]
        by_gates[p // active, p % active] = total
        for c in range(width):
            into[c] = gate * row[c] if out[c] > 0 else np.float32(0)
    back = np.empty_like(sorted_x)
    room = inner.shape[0] // max(1, place.size)
    for i in range(sizes.size):
        first, last, hidden = ends[i], ends[i + 1], sizes[i]
        if first == last:
            continue
        middle = starts[i] + hidden * (inputs + 1)
        end = middle + width * (hidden + 1)
        one = weights[starts[i] : middle].reshape(hidden, inputs + 1)
        two = weights[middle:end].reshape(width, hidden + 1)
        rows = last - first
        values = inner[first * room : first * room + rows * (hidden + 1)].reshape(rows, hidden + 1)
        own = slope[first:last]
        if by_weights.size:
            found = np.dot(own.T, values).ravel()
            into = by_weights[middle:end]
            for c in range(into.size):
                into[c] += found[c]
        below = np.dot(own, two)
        inward = np.empty((rows, hidden), below.dtype)
        for r in range(rows):
            for c in range(hidden):
                inward[r, c] = below[r, c] if values[r, c] > 0 else np.float32(0)
        if by_weights.size:
            found = np.dot(inward.T, sorted_x[first:last]).ravel()
            into = by_weights[starts[i] : middle]
            for c in range(into.size):
                into[c] += found[c]
        np.dot(inward, one, back[first:last])
    for p in range(place.size):
        out, into = back[place[p]], by_x[p // active]
        for c in range(inputs):
            into[c] += out[c]


_forward_compiled = compiled(_forward, reorder=True)
_backward_compiled = compiled(_backward, reorder=True)


# --- public functions -------------------------------------------------------------------------------


def forward(
    x: Floats, chosen: Index, gates: Floats, weights: Floats, layout: Layout
) -> tuple[Floats, Passed]:
    """y [n, width] of x [n, inputs] through experts `chosen [n, K]` with `gates [n, K]`, and what `backward`
    needs. All float32, contiguous, in the host's memory.

    Raises ValueError for shapes that do not fit and for experts that are not there.
    """
    _check(x, chosen, gates, weights, layout)
    pairs, experts = chosen.size, len(layout.hidden)
    place, ends = np.empty(pairs, np.int64), np.zeros(experts + 1, np.int64)
    if not _sort_compiled(chosen.reshape(-1), place, ends):
        raise bad("chosen", f"numbers of experts, 0..{experts - 1}", f"{chosen.min()}..{chosen.max()}")
    sorted_x = np.empty((pairs, layout.inputs + 1), np.float32)
    inner = np.empty(pairs * (int(layout.hidden.max()) + 1), np.float32)
    outputs = np.empty((pairs, layout.width), np.float32)
    y = np.zeros((len(x), layout.width), np.float32)
    sizes, starts = layout.hidden, layout.starts
    _forward_compiled(x, gates, weights, sizes, starts, place, ends, sorted_x, inner, outputs, y)
    return y, Passed(x, chosen, gates, place, ends, sorted_x, inner, outputs)


def backward(
    change: Floats, passed: Passed, weights: Floats, layout: Layout, by_weights: Floats | None = None
) -> tuple[Floats, Floats]:
    """Gradients by x and by the gates, from `change [n, width]`, that by y; those by the weights are added
    to `by_weights`, like the weights, where it is given.

    Raises ValueError for shapes that do not fit.
    """
    if change.shape != (len(passed.x), layout.width) or change.dtype != np.float32:
        raise bad(
            "change",
            f"float32 {[len(passed.x), layout.width]}",
            f"{change.dtype} {list(change.shape)}",
        )
    if by_weights is not None and by_weights.shape != weights.shape:
        raise bad("by_weights", f"{list(weights.shape)}, like the weights", list(by_weights.shape))
    by_x, by_gates = np.zeros_like(passed.x), np.empty_like(passed.gates)
    into = np.empty(0, np.float32) if by_weights is None else by_weights
    _backward_compiled(
        np.ascontiguousarray(change),
        *(passed.gates, weights, layout.hidden, layout.starts, passed.place, passed.ends),
        *(passed.sorted_x, passed.hidden, passed.outputs, by_x, by_gates, into),
    )
    return by_x, by_gates


def _check(x: Floats, chosen: Index, gates: Floats, weights: Floats, layout: Layout) -> None:
    # The compiled loops do not check bounds.
    if x.ndim != 2 or x.shape[1] != layout.inputs or x.dtype != np.float32:
        raise bad("x", f"float32 [n, {layout.inputs}]", f"{x.dtype} {list(x.shape)}")
    if chosen.ndim != 2 or len(chosen) != len(x) or gates.shape != chosen.shape:
        raise bad("chosen", f"[{len(x)}, K], like `gates`", f"{list(chosen.shape)} and {list(gates.shape)}")
    if weights.shape != (layout.size,) or weights.dtype != np.float32 or gates.dtype != np.float32:
        raise bad("weights", f"float32 [{layout.size}]", f"{weights.dtype} {list(weights.shape)}")
    for name, array in (("x", x), ("chosen", chosen), ("gates", gates), ("weights", weights)):
        if not array.flags.c_contiguous:
            raise bad(name, "contiguous", "an array that is not")


def warm() -> None:
    """Compile all loops, or load them from the cache."""
    layout = Layout.of(1, 1, (1,))
    weights, one = np.zeros(layout.size, np.float32), np.ones((1, 1), np.float32)
    _, passed = forward(one, np.zeros((1, 1), np.int64), one, weights, layout)
    backward(one, passed, weights, layout, np.zeros_like(weights))
