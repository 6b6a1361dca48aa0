"""Models made of modules in soft order: each task mixes all its modules at each depth, in its own way.

    X(0) = input(x);  X(k+1) = sum_j softmax_j(S_t[:, k]) f_j(X(k)), k = 0 .. depth - 1;  y = head_t(X(depth))

"Distributed Continual Learning" (arXiv 2405.17466), after Mendez and Eaton 2021 (arXiv 2007.07732). The
first `depth` modules are the basis; later ones are added while the agent learns. A module is one block
[outputs, inputs + 1] whose last column is the bias, so that all modules together are one matrix and a
module is one contiguous piece of the flat parameters. Room for all of them is made once; growing means
that one more piece is used.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field
from torch import Tensor, nn

from mpidcl.base.shape import Shape
from mpidcl.base.state import State
from mpidcl.errors import ExperimentError
from mpidcl.experiment.options import Options
from mpidcl.model.base import MOST_DEPTH, Chance, Model
from mpidcl.model.flat import Placement
from mpidcl.model.layers import uniform

NO_MODULE = -1


class CompositionalOptions(Options):
    """Options that all compositional models have."""

    depth: int = Field(
        4, ge=1, le=MOST_DEPTH, description="times that modules are applied; also how many the basis has"
    )
    dropout: float = Field(0.5, ge=0, lt=1, description="share of units dropped after a module")
    basis_dropout: bool = Field(False, description="dropout after modules of the basis, too")


class Run(NamedTuple):
    """Modules `first .. last - 1`, which lie one after the other."""

    first: int
    last: int


class Plan(NamedTuple):
    """Which modules a pass uses at each depth, and which of them learn.

    `layers[k]`: runs of modules. `soft`: the modules of a depth are mixed by the softmax of the task's
    logits, the same modules at each depth; else each depth has one module, of weight 1. `learning`: the
    modules whose gradients are wanted, None for none. `structure`: whether the logits learn.
    """

    head: int
    layers: tuple[tuple[Run, ...], ...]
    soft: bool
    learning: Run | None
    structure: bool


def overlap(run: Run, other: Run | None) -> Run:
    """The modules that are in both; an empty run where there are none."""
    if other is None:
        return Run(0, 0)
    both = Run(max(run.first, other.first), min(run.last, other.last))
    return both if both.first < both.last else Run(0, 0)


class Compositional(Model):
    """Base of the compositional models. A subclass says what a module is (`layer`), what it computes
    (`_encode`), and how many operations it takes for one row at each depth (`module_flops [depth]`).

    `kept`: modules that stay, the basis included; `seen[u]`: how many of them task u uses; `active`: the
    candidate that the tasks `trial` see beside their own modules, None for none. `learning` says which
    modules get gradients: "all", "candidate" or "none"; structures get some unless it is "all".
    """

    options: CompositionalOptions
    layer: ClassVar[str]
    module_flops: list[int]

    def __init__(self, options: CompositionalOptions, shape: Shape, chance: Chance) -> None:
        super().__init__(options, shape, chance)
        if shape.incremental != "task":
            raise ExperimentError(
                'stream.incremental should be "task" for a compositional model: each task has its own order'
                f' of modules, and its number must be known. Found "{shape.incremental}".'
            )
        self.depth: int = options.depth
        self.kept = self.depth
        self.seen = np.zeros(shape.heads, dtype=np.int64)
        self.orders = np.full((shape.heads, self.depth), NO_MODULE, dtype=np.int64)
        self.active: int | None = None
        self.trial: tuple[int, ...] = ()
        self.learning = "all"

    def _make_modules(self, outputs: int, inputs: int, chance: Chance) -> None:
        """The basis, and no room for others yet."""
        self.module_shape = (outputs, inputs + 1)
        self.basis = uniform((self.depth, *self.module_shape), inputs, chance.own)
        self.structures = nn.Parameter(torch.ones(len(self.seen), self.depth, self.depth))

    def reserve(self, modules: int) -> None:
        """Make room for `modules` beside the basis; before `flatten`."""
        if modules:
            self.added = nn.Parameter(torch.zeros(modules, *self.module_shape))
            self.structures = nn.Parameter(torch.ones(len(self.seen), self.depth + modules, self.depth))

    @property
    def places(self) -> int:
        """How many modules there is room for, the basis included."""
        return self.structures.shape[1]

    def place(self, name: str) -> Placement:
        if name == "basis":
            return Placement("shared", self.depth)
        if name == "added":
            return Placement("modules", len(self.added))
        if name == "structures":
            return Placement("structures", len(self.structures))
        return super().place(name)

    # --- which modules a task uses --------------------------------------------------------------

    def set_order(self, task: int, modules: npt.NDArray[np.int64]) -> None:
        """Task `task` applies the basis module `modules[k]` at depth k, and no other."""
        self.orders[task] = modules
        self.seen[task] = self.depth

    def open_task(self, task: int) -> None:
        """A new task: it sees all modules kept so far, to equal parts."""
        self.seen[task] = self.kept
        with torch.no_grad():
            self.structures[task].fill_(1.0)

    def plan(self, task: int) -> Plan:
        """What a pass for `task` does now."""
        order, whole = self.orders[task], Run(0, self.places)
        if order[0] != NO_MODULE:
            layers = tuple((Run(module, module + 1),) for module in order.tolist())
            return Plan(task, layers, False, whole if self.learning == "all" else None, False)
        active = self.active if task in self.trial else None
        runs = self._runs(int(self.seen[task]), active)
        candidate = None if active is None or self.learning == "none" else Run(active, active + 1)
        learning = whole if self.learning == "all" else candidate
        return Plan(task, (runs,) * self.depth, True, learning, self.learning != "all")

    def _runs(self, seen: int, active: int | None) -> tuple[Run, ...]:
        if active is None:
            return (Run(0, seen),)
        return (Run(0, active + 1),) if active == seen else (Run(0, seen), Run(active, active + 1))

    def weights_of(self, plan: Plan) -> Tensor | None:
        """Softmax weights [modules, depth] of the modules of a plan's runs; None where all are 1."""
        if not plan.soft:
            return None
        own = self.structures[plan.head]
        parts = [own[run.first : run.last] for run in plan.layers[0]]
        return torch.softmax(parts[0] if len(parts) == 1 else torch.cat(parts), 0)

    def used(self, task: int) -> npt.NDArray[np.int64]:
        """Numbers of the modules that take part in a pass for `task`."""
        runs = {run for layer in self.plan(task).layers for run in layer}
        return np.unique(np.concatenate([np.arange(*run) for run in sorted(runs)]))

    def logits_of(self, task: int) -> Tensor:
        """Logits [modules kept, depth] of the structure of `task`, -inf where it does not look."""
        logits = torch.full((self.kept, self.depth), -torch.inf)
        if self.orders[task, 0] != NO_MODULE:
            logits[self.orders[task], torch.arange(self.depth)] = 1.0
        else:
            seen = int(self.seen[task])
            logits[:seen] = self.structures[task, :seen].detach().cpu()
        return logits

    def shares(self, tasks: int) -> npt.NDArray[np.float64]:
        """Share of each module in each layer of the first tasks `[tasks, modules kept, depth]`; 0: hidden."""
        if not tasks:
            return np.zeros((0, self.kept, self.depth))
        logits = [self.logits_of(task).double() for task in range(tasks)]
        found: npt.NDArray[np.float64] = torch.softmax(torch.stack(logits), 1).numpy()
        return found

    # --- passes ---------------------------------------------------------------------------------

    def encode(self, z: Tensor) -> Tensor:
        raise NotImplementedError("A compositional model encodes rows of a task: call encode_rows.")

    def encode_rows(self, z: Tensor, heads: Tensor | int) -> Tensor:
        if isinstance(heads, int):
            return self._encode(z, self.plan(heads))
        different = torch.unique(heads).tolist()
        if len(different) == 1:
            return self._encode(z, self.plan(different[0]))
        rows = [torch.nonzero(heads == task).squeeze(1) for task in different]
        parts = [
            self._encode(z.index_select(0, own), self.plan(task))
            for task, own in zip(different, rows, strict=True)
        ]
        return torch.cat(parts).index_select(0, torch.argsort(torch.cat(rows)))

    def flops(self, task: int, rows: int, training: bool) -> int:
        """Operations of encoding `rows` rows of a task, a multiply-add as two; with gradients if training."""
        plan, total = self.plan(task), 0
        for depth, runs in enumerate(plan.layers):
            used = sum(run.last - run.first for run in runs)
            learn = sum(run.last - run.first for run in (overlap(own, plan.learning) for own in runs))
            passes = used + (used * (depth > 0) + learn) * training
            total += passes * rows * self.module_flops[depth]
        return total

    @abstractmethod
    def _encode(self, z: Tensor, plan: Plan) -> Tensor:
        """Encodings [n, width] of prepared rows z, all of one task."""

    def all_modules(self) -> Tensor:
        """Blocks [places, outputs, inputs + 1] of all modules, as parameters."""
        return torch.cat([self.basis, self.added]) if hasattr(self, "added") else self.basis

    def all_weights(self) -> Tensor:
        """Softmax weights [heads, places, depth] of all tasks; exactly 0 where a task does not look."""
        hidden = torch.ones(self.structures.shape, dtype=torch.bool)
        for task, order in enumerate(self.orders):
            if order[0] != NO_MODULE:
                hidden[task, order, torch.arange(self.depth)] = False
                continue
            hidden[task, : int(self.seen[task]) or self.depth] = False
            if task in self.trial and self.active is not None:
                hidden[task, self.active] = False
        masked = self.structures.masked_fill(hidden.to(self.structures.device), -torch.inf)
        return torch.softmax(masked, 1)

    def weights_at(self, head: Tensor) -> Tensor:
        """The same [places, depth] of one task, whose number may differ from sample to sample (`vmap`)."""
        return self.all_weights().index_select(0, head.reshape(1)).squeeze(0)

    # --- single modules -------------------------------------------------------------------------

    def module(self, number: int) -> Tensor:
        """The block [outputs, inputs + 1] of a module: the parameters themselves, without gradient."""
        if number < self.depth:
            return self.basis.detach()[number]
        return self.added.detach()[number - self.depth]

    def facts(self) -> dict[str, object]:
        """What neighbours compare before they give each other modules."""
        shape = {"layer": self.layer, "module": list(self.module_shape)}
        return {**shape, "basis": self.depth, "depth": self.depth}

    def module_state(self) -> State:
        """What a checkpoint needs beside the parameters."""
        return {
            "kept": self.kept,
            "seen": self.seen.copy(),
            "orders": self.orders.copy(),
            "active": NO_MODULE if self.active is None else self.active,
            "trial": np.array(self.trial, dtype=np.int64),
        }

    def load_module_state(self, state: State) -> None:
        """Put back what `module_state` returned."""
        self.kept = int(state["kept"])
        self.seen[:], self.orders[:] = state["seen"], state["orders"]
        active = int(state["active"])
        self.active = None if active == NO_MODULE else active
        self.trial = tuple(np.asarray(state["trial"], dtype=np.int64).tolist())
