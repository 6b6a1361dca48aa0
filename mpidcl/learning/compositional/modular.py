"""What agents know of each other's modules: where one came from, and what travels with it."""

from __future__ import annotations

from dataclasses import dataclass
from math import nan
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a candidate's first weights came from.

    `source`: the agent, -1 for weights drawn at random; `task` and `module`: its task that added the
    module, and the module's number there; `similarity`: of that task to the one learned now, as reported.
    """

    source: int = -1
    task: int = -1
    module: int = -1
    similarity: float = nan

    def as_dict(self) -> dict[str, Any]:
        """As a checkpoint holds it."""
        return {name: getattr(self, name) for name in self.__slots__}

    @classmethod
    def from_dict(cls, saved: dict[str, Any]) -> Origin:
        """What `as_dict` gave."""
        whole = {name: int(saved[name]) for name in ("source", "task", "module")}
        return cls(similarity=float(saved["similarity"]), **whole)


@dataclass(frozen=True, slots=True)
class ForeignModule:
    """A neighbour's module, and how the neighbour used it.

    `weights [module floats]`; `head [classes, width + 1]` in the receiver's order of labels;
    `structure [depth + 1, depth]`: logits of the basis modules' rows, then the module's own row.
    """

    origin: Origin
    weights: Floats
    head: Floats | None = None
    structure: Floats | None = None


class AddedModule(NamedTuple):
    """A task that kept its candidate, and the number of that module."""

    task: int
    module: int
