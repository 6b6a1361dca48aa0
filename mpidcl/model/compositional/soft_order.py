"""Linear modules in soft order, as one autograd node.

Layer by layer and module by module, a step of 64 rows is some hundred small operations of which most
is book-keeping. Here the modules of one depth are one matrix product: activations lie transposed,
[units + 1, rows] with a last row of ones for the biases, so that the modules' outputs lie one below the
other and their weighted sum is one product of a matrix and a vector. Gradients of frozen modules are
not computed at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from mpidcl.model.compositional.base import Plan, Run, overlap

threshold_backward = torch.ops.aten.threshold_backward.default


class Views(NamedTuple):
    """A run of modules as matrices: weights and gradients [m * units, units + 1], last column the bias."""

    both: Tensor
    back: Tensor
    gradients: Tensor


@dataclass
class Modules:
    """All modules [modules * units, units + 1] and structures [tasks, modules, depth], with gradients."""

    weights: Tensor
    gradients: Tensor
    structures: Tensor
    structure_gradients: Tensor
    units: int
    _views: dict[Run, Views] = field(default_factory=dict)

    def views(self, run: Run) -> Views:
        """Views of a run of modules; made once, for neither flat tensor ever moves."""
        if run not in self._views:
            rows = slice(run.first * self.units, run.last * self.units)
            weights = self.weights[rows]
            self._views[run] = Views(weights, weights[:, :-1].t(), self.gradients[rows])
        return self._views[run]


class _Depth(NamedTuple):
    """What the backward pass needs of one depth: its input, and each run's outputs [m * units, n]."""

    before: Tensor
    after: tuple[Tensor, ...]


class _Context(Protocol):
    """What a pass forward leaves for the pass backward."""

    passes: list[_Depth]
    modules: Modules
    plan: Plan
    mixing: Tensor | None
    scales: Tensor


class _SoftOrder(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: _Context,
        z: Tensor,
        leaf: Tensor,
        modules: Modules,
        plan: Plan,
        mixing: Tensor | None,
        masks: Sequence[Tensor],
        scale: float,
    ) -> Tensor:
        passes: list[_Depth] = []
        values = _with_ones(z)
        for depth, runs in enumerate(plan.layers):
            outputs = _outputs(modules, runs, values)
            if masks:
                _drop(outputs, masks[depth])
            passes.append(_Depth(values, outputs))
            values = _mix(outputs, mixing, depth, modules.units)
        ctx.passes, ctx.modules, ctx.plan, ctx.mixing = passes, modules, plan, mixing
        ctx.scales = _scales(modules, plan, mixing, masks, scale)
        return values[:-1].t().contiguous()

    @staticmethod
    def backward(ctx: _Context, *gradients: Tensor) -> tuple[None, ...]:
        plan, change = ctx.plan, gradients[0].t().contiguous()
        mixing = ctx.mixing if plan.structure else None
        slopes = None if mixing is None else torch.empty_like(mixing)
        for depth in reversed(range(len(plan.layers))):
            change = _back(ctx, depth, change, slopes)
        if mixing is not None and slopes is not None:
            _add_structure_gradient(ctx.modules, plan, mixing, slopes)
        return None, None, None, None, None, None, None


def _with_ones(z: Tensor) -> Tensor:
    """Rows z [n, units] as [units + 1, n], below them a row of ones."""
    values = z.new_empty(z.shape[1] + 1, len(z))
    values[:-1] = z.t()
    values[-1] = 1
    return values


def _outputs(modules: Modules, runs: Sequence[Run], values: Tensor) -> tuple[Tensor, ...]:
    """ReLU(W x + b) of each run's modules, [m * units, n]."""
    return tuple(torch.mm(modules.views(run).both, values).clamp_min_(0) for run in runs)


def _drop(outputs: Sequence[Tensor], mask: Tensor) -> None:
    """Multiply the last `len(mask)` rows of all runs by `mask`."""
    stop = len(mask)
    for output in reversed(outputs):
        count = min(len(output), stop)
        output[len(output) - count :].mul_(mask[stop - count : stop])
        stop -= count
        if not stop:
            return


def _mix(outputs: Sequence[Tensor], mixing: Tensor | None, depth: int, units: int) -> Tensor:
    """sum_j mixing[depth, j] outputs_j as [units + 1, n], its last row ones."""
    columns = outputs[0].shape[1]
    values = outputs[0].new_empty(units + 1, columns)
    total, first = values[:-1], 0
    values[-1] = 1
    if mixing is None:
        total.copy_(outputs[0])
        return values
    for number, output in enumerate(outputs):
        count = len(output) // units
        stack, own = output.view(count, -1).t(), mixing[depth, first : first + count]
        if number:
            total.view(-1).addmv_(stack, own)
        else:
            torch.mv(stack, own, out=total.view(-1))
        first += count
    return values


def _scales(
    modules: Modules, plan: Plan, mixing: Tensor | None, masks: Sequence[Tensor], scale: float
) -> Tensor:
    """What a unit above zero is multiplied by, [depth, modules]: its module's weight, and dropout's scale."""
    if mixing is None:
        scales = modules.weights.new_ones(len(plan.layers), 1)
    else:
        scales = mixing.clone()
    if masks:
        scales[:, scales.shape[1] - len(masks[0]) // modules.units :] *= scale
    return scales


def _back(ctx: _Context, depth: int, change: Tensor, slopes: Tensor | None) -> Tensor:
    """The gradient by the input of `depth`, from that by its output; adds up those of what learns."""
    modules, plan, one = ctx.modules, ctx.plan, ctx.passes[depth]
    into, first = change, 0
    for number, (run, output) in enumerate(zip(plan.layers[depth], one.after, strict=True)):
        count = run.last - run.first
        if slopes is not None:
            torch.mv(output.view(count, -1), change.view(-1), out=slopes[depth, first : first + count])
        learns = overlap(run, plan.learning)
        wanted = run if depth else learns
        if wanted.last:
            start = wanted.first - run.first
            own = ctx.scales[depth, first + start : first + start + wanted.last - wanted.first]
            by_sum = _by_sum(output[start * modules.units :][: len(own) * modules.units], change, own)
            if learns.last:
                rows = by_sum[(learns.first - wanted.first) * modules.units :]
                rows = rows[: (learns.last - learns.first) * modules.units]
                modules.views(learns).gradients.addmm_(rows, one.before.t())
            if depth:
                back = modules.views(run).back
                into = into.addmm_(back, by_sum) if number else torch.mm(back, by_sum)
        first += count
    return into


def _by_sum(output: Tensor, change: Tensor, scales: Tensor) -> Tensor:
    """Gradient [m * units, n] by W x + b: a unit is above zero where ReLU and dropout let it through."""
    spread = torch.mul(scales.view(-1, 1, 1), change).view(output.shape)
    found: Tensor = threshold_backward(spread, output, 0)
    return found


def _add_structure_gradient(modules: Modules, plan: Plan, mixing: Tensor, slopes: Tensor) -> None:
    """Through the softmax over modules: s (g - sum_j s_j g_j)."""
    weighted = slopes.mul_(mixing)
    change = (weighted - mixing * weighted.sum(1, keepdim=True)).t()
    first = 0
    for run in plan.layers[0]:
        count = run.last - run.first
        modules.structure_gradients[plan.head, run.first : run.last].add_(change[first : first + count])
        first += count


def soft_order(
    z: Tensor,
    leaf: Tensor,
    modules: Modules,
    plan: Plan,
    mixing: Tensor | None,
    masks: Sequence[Tensor] = (),
    scale: float = 1.0,
) -> Tensor:
    """Encodings [n, units] of z [n, units]; `leaf` is any tensor that requires a gradient.

    `mixing [depth, modules]`: softmax weights, None where each depth has one module. `masks[k] [m * units,
    n]` is multiplied after the ReLU of the last m modules of depth k and holds 0 or `scale`; () means no
    dropout. Gradients are added where they belong and not handed to autograd.
    """
    found: Tensor = _SoftOrder.apply(z, leaf, modules, plan, mixing, masks, scale)  # type: ignore[no-untyped-call]
    return found


def soft_order_only(z: Tensor, modules: Modules, plan: Plan, mixing: Tensor | None) -> Tensor:
    """The same without dropout and gradients."""
    values = _with_ones(z)
    for depth, runs in enumerate(plan.layers):
        values = _mix(_outputs(modules, runs, values), mixing, depth, modules.units)
    return values[:-1].t().contiguous()
