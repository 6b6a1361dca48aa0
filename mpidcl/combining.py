"""Gradients of all ranks of your own program combined into one direction, with the traffic of one allreduce.

combination = Combination(MPI.COMM_WORLD, "elastic")
...
direction = combination.direction(gradient, loss)   # on every rank, the same bits
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, TypeVar, overload

import numpy as np
from numpy.typing import NDArray

from mpidcl.base.arrays import Placed, on_host
from mpidcl.base.closing import Closing
from mpidcl.errors import CombineError
from mpidcl.learning.combiners import Combiner, Gradients, make
from mpidcl.learning.combiners.base import rule_of
from mpidcl.network.requests import Combine, Compare, Compared, Gather, Mix, Row
from mpidcl.randomness import EVERYBODY, numpy_generator

Vector = NDArray[np.float32]
Doubles = NDArray[np.float64]
V = TypeVar("V", bound="Placed")
Given: TypeAlias = "V | Mapping[int, V]"
"""A rank's gradient, or several by their tasks."""
Losses = float | Mapping[int, float] | None


@dataclass(frozen=True)
class Step:
    """What was combined last, the same on every rank.

    tasks [n] and the ranks [n] that hold their gradients, in order of task; gram [n, n] and losses [n]
    float64; weights [n]: 0 for a gradient that was left out, None where a rule per coordinate was used.
    """

    number: int
    tasks: tuple[int, ...]
    ranks: tuple[int, ...]
    gram: Doubles
    losses: Doubles
    weights: Doubles | None


class Combination(Closing):
    """Combines the gradients that the ranks of `comm` found for one shared model, step after step.

    comm: an mpi4py communicator. combiner: a name with its `options`, or an object (docs/combiners.md); every
    rank gives the same. seed: of what is drawn. deadline: seconds without any arrival until a DeadlockError.
    not_finite: whether a gradient with NaN or Inf ends the step with an error, or is left out of it.

    Constructing and closing it is collective. Every rank calls `direction` at every step.
    """

    def __init__(
        self,
        comm: Any,
        combiner: str | Combiner = "elastic",
        *,
        seed: int = 0,
        deadline: float = 3600.0,
        not_finite: Literal["stop", "skip"] = "stop",
        **options: object,
    ) -> None:
        from mpidcl.network.mpi.asking import MpiRequests

        if options and not isinstance(combiner, str):
            raise TypeError(f"options should be given with a combiner's name. Found {sorted(options)}.")
        self.combiner = make(combiner, **options) if isinstance(combiner, str) else combiner
        self.last: Step | None = None
        self._requests = MpiRequests(comm, deadline)
        self._seed, self._skip = seed, not_finite == "skip"
        self._steps = 0

    @overload
    def direction(self, gradients: Given[V], losses: Losses = None, out: None = None) -> V: ...
    @overload
    def direction(self, gradients: None, losses: Losses = None, out: None = None) -> Vector: ...
    @overload
    def direction(self, gradients: Given[Placed] | None, losses: Losses = None, *, out: V) -> V: ...
    def direction(
        self, gradients: Given[Placed] | None, losses: Losses = None, out: Placed | None = None
    ) -> Placed:
        """The direction [p] of all ranks' gradients, the same bits on every rank; the step is its negative.

        gradients: a vector [p] float32 (NumPy or torch), which stands for task number `rank`; or several as
        {task: vector}, where -1 is the memory; or None on a rank that has none. A task belongs to one rank.
        losses: the loss of each, for combiners that use it. out [p] float32 is written and returned; without
        it the result is a new vector like the gradients, NumPy on a rank without any.

        Raises CombineError, on every rank that sees it, when the gradients do not fit together.
        """
        mine = _by_task(gradients, self._requests.rank)
        step, when = self._steps, f"step {self._steps}"
        self._steps += 1
        tasks, ranks, values = self._everybody(when, step, mine, losses)
        own = [Row(tasks.index(task), _host(vector), _NO_FACTS) for task, vector in sorted(mine.items())]
        compared = self._requests.ask(Compare(when, step, ranks, tuple(own)))
        kept = self._kept(when, compared, tasks, ranks)
        rule = self._weigh(step, tasks, compared, values, kept)
        self.last = Step(step, tasks, ranks, compared.gram, values, None if callable(rule) else rule)
        target = _target(out, self._requests.together.floats or 0)
        self._requests.ask(Combine(when, step, rule, target))
        return _like(mine, target) if out is None else out

    @property
    def sent_bytes(self) -> int:
        """Bytes that this rank has handed to MPI so far."""
        return self._requests.together.sent_bytes

    def close(self) -> None:
        """Free the communicator. Collective."""
        self._requests.close()

    def _everybody(
        self, when: str, step: int, mine: dict[int, Placed], losses: Losses
    ) -> tuple[tuple[int, ...], tuple[int, ...], Doubles]:
        """Tasks, ranks and losses of all gradients of the step, in order of task."""
        known = losses if isinstance(losses, Mapping) else dict.fromkeys(mine, losses)
        told = [(task, known.get(task)) for task in sorted(mine)]
        table = [(task, np.nan if loss is None else float(loss)) for task, loss in told]
        tables = self._requests.ask(Gather(when, step, np.array(table, np.float64).reshape(-1, 2)))
        rows = sorted((int(t), rank, loss) for rank, part in enumerate(tables) for t, loss in part)
        tasks, ranks, values = (tuple(row[i] for row in rows) for i in range(3))
        for first, second in zip(rows, rows[1:], strict=False):
            if first[0] == second[0]:
                raise CombineError(
                    f"{when}: a task should belong to one rank. Found task {first[0]} on ranks {first[1]} "
                    f"and {second[1]}."
                )
        return tasks, ranks, np.array(values, np.float64)

    def _kept(
        self, when: str, compared: Compared, tasks: tuple[int, ...], ranks: tuple[int, ...]
    ) -> NDArray[np.intp]:
        finite = np.isfinite(compared.gram.diagonal())
        if not finite.all() and not self._skip:
            place = int(np.flatnonzero(~finite)[0])
            raise CombineError(
                f"{when}: all gradients should be finite. Found NaN or Inf in that of task {tasks[place]} "
                f'on rank {ranks[place]}. not_finite="skip" leaves such gradients out.'
            )
        return np.flatnonzero(finite)

    def _weigh(
        self, step: int, tasks: tuple[int, ...], compared: Compared, losses: Doubles, kept: NDArray[np.intp]
    ) -> Doubles | Mix:
        """Weights [n] of all gradients, or a rule per coordinate."""
        rng = numpy_generator(self._seed, EVERYBODY, f"combiner {step}")
        gram = compared.gram[np.ix_(kept, kept)]
        known = Gradients(step, tuple(tasks[i] for i in kept), gram, losses[kept], rng)
        return rule_of(self.combiner, known, kept.tolist(), len(tasks))


_NO_FACTS = np.zeros(0, np.float32)


def _by_task(gradients: Given[Placed] | None, rank: int) -> dict[int, Placed]:
    if gradients is None:
        return {}
    return dict(gradients) if isinstance(gradients, Mapping) else {rank: gradients}


def _host(vector: Placed) -> Vector:
    """A NumPy vector of the host; torch tensors on the CPU are not copied."""
    array: Vector = on_host(vector)
    return array


def _target(out: Placed | None, floats: int) -> Vector:
    if out is None:
        return np.empty(floats, np.float32)
    if not isinstance(out, np.ndarray) and hasattr(out, "detach") and out.device.type != "cpu":
        raise CombineError(f"out should be on the CPU. Found it on {out.device}: leave it away.")
    return _host(out)


def _like(mine: dict[int, Placed], result: Vector) -> Placed:
    """The result as what the gradients are."""
    first = next(iter(mine.values()), None)
    if not hasattr(first, "detach"):
        return result
    import torch

    return torch.from_numpy(result).to(first.device)  # type: ignore[union-attr]
