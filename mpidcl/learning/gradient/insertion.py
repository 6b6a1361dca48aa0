"""How rows come into the memory: those of a task when it ends, or those of every batch after its steps."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from mpidcl.errors import ExperimentError
from mpidcl.experiment import kinds
from mpidcl.learning.batches import Batch, Prepared
from mpidcl.learning.gradient.answers import BASIC
from mpidcl.learning.terms.base import Term
from mpidcl.memory.buffer import Column

if TYPE_CHECKING:
    from mpidcl.learning.gradient.learner import GradientLearner

Places = NDArray[np.int64]


def columns_of(terms: Sequence[Term]) -> list[Column]:
    """The columns of all terms; two terms may have one in common.

    Raises ExperimentError for a name that is taken, and for two columns of one name that differ.
    """
    found: dict[str, tuple[Column, Term]] = {}
    for term in terms:
        for column in term.columns():
            known, owner = found.setdefault(column.name, (column, term))
            if column.name in BASIC or known != column:
                held = "every memory" if column.name in BASIC else f'the term "{owner.name}", as {known}'
                raise ExperimentError(
                    f'The column `{column.name}` of the term "{term.name}" should have a name of its own.'
                    f" Found it in {held}. Rename it."
                )
    return [column for column, _ in found.values()]


def _checked(term: Term, values: Mapping[str, torch.Tensor], rows: int) -> Mapping[str, torch.Tensor]:
    """The values of a term for so many rows. Raises ExperimentError where they are not those it declares."""
    wanted = {column.name: (rows, *column.shape) for column in term.columns()}
    found = {name: tuple(one.shape) for name, one in values.items()}
    if found != wanted:
        raise ExperimentError(
            f'`values` of the term "{term.name}" ({type(term).__name__}) should give the columns declared,'
            f" {wanted}. Found {found}."
        )
    return values


def _check_room(learner: GradientLearner) -> None:
    """Raises ExperimentError where a memory for all rows has no row for every class that may come."""
    stream, shape, most = learner.experiment.stream, learner.shape, learner.memory.most
    planned = kinds.resolve("stream", stream.kind).planned(stream.options)
    drawn = (planned.tasks or 0) * (planned.classes or 0)
    classes = min(drawn or math.inf, shape.heads * shape.classes_per_head)
    if most is not None and most < classes:
        raise ExperimentError(
            f"[memory] capacity should have room for at least {classes} rows, one of each class that may"
            f' come, with policy = "{learner.experiment.memory.policy}". Found "{learner.memory.capacity}",'
            f" which is room for {most}. Raise it."
        )


class Insertion:
    """Offers rows to the memory of a learner, with the columns that terms declare, if they are read."""

    def __init__(self, learner: GradientLearner) -> None:
        self._learner = learner
        added = any(term.reads_memory for term in learner.terms)  # some by an exchange, not in the file
        self._read = added or learner.remembers(learner.experiment)
        self._owners = [term for term in learner.terms if term.columns()]
        if learner.memory.policy.by_features:
            _check_room(learner)

    def task(self, u: int) -> None:
        """Offer all training rows of task u, or let the policy choose among them by their encodings."""
        if not self._read:
            return
        learner = self._learner
        rows, task = learner.tasks.training(u), learner.seen[u]
        columns: dict[str, NDArray[Any]] = {"x": task.train.x()}
        if learner.model.prepares:
            columns["z"] = rows.z.cpu().numpy()
        columns |= self._measured(rows)
        y = rows.y.cpu().numpy()
        if learner.memory.policy.by_features:
            learner.memory.select(u, task.head, y, columns, partial(self._features, u))
        else:
            learner.memory.push(u, task.head, y, columns)

    def _features(self, u: int, rows: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
        """Encodings [n, width] of rows of the memory, of the head of task u."""
        learner = self._learner
        with learner.counted(("features", u, len(rows["y"]))):
            return learner.features(rows["x"], u)

    def step(self, batch: Batch) -> None:
        """Offer those rows of a batch that are training rows, after its last step."""
        if not self._read:
            return
        learner, pool, index = self._learner, batch.pool, batch.index
        assert pool is not None and index is not None
        y = batch.y[: len(index)].cpu().numpy()
        for u, places, rows in pool.by_task(index):
            give = partial(self._columns, batch, u, places, rows)
            learner.memory.offer(u, learner.seen[u].head, y[places], give)

    def _columns(
        self, batch: Batch, u: int, places: Places, rows: Places, kept: Places
    ) -> dict[str, NDArray[np.generic]]:
        """The columns of some training rows of task u in a batch: those `kept [m]` of the ones at `places`.

        `rows` are their numbers in the task. They are as they came, and not as they were augmented.
        """
        learner, pool, index = self._learner, batch.pool, batch.index
        assert pool is not None and index is not None
        mine = places[kept]
        z = pool.rows.z.index_select(0, torch.from_numpy(index[mine]).to(batch.z.device)).cpu().numpy()
        if learner.model.prepares:
            columns = {"x": learner.seen[u].train.part(rows[kept]).x(), "z": z}
        else:
            columns = {"x": z.reshape(len(z), *learner.shape.input_shape)}
        return columns | {name: values[mine] for name, values in self._values(batch).items()}

    def _values(self, batch: Batch) -> dict[str, NDArray[np.generic]]:
        """The columns of all terms for the rows of a batch that was encoded."""
        found: dict[str, NDArray[np.generic]] = {}
        for term in self._owners:
            for name, values in _checked(term, term.values(batch), len(batch)).items():
                found.setdefault(name, values.detach().cpu().numpy())
        return found

    def _measured(self, rows: Prepared) -> dict[str, NDArray[np.generic]]:
        """The columns of all terms for rows of one task, under the model as it is now, in eval mode."""
        if not self._owners:
            return {}
        learner, parts = self._learner, []
        learner.model.eval()
        heads = np.zeros(learner.shape.heads, dtype=np.bool_)
        with torch.no_grad():
            for index in torch.split(
                torch.arange(len(rows), device=rows.y.device), learner.model.rows_at_once
            ):
                part = rows.take(index)
                batch = Batch(part.z, part.y, part.heads, heads.copy())
                batch.encoded = learner.model.encode_rows(part.z, part.heads)
                batch.logits = learner.model.logits(batch.encoded, part.heads)
                parts.append(self._values(batch))
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
