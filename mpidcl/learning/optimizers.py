"""Optimisers over the flat parameter tensor, with a step count per segment.

A segment that took no part in the loss is skipped: its parameters, moments and count stay, as torch's
optimisers do for `grad = None`. On the CPU a step is one compiled loop; on a GPU a few torch operations.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any, ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from mpidcl.experiment.part import Part
from mpidcl.model.flat import FlatParameters, aligned
from mpidcl_kernels import step as kernels

Mask = npt.NDArray[np.bool_]
Index = npt.NDArray[np.int64]


class Run(NamedTuple):
    """Neighbouring active segments of equal step count, taken as one range."""

    start: int
    stop: int
    step: int


class Optimizer(Part, ABC):
    """Base: moments with the layout of `flat.grad`, and one step count per trainable segment.

    `learning` gives lr, momentum, betas, eps and weight_decay (the experiment's [learning] table). A schedule
    may write `lr`, the size of the next steps.
    """

    room = "optimizer"
    moment_names: ClassVar[tuple[str, ...]]
    second_moment: ClassVar[bool] = False
    """Whether steps are divided by the root of a running square."""

    def __init__(self, flat: FlatParameters, learning: Any) -> None:
        self.flat, self.learning = flat, learning
        self.lr: float = learning.lr
        trainable = [segment for segment in flat.segments if segment.kind != "frozen"]
        self.starts = np.array([segment.start for segment in trainable], dtype=np.int64)
        self.stops = np.array([segment.stop for segment in trainable], dtype=np.int64)
        self.steps = np.zeros(len(trainable), dtype=np.int64)
        self.moments = {name: aligned(len(flat.grad), flat.device) for name in self.moment_names}
        self._arrays = [] if flat.device.type != "cpu" else self._views()

    def _views(self) -> list[npt.NDArray[np.float32]]:
        weights = self.flat.data[: len(self.flat.grad)]
        return [tensor.numpy() for tensor in (weights, self.flat.grad, *self.moments.values())]

    def step(self, active: Mask, square_of: Tensor | None = None) -> None:
        """One step on the segments where `active [segments]` is true, from the gradients in `flat.grad`.

        `square_of` has the layout of `flat.grad`: the second moment is of this in place of the gradients.
        Raises ValueError where there is no second moment.
        """
        if square_of is not None and not self.second_moment:
            raise ValueError(
                f"`square_of` should be None: {type(self).__name__} has no second moment. Found a tensor."
            )
        self.steps += active
        if self._arrays:
            self._compiled(self.starts[active], self.stops[active], self.steps[active], square_of)
            return
        for run in self._runs(active):
            span = slice(run.start, run.stop)
            moments = [moment[span] for moment in self.moments.values()]
            other = None if square_of is None else square_of[span]
            self._torch(self.flat.data[span], self.flat.grad[span], other, moments, run.step)

    def _runs(self, active: Mask) -> Iterator[Run]:
        """Fewest ranges that hold the active segments; few operations matter on a GPU."""
        run: Run | None = None
        for index in np.flatnonzero(active).tolist():
            start, stop, step = int(self.starts[index]), int(self.stops[index]), int(self.steps[index])
            if run is not None and run.stop == start and run.step == step:
                run = Run(run.start, stop, step)
                continue
            if run is not None:
                yield run
            run = Run(start, stop, step)
        if run is not None:
            yield run

    @abstractmethod
    def _compiled(self, starts: Index, stops: Index, steps: Index, square_of: Tensor | None) -> None:
        """The step in NumPy memory; `square_of` as in `step`."""

    @abstractmethod
    def _torch(
        self, weights: Tensor, grad: Tensor, square_of: Tensor | None, moments: list[Tensor], step: int
    ) -> None:
        """The step on one range, in torch operations; `step` counts from 1."""

    def reset(self, chosen: Mask | None = None) -> None:
        """Forget moments and step counts, of all segments or those where `chosen [segments]` is true."""
        every = np.ones(len(self.steps), dtype=np.bool_) if chosen is None else chosen
        self.steps[every] = 0
        for moment in self.moments.values():
            for start, stop in zip(self.starts[every], self.stops[every], strict=True):
                moment[start:stop].zero_()

    def move(self, source: int, target: int) -> None:
        """Segment `target` takes over moments and step count of segment `source`, which is as long."""
        into, own = (slice(self.starts[n], self.stops[n]) for n in (target, source))
        self.steps[target] = self.steps[source]
        for moment in self.moments.values():
            moment[into] = moment[own]

    def state(self) -> dict[str, Any]:
        """Moments, step counts and the step size."""
        moments = {name: moment.cpu().numpy().copy() for name, moment in self.moments.items()}
        return {"steps": self.steps.copy(), "lr": self.lr, **moments}

    def load(self, state: dict[str, Any]) -> None:
        """Put back what `state` returned."""
        self.steps[:] = state["steps"]
        self.lr = float(state["lr"])
        for name, moment in self.moments.items():
            moment.copy_(torch.from_numpy(np.array(state[name], dtype=np.float32)))


class SGD(Optimizer):
    """Stochastic gradient descent with heavy-ball momentum and L2 weight decay."""

    moment_names = ("velocity",)

    def _compiled(self, starts: Index, stops: Index, steps: Index, square_of: Tensor | None) -> None:
        own, (w, g, velocity) = self.learning, self._arrays
        kernels.sgd(w, g, velocity, starts, stops, self.lr, own.momentum, own.weight_decay)

    def _torch(
        self, weights: Tensor, grad: Tensor, square_of: Tensor | None, moments: list[Tensor], step: int
    ) -> None:
        own, (velocity,) = self.learning, moments
        velocity.mul_(own.momentum).add_(grad).add_(weights, alpha=own.weight_decay)
        weights.add_(velocity, alpha=-self.lr)


class Adam(Optimizer):
    """Adam (Kingma and Ba 2015) with L2 weight decay."""

    moment_names = ("mean", "square")
    second_moment = True
    decoupled: ClassVar[bool] = False

    def _compiled(self, starts: Index, stops: Index, steps: Index, square_of: Tensor | None) -> None:
        own, (w, g, m, v) = self.learning, self._arrays
        rates = (self.lr, own.betas[0], own.betas[1], own.eps, own.weight_decay)
        other = None if square_of is None else square_of.numpy()
        kernels.adam(w, g, m, v, starts, stops, steps, *rates, self.decoupled, other)

    def _torch(
        self, weights: Tensor, grad: Tensor, square_of: Tensor | None, moments: list[Tensor], step: int
    ) -> None:
        own, (mean, square) = self.learning, moments
        beta1, beta2 = own.betas
        if own.weight_decay and self.decoupled:
            weights.mul_(1 - self.lr * own.weight_decay)
        elif own.weight_decay:
            decay = own.weight_decay * weights
            grad = grad + decay
            square_of = None if square_of is None else square_of + decay
        other = grad if square_of is None else square_of
        mean.lerp_(grad, 1 - beta1)
        square.mul_(beta2).addcmul_(other, other, value=1 - beta2)
        scale = (1 - beta2**step) ** 0.5
        weights.addcdiv_(mean, (square.sqrt() / scale).add_(own.eps), value=-self.lr / (1 - beta1**step))


class AdamW(Adam):
    """Adam with decoupled weight decay (Loshchilov and Hutter 2019)."""

    decoupled = True
