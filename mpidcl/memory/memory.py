"""What every memory is, and what a kind of `memory.policy` may be."""

from __future__ import annotations

from typing import ClassVar, Protocol

from mpidcl.base.state import State
from mpidcl.experiment.part import Part


class StoredRows(Protocol):
    """A memory, whatever decides which rows stay: `grouped.Memory` by row, `quota.QuotaMemory` by task."""

    def __len__(self) -> int:
        """Rows that it holds."""
        ...

    def state(self) -> State:
        """Rows, counts and generators."""
        ...

    def load(self, state: State) -> None:
        """Put back what `state` returned."""
        ...


class Keeping(Part):
    """Base of all rules by which rows stay."""

    room = "policy"
    takes_rows: ClassVar[str]
    """How rows come to it, for a message."""
    needs_classes: ClassVar[bool] = False
    """Whether rows have to come with their classes."""
