"""Linear modules in soft order, as one autograd node.

Layer by layer and module by module, a step of 64 rows is some hundred small operations of which most
is book-keeping. Here the modules of one depth are one matrix product: activations lie transposed,
[units, rows], so that the modules' outputs lie one below the other and their weighted sum is one
product of a vector and a matrix. Gradients of frozen modules are not computed at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from mpidcl.model.compositional import Plan, Run

threshold_backward = torch.ops.aten.threshold_backward.default


class Modules(NamedTuple):
    """All modules as matrices [modules * units, units + 1], and the structures [tasks, modules, depth]."""

    weights: Tensor
    gradients: Tensor
    structures: Tensor
    structure_gradients: Tensor
    units: int

    def rows(self, run: Run, matrix: Tensor) -> tuple[Tensor, Tensor]:
        """Views (weights [m * units, units], bias [m * units, 1]) of a run of modules in `matrix`."""
        part = matrix[run.first * self.units : run.last * self.units]
        return part[:, :-1], part[:, -1:]


class _Pass(NamedTuple):
    """What the backward pass needs of one depth: its input, and each run's outputs [m * units, n]."""

    before: Tensor
    after: tuple[Tensor, ...]


class _SoftOrder(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        z: Tensor,
        leaf: Tensor,
        modules: Modules,
        plan: Plan,
        mixing: Tensor | None,
        masks: Sequence[Tensor],
        scale: float,
    ) -> Tensor:
        passes: list[_Pass] = []
        values = z.t()
        for depth, runs in enumerate(plan.layers):
            outputs = _outputs(modules, runs, values)
            if masks:
                # Masks belong to the modules of the last places; those of the basis may have none.
                _drop(outputs, masks[depth])
            passes.append(_Pass(values, outputs))
            values = _mix(outputs, mixing, depth, modules.units)
        ctx.passes, ctx.modules, ctx.plan, ctx.mixing, ctx.scale = passes, modules, plan, mixing, scale
        ctx.dropped = len(masks[0]) // modules.units if masks else 0
        return values.t().contiguous()

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        modules, plan, change = ctx.modules, ctx.plan, gradients[0].t().contiguous()
        slopes = torch.zeros_like(ctx.mixing) if plan.structure and ctx.mixing is not None else None
        for depth in reversed(range(len(plan.layers))):
            change = _back(ctx, depth, change, slopes)
        if slopes is not None:
            _add_structure_gradient(modules, plan, ctx.mixing, slopes)
        return None, None, None, None, None, None, None


def _outputs(modules: Modules, runs: Sequence[Run], values: Tensor) -> tuple[Tensor, ...]:
    """ReLU(W x + b) of each run's modules, [m * units, n]."""
    found = []
    for run in runs:
        weights, bias = modules.rows(run, modules.weights)
        found.append(torch.addmm(bias, weights, values).clamp_min_(0))
    return tuple(found)


def _drop(outputs: Sequence[Tensor], mask: Tensor) -> None:
    """Multiply the last `len(mask)` rows of all runs by `mask`."""
    stop = len(mask)
    for output in reversed(outputs):
        count = min(len(output), stop)
        output[len(output) - count :].mul_(mask[stop - count : stop])
        stop -= count
        if not stop:
            return


def _mix(outputs: Sequence[Tensor], weights: Tensor | None, depth: int, units: int) -> Tensor:
    """sum_j weights[j, depth] outputs_j, [units, n]."""
    if weights is None:
        return outputs[0]
    total, first = None, 0
    for output in outputs:
        count, columns = len(output) // units, output.shape[1]
        own = weights[first : first + count, depth]
        part = torch.mv(output.view(count, -1).t(), own).view(units, columns)
        total = part if total is None else total.add_(part)
        first += count
    assert total is not None  # every depth has modules
    return total


def _back(ctx: Any, depth: int, change: Tensor, slopes: Tensor | None) -> Tensor:
    """The gradient by the input of `depth`, from that by its output; adds up those of what learns."""
    modules, plan, one = ctx.modules, ctx.plan, ctx.passes[depth]
    into, first = None, 0
    scales = _scales(ctx, depth)
    for run, output in zip(plan.layers[depth], one.after, strict=True):
        count = run.last - run.first
        if slopes is not None:
            slopes[first : first + count, depth] = torch.mv(output.view(count, -1), change.view(-1))
        learns = _overlap(run, plan.learning)
        wanted = run if depth else learns
        if wanted is not None:
            own = scales[first + wanted.first - run.first :][: wanted.last - wanted.first]
            by_sum = _by_sum(modules, wanted, run, output, change, own)
            if learns is not None:
                _add_gradient(modules, learns, wanted, by_sum, one.before)
            if depth:
                weights, _ = modules.rows(run, modules.weights)
                part = torch.mm(weights.t(), by_sum)
                into = part if into is None else into.add_(part)
        first += count
    found: Tensor = change if into is None else into
    return found


def _scales(ctx: Any, depth: int) -> Tensor:
    """What a unit above zero is multiplied by: the module's weight, and dropout's scale."""
    count = sum(run.last - run.first for run in ctx.plan.layers[depth])
    scales = ctx.passes[0].before.new_ones(count) if ctx.mixing is None else ctx.mixing[:, depth].clone()
    if ctx.dropped:
        scales[count - ctx.dropped :].mul_(ctx.scale)
    return scales


def _by_sum(
    modules: Modules, wanted: Run, run: Run, output: Tensor, change: Tensor, scales: Tensor
) -> Tensor:
    """Gradient [m * units, n] by W x + b: a unit is above zero where ReLU and dropout let it through."""
    rows = output[(wanted.first - run.first) * modules.units : (wanted.last - run.first) * modules.units]
    spread = torch.mul(scales.view(-1, 1, 1), change).view(rows.shape)
    result: Tensor = threshold_backward(spread, rows, 0)
    return result


def _add_gradient(modules: Modules, learns: Run, wanted: Run, by_sum: Tensor, before: Tensor) -> None:
    own = by_sum[(learns.first - wanted.first) * modules.units :][
        : (learns.last - learns.first) * modules.units
    ]
    weights, bias = modules.rows(learns, modules.gradients)
    weights.addmm_(own, before.t())
    bias.add_(own.sum(1, keepdim=True))


def _add_structure_gradient(modules: Modules, plan: Plan, mixing: Tensor, slopes: Tensor) -> None:
    """Through the softmax over modules: s (g - sum_j s_j g_j)."""
    weighted = mixing * slopes
    change = weighted - mixing * weighted.sum(0)
    first = 0
    for run in plan.layers[0]:
        count = run.last - run.first
        modules.structure_gradients[plan.head, run.first : run.last].add_(change[first : first + count])
        first += count


def _overlap(run: Run, other: Run | None) -> Run | None:
    if other is None:
        return None
    both = Run(max(run.first, other.first), min(run.last, other.last))
    return both if both.first < both.last else None


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

    `mixing [modules, depth]`: softmax weights, None where each depth has one module. `masks[k] [m * units,
    n]` is multiplied after the ReLU of the last m modules of depth k and holds 0 or `scale`; () means no
    dropout. Gradients are added where they belong and not handed to autograd.
    """
    found: Tensor = _SoftOrder.apply(z, leaf, modules, plan, mixing, masks, scale)  # type: ignore[no-untyped-call]
    return found


def soft_order_only(z: Tensor, modules: Modules, plan: Plan, mixing: Tensor | None) -> Tensor:
    """The same without dropout and gradients."""
    values = z.t()
    for depth, runs in enumerate(plan.layers):
        values = _mix(_outputs(modules, runs, values), mixing, depth, modules.units)
    return values.t().contiguous()
