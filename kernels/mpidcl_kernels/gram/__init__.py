"""Similarity of gradients and their combination: Gram matrix, cosines, weighted sum of rows.

A Gram matrix G = R R' of n rows of p columns is all that MGDA, elastic and most other combiners need to find
their weights; the direction is then the sum of weights_i rows_i. Both read every row once.

All sums are float64: a product of two float32 is exact there. Columns are cut into blocks, and the blocks'
matrices are added in order, so neither the number of threads nor how blocks are spread over processes changes
a bit.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import overload

import numpy as np
import numpy.typing as npt

from mpidcl_kernels.base.arrays import unwrap, view, where
from mpidcl_kernels.base.checks import whole
from mpidcl_kernels.base.errors import bad, bad_type
from mpidcl_kernels.base.types import Array, ArrayModule, ArrayT, Floats, FloatT, View
from mpidcl_kernels.gram import cpu
from mpidcl_kernels.gram.rows import Rows, check_dtype, take

Matrix = npt.NDArray[np.float64]
BLOCK = 65536
"""Columns per block, unless the caller says otherwise."""


# --- definitions ------------------------------------------------------------------------------------


def gram_matrix_definition(rows: npt.ArrayLike) -> Matrix:
    """Gram matrix [n, n] of rows [n, p]: G_ij = sum_k rows_ik rows_jk.

    >>> gram_matrix_definition([[1.0, 2.0], [3.0, 4.0]]).tolist()
    [[5.0, 11.0], [11.0, 25.0]]
    """
    wide = np.asarray(rows, np.float64)
    product: Matrix = wide @ wide.T
    return product


def gram_blocks_definition(rows: npt.ArrayLike, block: int = BLOCK) -> Matrix:
    """Gram matrices [blocks, n, n] of columns 0 .. block, block .. 2 block, ...; the last may be shorter."""
    wide = np.asarray(rows, np.float64)
    parts = [wide[:, first : first + block] for first in range(0, wide.shape[1], block)]
    blocks: Matrix = np.array([part @ part.T for part in parts]).reshape(len(parts), len(wide), len(wide))
    return blocks


def cosine_matrix_definition(gram: npt.ArrayLike) -> Matrix:
    """Cosines [n, n] of the rows whose Gram matrix is given: G_ij / sqrt(G_ii G_jj), 0 for a zero row."""
    wide = np.asarray(gram, np.float64)
    length = np.sqrt(wide.diagonal())
    lengths = np.outer(length, length)
    cosines: Matrix = np.divide(wide, lengths, out=np.zeros_like(wide), where=lengths != 0)
    return cosines


def combine_rows_definition(rows: npt.ArrayLike, weights: npt.ArrayLike) -> Floats:
    """Sum over i of weights_i rows_i, [p] from rows [n, p]: added in row order in float64, rounded once."""
    rows = np.asarray(rows)
    total = np.zeros(rows.shape[1])
    for weight, row in zip(np.asarray(weights, np.float64), rows, strict=True):
        total = total + weight * row.astype(np.float64)
    return total.astype(rows.dtype)


# --- public functions -------------------------------------------------------------------------------


@overload
def gram_matrix(rows: View | Sequence[View], out: View | None = None) -> Matrix: ...
@overload
def gram_matrix(rows: ArrayT | Sequence[ArrayT], out: ArrayT | None = None) -> ArrayT: ...
def gram_matrix(rows: Array | Sequence[Array], out: Array | None = None) -> Array:
    """Gram matrix [n, n] float64 of `rows`: [n, p] float32 or float64, or a list of n vectors [p].

    Rows are read in place; only rows whose elements are not adjacent in memory are copied, a block at a time.
    The result is symmetric, and it is `gram_blocks(rows)` added in order, bit for bit, on any number of
    threads. NaN and Inf reach the elements of the rows that they are in. `out` [n, n] float64 is written and
    returned. Raises TypeError for other dtypes or different devices, ValueError for other shapes.

    >>> gram_matrix(np.array([[1.0, 2.0], [3.0, 4.0]], np.float32)).tolist()
    [[5.0, 11.0], [11.0, 25.0]]
    """
    found, (target,), home = take(rows, out=out)
    _check_out(target, (found.n, found.n), np.dtype(np.float64))
    with home.stream():
        if home.device is None:
            result = cpu.gram_matrix(found, BLOCK)
        else:
            from mpidcl_kernels.gram import cuda

            result = cuda.gram_matrix(home.device, found, BLOCK)
        if target is not None:
            target[...] = result
    return home.wrap(result) if out is None else out


@overload
def gram_blocks(rows: View | Sequence[View], block: int = BLOCK) -> Matrix: ...
@overload
def gram_blocks(rows: ArrayT | Sequence[ArrayT], block: int = BLOCK) -> ArrayT: ...
def gram_blocks(rows: Array | Sequence[Array], block: int = BLOCK) -> Array:
    """Gram matrices [blocks, n, n] float64 of columns 0 .. block, block .. 2 block, ... of `rows`.

    Processes that own whole blocks find the same bits as one that owns all. The last block may be shorter.
    Rows as for `gram_matrix`. Raises ValueError when `block` is below 1.
    """
    block = whole("block", block)
    if block < 1:
        raise bad("block", "at least 1", block)
    found, _, home = take(rows)
    if home.device is None:
        return home.wrap(cpu.gram_blocks(found, block, 0, -(-found.p // block)))
    from mpidcl_kernels.gram import cuda

    with home.stream():
        return home.wrap(cuda.gram_blocks(home.device, found, block))


@overload
def cosine_matrix(gram: View) -> Matrix: ...
@overload
def cosine_matrix(gram: ArrayT) -> ArrayT: ...
def cosine_matrix(gram: Array) -> Array:
    """Cosines [n, n] float64 between the rows whose Gram matrix [n, n] is given; zero rows give zeros.

    Within -1 .. 1, and 1 on the diagonal of other rows, whatever was rounded. NaN stays. Raises ValueError
    when `gram` is not square, TypeError when it is not float32 or float64.

    >>> cosine_matrix(np.array([[4.0, 2.0, 0.0], [2.0, 4.0, 0.0], [0.0, 0.0, 0.0]])).tolist()
    [[1.0, 0.5, 0.0], [0.5, 1.0, 0.0], [0.0, 0.0, 0.0]]
    """
    (matrix,), home = unwrap(gram=gram)
    check_dtype("gram", matrix.dtype)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        raise bad("gram", "a square matrix", list(matrix.shape))
    with home.stream(), np.errstate(invalid="ignore", over="ignore"):
        return home.wrap(_cosines(np if home.device is None else home.device.xp, matrix.astype(np.float64)))


def _cosines(xp: ArrayModule, gram: View) -> View:
    square = xp.diagonal(gram)
    zero = square == 0
    # Divided twice: the product of two lengths may be 0 or Inf where the cosine is neither.
    length = xp.sqrt(xp.where(zero, 1.0, square))
    cosines = xp.clip(gram / length[:, None] / length[None, :], -1.0, 1.0)
    own = xp.where(xp.isfinite(length), 1.0, xp.nan)
    cosines = xp.where(xp.eye(len(gram), dtype=bool), own[:, None], cosines)
    return xp.where(zero[:, None] | zero[None, :], 0.0, cosines)


@overload
def combine_rows(
    rows: npt.NDArray[FloatT] | Sequence[npt.NDArray[FloatT]],
    weights: Array | Sequence[float],
    out: npt.NDArray[FloatT] | None = None,
) -> npt.NDArray[FloatT]: ...
@overload
def combine_rows(
    rows: ArrayT | Sequence[ArrayT], weights: Array | Sequence[float], out: ArrayT | None = None
) -> ArrayT: ...
def combine_rows(
    rows: Array | Sequence[Array], weights: Array | Sequence[float], out: Array | None = None
) -> Array:
    """Sum over i of weights_i rows_i, [p] of the rows' dtype: in row order in float64, rounded once.

    Rows as for `gram_matrix`. `weights` [n] is a list or an array, which may be on the CPU for rows on a GPU,
    too. 0 times Inf is NaN, as everywhere. `out` [p] is written and returned; it may be one of the rows.
    Raises TypeError for other dtypes or different devices, ValueError for other shapes.

    >>> combine_rows(np.array([[1.0, 2.0], [3.0, 4.0]]), [0.5, 2.0]).tolist()
    [6.5, 9.0]
    """
    found, (target,), home = take(rows, out=out)
    _check_out(target, (found.p,), found.dtype)
    with home.stream():
        factors = _weights(weights, found)
        if home.device is None:
            result = cpu.combine_rows(found, factors, target)
        else:
            from mpidcl_kernels.gram import cuda

            result = cuda.combine_rows(home.device, found, factors, target)
    return home.wrap(result) if out is None else out


def _check_out(out: View | None, shape: tuple[int, ...], dtype: np.dtype[np.generic]) -> None:
    if out is None:
        return
    if out.dtype != dtype:
        raise bad_type("out", str(dtype), out.dtype)
    if out.shape != shape:
        raise bad("out", f"of shape {list(shape)}", list(out.shape))
    if isinstance(out, np.ndarray) and not out.flags.writeable:
        raise bad("out", "an array that may be written", "a read-only one")


def _weights(weights: Array | Sequence[float], rows: Rows) -> Matrix:
    """`weights` as a float64 copy [n], on the device where they are: the CPU, or that of the rows."""
    listed = isinstance(weights, list | tuple)
    try:
        found = np.array(weights, np.float64) if listed else view(weights, "weights")
    except ValueError:
        raise bad("weights", f"{rows.n} numbers, one for each row", weights) from None
    check_dtype("weights", found.dtype)
    if found.shape != (rows.n,):
        raise bad("weights", f"of shape [{rows.n}], one for each row", list(found.shape))
    if rows.n and where(found) not in ("the CPU", where(rows.views[0])):
        raise bad_type("weights", f"on {where(rows.views[0])}, like `rows`", f"it on {where(found)}")
    return found.astype(np.float64)


def warm() -> None:
    """Compile what runs call: rows of float32."""
    one = np.ones((1, 2), np.float32)
    cpu.gram_matrix(take(one)[0], block=1)  # two blocks: with one there is nothing to add
    combine_rows(one, [1.0])
