"""Combiners without an experiment: rows of gradients in, a direction out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from mpidcl.experiment.kinds import options_type, resolve
from mpidcl.learning.combiners.base import Combiner, Gradients
from mpidcl.network.requests import Mix
from mpidcl.randomness import EVERYBODY, numpy_generator
from mpidcl_kernels.base.arrays import unwrap
from mpidcl_kernels.base.errors import bad
from mpidcl_kernels.gram import BLOCK, combine_rows, gram_matrix
from mpidcl_kernels.simplex import on_host


def make(kind: str, **options: Any) -> Combiner:
    """A combiner by its name in the experiment file ("elastic", "upgrad" ...), with its options.

    Raises ExperimentError for an unknown name, pydantic's ValidationError for wrong options.

    >>> make("elastic", sigma="ones").options.sigma
    'ones'
    """
    combiner: Combiner = resolve("combiner", kind)(options_type("combiner", kind)(**options))
    return combiner


def combine(
    rows: Any,
    combiner: str | Combiner,
    *,
    losses: npt.ArrayLike | None = None,
    tasks: Sequence[int] | None = None,
    step: int = 0,
    seed: int = 0,
    **options: Any,
) -> Any:
    """One direction [p] from gradients `rows`: [n, p] or a list of n vectors [p], float32 or float64.

    rows: NumPy arrays or detached torch tensors; the result is what they are. The step to take is
    its negative. combiner: a name, with its `options`, or what `make` returned: methods that remember earlier
    steps need the same object at each, and the step's number. losses [n]: methods that compare them
    refuse to go without.
    tasks: number of each row's task, MEMORY (-1) for the memory, in the first row; by default 0 .. n - 1.
    seed: of what is drawn, with the step. A single row is returned as it is.

    Raises ValueError for other shapes and for NaN or Inf.

    >>> combine(np.array([[-4.0, 1.0, 1.0], [6.0, 1.0, 1.0]]), "upgrad").round(4)
    array([0.2924, 1.9006, 1.9006])
    """
    found = make(combiner, **options) if isinstance(combiner, str) else combiner
    if options and found is combiner:
        raise bad("options", "given to `make`, when `combiner` is an object", sorted(options))
    gradients = _gradients(rows, losses, tasks, numpy_generator(seed, EVERYBODY, f"combiner {step}"), step)
    if len(gradients) == 1:
        return combine_rows(rows, [1.0])
    mix = found.mix(gradients)
    return combine_rows(rows, found.weights(gradients)) if mix is None else _mixed(rows, mix)


def _gradients(
    rows: Any, losses: npt.ArrayLike | None, tasks: Sequence[int] | None, rng: np.random.Generator, step: int
) -> Gradients:
    gram = on_host(unwrap(gram=gram_matrix(rows))[0][0], "gram")
    n = len(gram)
    for i in np.flatnonzero(~np.isfinite(gram.diagonal())):
        raise bad("rows", "finite", f"NaN, Inf or an overflow in row {i}")
    numbers = tuple(range(n)) if tasks is None else tuple(int(task) for task in tasks)
    values = np.full(n, np.nan) if losses is None else np.asarray(losses, np.float64)
    if n == 0 or len(numbers) != n or len(set(numbers)) != n or values.shape != (n,):
        shapes = f"{n} rows, {len(set(numbers))} tasks, losses of shape {list(values.shape)}"
        raise bad("rows", "at least one row, with a task of its own and a loss each", shapes)
    return Gradients(step, numbers, gram, values, rng)


def _mixed(rows: Any, mix: Mix) -> Any:
    """The direction by a rule per coordinate, in the blocks that ranks would share."""
    vectors = [unwrap(rows=row)[0][0] for row in rows]
    out = np.empty_like(vectors[0])
    for start in range(0, len(out), BLOCK):
        stop = start + BLOCK
        out[start:stop] = mix([vector[start:stop] for vector in vectors], start)
    return unwrap(rows=rows[0])[1].wrap(out)
