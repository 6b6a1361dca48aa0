"""Models of experts: a shared encoder, a router, N experts of which K answer a row, and heads.

    y = sum_{i in T(x)} g_i(x) M_i(f(x)),  with T and g of `routing.py`

The encoder is `shared`, each expert is one contiguous piece of kind `modules`, and the router is of kind
`structures`: it stays private unless an exchange asks for it. Experts are frozen by a mask of segments, and
retired by leaving the set of those in use: the flat parameters never change their layout.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from functools import cached_property
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from mpidcl.base.shape import Shape
from mpidcl.base.state import State
from mpidcl.experiment.options import Options
from mpidcl.model.base import Chance, Model, Width
from mpidcl.model.experts.routing import RETIRED, Routes, all_of, dispatch, route
from mpidcl.model.flat import Placement
from mpidcl.model.layers import Linear
from mpidcl.model.permutations import Axis, Permutation, Stack

MOST_EXPERTS = 4096
Hidden = Width | tuple[Width, ...]


class ExpertsOptions(Options):
    """Options that all models of experts have."""

    experts: int = Field(8, ge=1, le=MOST_EXPERTS, description="experts that there is room for, N")
    active: int = Field(2, ge=1, le=MOST_EXPERTS, description="experts that answer a row, K")
    routing: Literal["static", "guided"] = Field(
        "static",
        description="static: the router alone chooses. guided: eta times its specialisation is added to the"
        " score of an expert",
    )
    eta: float = Field(1.0, ge=0, le=1e3, description="guided: how much specialisation counts")
    noise: bool = Field(
        False, description="add normal noise of variance 1 / N^2 to the router's scores while training"
    )

    @model_validator(mode="after")
    def _enough(self) -> ExpertsOptions:
        if self.active > self.experts:
            raise ValueError(
                f"should have at most as many active experts as there are, experts = {self.experts}. Found"
                f" active = {self.active}"
            )
        return self

    def sizes(self, hidden: Hidden) -> tuple[int, ...]:
        """Of each expert, from one size for all or a list. Raises ValueError for a list of another length."""
        if isinstance(hidden, int):
            return (hidden,) * self.experts
        if len(hidden) != self.experts:
            raise ValueError(
                f"should have one size for each of the {self.experts} experts, or one number for all. Found"
                f" {len(hidden)} sizes"
            )
        return hidden


class Experts(Model):
    """Base of the models of experts. A subclass says what the encoder (`features`) and an expert are.

    `used [N]`: those that the router may choose. `frozen [N]`: those that learn no more. `specialisation
    [N]`: what was measured last, 0 where nothing was. `took_part [N]`: chosen in a training pass since
    `begin_step`. `routes`: of the first training pass since then, that of the batch.
    """

    options: ExpertsOptions
    can_mix = False

    def __init__(self, options: ExpertsOptions, shape: Shape, chance: Chance) -> None:
        super().__init__(options, shape, chance)
        count = options.experts
        self.used = np.ones(count, dtype=np.bool_)
        self.frozen = np.zeros(count, dtype=np.bool_)
        self.specialisation = np.zeros(count)
        self.took_part = np.zeros(count, dtype=np.bool_)
        self.routes: Routes | None = None
        self._first = True
        self.unseen_flops = 0
        """Operations of experts so far that torch does not see."""
        self._shift: Tensor | None = None

    def _make_experts(self, experts: list[nn.Module], inputs: int, chance: Chance) -> None:
        self.router = Linear(inputs, len(experts), chance.own)
        self.experts = nn.ModuleList(experts)

    @abstractmethod
    def features(self, z: Tensor) -> Tensor:
        """f(x) [n, ...] of prepared rows z: what experts see; the router sees it flattened."""

    def place(self, name: str) -> Placement:
        if name.startswith("experts."):
            return Placement("modules")
        if name.startswith("router."):
            return Placement("structures")
        return super().place(name)

    # --- passes ---------------------------------------------------------------------------------

    @property
    def active(self) -> int:
        """How many experts answer a row now: K, or all that are used."""
        return min(self.options.active, int(self.used.sum()))

    @property
    def even_cost(self) -> bool:
        """Whether what torch sees of a pass costs the same, whichever experts were chosen."""
        return len({span.stop - span.start for span in self.module_spans}) == 1

    def encode(self, z: Tensor) -> Tensor:
        x = self.features(z)
        routes = self.routed(x)
        if self.training:
            if self._first:
                self.routes, self._first = routes, False
            self.took_part[routes.chosen.cpu().numpy()] = True
        return self.answers(x, routes)

    def answers(self, x: Tensor, routes: Routes) -> Tensor:
        """y [n, width] of inputs x [n, ...] of the experts: each sees the rows that chose it."""
        return dispatch(x, routes, list(self.experts))

    def routed(self, x: Tensor) -> Routes:
        """Where rows of which this is f(x) go."""
        scores = self.router(x.flatten(1)) + self._shifts(x.device)
        if self.training and self.options.noise:
            scores = scores + self.noise.normal(tuple(scores.shape), 1 / len(self.used))
        return route(scores, self.active)

    def encode_row(self, z: Tensor, head: Tensor) -> Tensor:
        x = self.features(z.unsqueeze(0))
        return all_of(x, self.routed(x), list(self.experts))[0]

    def begin_step(self) -> None:
        """Forget who took part; the next training pass is that of a batch."""
        self.took_part[:] = False
        self._first = True

    # --- which experts there are ----------------------------------------------------------------

    @cached_property
    def module_spans(self) -> tuple[slice, ...]:
        spans: list[list[int]] = [[] for _ in self.used]
        for segment in self.flat.segments:
            if segment.kind == "modules":
                spans[int(segment.name.split(".")[1])] += [segment.start, segment.stop]
        return tuple(slice(min(ends), max(ends)) for ends in spans)

    @property
    def specialised(self) -> list[float]:
        found: list[float] = self.specialisation.tolist()
        return found

    def change(self, **standing: npt.NDArray[np.bool_] | npt.NDArray[np.float64]) -> None:
        """Replace `used`, `frozen` or `specialisation`, each [N]."""
        for name, value in standing.items():
            getattr(self, name)[:] = value
        self._shift = None

    def _shifts(self, device: torch.device) -> Tensor:
        """What is added to the router's scores [N]: nearly nothing is left of experts that are not used."""
        if self._shift is None:
            guided = self.options.eta if self.options.routing == "guided" else 0.0
            shift = np.where(self.used, guided * self.specialisation, RETIRED)
            self._shift = torch.from_numpy(shift.astype(np.float32)).to(device)
        return self._shift

    def module_state(self) -> State:
        return {
            "used": self.used.copy(),
            "frozen": self.frozen.copy(),
            "specialisation": self.specialisation.copy(),
        }

    def load_module_state(self, state: State) -> None:
        self.change(**{name: state[name] for name in ("used", "frozen", "specialisation")})


def order_of_experts(sizes: Sequence[int], parts: Sequence[str]) -> tuple[Permutation, ...]:
    """The order of experts of these sizes, with the rows of the router; () where they are not alike.

    `parts`: the parameters of an expert.
    """
    if len(set(sizes)) > 1 or len(sizes) == 1:
        return ()
    stacks = (Stack(tuple(f"experts.{i}.{part}" for i in range(len(sizes)))) for part in parts)
    router = Axis("router.weight", 0), Axis("router.bias", 0)
    return (Permutation("experts", len(sizes), (*stacks, *router)),)
