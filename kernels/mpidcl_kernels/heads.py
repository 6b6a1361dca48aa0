"""Linear heads, one per task: row i of a batch goes through head `heads[i]` and no other.

`block [heads, classes, width + 1]` holds all heads, its last column the biases. A product with all heads
would do `heads` times the work and then throw most of it away.
"""

from __future__ import annotations

import numpy as np

from mpidcl_kernels.base.cache import compiled
from mpidcl_kernels.base.types import Floats, Index


def logits_definition(z: Floats, block: Floats, heads: Index) -> Floats:
    """Logits [n, classes] of z [n, width]: z_i W_h^T + b_h with h = heads[i]."""
    own = block.astype(np.float64)[heads]
    logits: Floats = np.einsum("nw,ncw->nc", z.astype(np.float64), own[:, :, :-1]) + own[:, :, -1]
    return logits


def cross_entropy_definition(logits: Floats, y: Index) -> tuple[float, Floats]:
    """Mean of -log softmax(logits)_y over rows, and its gradient [n, classes] by the logits."""
    shifted = logits.astype(np.float64) - logits.max(1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
    rows = np.arange(len(y))
    slope = np.exp(log_p)
    slope[rows, y] -= 1
    return float(-log_p[rows, y].mean()), slope / len(y)


def gradients_definition(slope: Floats, z: Floats, block: Floats, heads: Index) -> tuple[Floats, Floats]:
    """Gradients by z [n, width] and by the block, from `slope [n, classes]`, that by the logits."""
    slope, wide = slope.astype(np.float64), np.hstack([z.astype(np.float64), np.ones((len(z), 1))])
    by_block = np.zeros(block.shape)
    np.add.at(by_block, heads, slope[:, :, None] * wide[:, None, :])
    return np.einsum("nc,ncw->nw", slope, block.astype(np.float64)[heads][:, :, :-1]), by_block


def add_rows_definition(into: Floats, rows: Index, values: Floats) -> Floats:
    """`into [n, c]` with values [m, c] added to its rows [m], one after the other."""
    added = into.astype(np.float64)
    np.add.at(added, rows, values.astype(np.float64))
    return added


def _inside(numbers, count):  # type: ignore[no-untyped-def]
    fits = True
    for i in range(numbers.size):
        fits &= (numbers[i] >= 0) & (numbers[i] < count)
    return fits


def _forward(z, block, heads, y, logits, slope):  # type: ignore[no-untyped-def]
    rows, width = z.shape
    loss = 0.0
    for i in range(rows):
        row, head = z[i], block[heads[i]]
        out, change = logits[i], slope[i]
        top = -np.inf
        for c in range(out.size):
            weights = head[c]
            total = weights[width]
            for k in range(width):
                total += row[k] * weights[k]
            out[c] = total
            top = max(top, float(total))
        norm = 0.0
        for c in range(out.size):
            norm += np.exp(float(out[c]) - top)
        for c in range(out.size):
            change[c] = np.exp(float(out[c]) - top) / norm / rows
        change[y[i]] -= 1.0 / rows
        loss += np.log(norm) + top - float(out[y[i]])
    return loss / rows


def _backward(slope, z, block, heads, by_z, by_block):  # type: ignore[no-untyped-def]
    rows, width = z.shape
    for i in range(rows):
        row, into = z[i], by_z[i]
        for c in range(slope.shape[1]):
            factor = slope[i, c]
            weights, change = block[heads[i], c], by_block[heads[i], c]
            for k in range(width):
                into[k] += factor * weights[k]
            for k in range(width):
                change[k] += factor * row[k]
            change[width] += factor


def _add_rows(into, rows, values):  # type: ignore[no-untyped-def]
    for i in range(rows.size):
        for c in range(into.shape[1]):
            into[rows[i], c] += values[i, c]


_add_rows_compiled = compiled(_add_rows)
_inside_compiled = compiled(_inside)  # of few numbers quicker than minimum and maximum of NumPy
_forward_compiled = compiled(_forward, reorder=True)
_backward_compiled = compiled(_backward)


def cross_entropy(z: Floats, block: Floats, heads: Index, y: Index) -> tuple[float, Floats, Floats]:
    """Mean cross-entropy of rows z [n, width] with labels y [n], each through its own head.

    Returns (loss, logits [n, classes], gradient by the logits [n, classes]). Raises ValueError when shapes,
    heads or labels do not fit the block.
    """
    _check(z, block, heads)
    if len(y) != len(z) or not len(y) or not _inside_compiled(y, block.shape[1]):
        raise ValueError(f"Labels should be {len(z)} numbers in 0..{block.shape[1] - 1}. Found {y}.")
    logits = np.empty((len(z), block.shape[1]), dtype=z.dtype)
    slope = np.empty_like(logits)
    return _forward_compiled(z, block, heads, y, logits, slope), logits, slope


def gradients(slope: Floats, z: Floats, block: Floats, heads: Index) -> tuple[Floats, Floats]:
    """Gradients by z [n, width] and by the block from `slope [n, classes]`. Raises as `cross_entropy`."""
    _check(z, block, heads)
    if slope.shape != (len(z), block.shape[1]):
        raise ValueError(f"`slope` should be {[len(z), block.shape[1]]}. Found {list(slope.shape)}.")
    by_z, by_block = np.zeros_like(z), np.zeros_like(block)
    _backward_compiled(slope, z, block, heads, by_z, by_block)
    return by_z, by_block


def add_rows(into: Floats, rows: Index, values: Floats) -> None:
    """Add values [m, c] to rows [m] of `into [n, c]`, in order; a row may come several times.

    torch's `index_add_` takes each row apart: 128 rows of 10 took it as long as a product with 100 x 100.
    Raises ValueError for shapes that do not fit, or rows that are not there.
    """
    if values.shape != (len(rows), into.shape[1]) or not _inside_compiled(rows, len(into)):
        raise ValueError(
            f"`values` should be {[len(rows), into.shape[1]]} and rows below {len(into)}."
            f" Found {list(values.shape)} and {rows}."
        )
    _add_rows_compiled(into, rows, values)


def _check(z: Floats, block: Floats, heads: Index) -> None:
    # The compiled loops do not check bounds: a wrong head would read and write outside the block.
    if z.shape[1] + 1 != block.shape[2] or z.dtype != block.dtype:
        raise ValueError(
            f"`z` should be {block.dtype} [n, {block.shape[2] - 1}]. Found {z.dtype} {list(z.shape)}."
        )
    if len(heads) != len(z) or not _inside_compiled(heads, len(block)):
        raise ValueError(f"Heads should be {len(z)} numbers in 0..{len(block) - 1}. Found {heads}.")


def warm() -> None:
    """Compile what learners call."""
    one, index = np.ones((1, 2), np.float32), np.zeros(1, np.int64)
    block = np.ones((1, 2, 3), np.float32)
    _, _, slope = cross_entropy(one, block, index, index)
    gradients(slope, one, block, index)
    add_rows(slope, index, slope)
