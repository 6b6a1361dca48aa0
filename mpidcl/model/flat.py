"""One flat tensor for all parameters of an agent, in named segments ordered by who may share them.

The order `shared | modules | heads | structures | frozen` makes the shared part one contiguous slice:
an exchange can send it without a copy, and a head cannot travel by accident. Gradients and
optimiser moments have the same layout, without the frozen end. BatchNorm statistics are a second flat
tensor, because averaging, digests and Gram matrices treat them differently.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from mpidcl.base.state import State

KINDS = ("shared", "modules", "heads", "structures", "frozen")
WHOLE = "all"
"""The span from the first shared parameter to the last head: what learns in a model without modules."""
ALIGNMENT = 64  # bytes: one cache line, the widest vector register, and what GPUs and MPI copies like


@dataclass(frozen=True, slots=True)
class Segment:
    """Half-open range `start..stop` of the flat tensor, in floats."""

    name: str
    kind: str
    start: int
    stop: int

    @property
    def size(self) -> int:
        return self.stop - self.start


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a parameter goes: its kind, and into how many equal segments its first axis is cut."""

    kind: str
    pieces: int = 1


def aligned(size: int, device: torch.device) -> Tensor:
    """Zeroed float32 tensor [size] whose first element lies at a multiple of 64 bytes."""
    if device.type != "cpu":
        return torch.zeros(size, device=device)  # CUDA memory is aligned to 256 bytes
    raw = np.zeros(4 * size + ALIGNMENT, dtype=np.uint8)
    offset = -raw.ctypes.data % ALIGNMENT
    return torch.from_numpy(raw[offset : offset + 4 * size].view(np.float32))


def writable(array: npt.NDArray[np.generic]) -> Tensor:
    """A tensor on the memory of `array`, or on a copy if that must not be written: torch cannot tell."""
    return torch.from_numpy(np.require(array, requirements=["C", "W"]))


class FlatParameters:
    """All parameters of `model`, moved into one flat tensor and bound again as views of it.

    `data [size]` holds every segment, `grad [trainable]` those that learn, `buffers [b]` the BatchNorm
    statistics. After this the model must not be moved, cast or copied: its tensors are views.
    `learning`: the parameters that learn, in order. `rests`: none needs a gradient now, see `resting`.
    Raises ValueError for a kind that is not one of `KINDS` or for a parameter that is not float32.
    """

    def __init__(
        self, model: nn.Module, place: Callable[[str], Placement], device: torch.device | str = "cpu"
    ) -> None:
        self.device = torch.device(device)
        named = [(name, parameter, place(name)) for name, parameter in model.named_parameters()]
        for name, parameter, placement in named:
            _check(name, parameter, placement)
        named.sort(key=lambda item: KINDS.index(item[2].kind))  # stable: the model's order inside a kind
        self.segments = tuple(_segments((name, p.numel(), placement) for name, p, placement in named))
        self.data = aligned(self.segments[-1].stop if named else 0, self.device)
        self.grad = aligned(self.span("frozen").start, self.device)
        self._leaves: dict[str, Tensor] = {}
        self.rests = False
        self.learning = self._bind([parameter for _, parameter, _ in named])
        self.buffers = self._bind_buffers(model)

    def _bind(self, parameters: list[nn.Parameter]) -> tuple[nn.Parameter, ...]:
        start = 0
        for parameter in parameters:
            stop = start + parameter.numel()
            view = self.data[start:stop].view(parameter.shape)
            view.copy_(parameter.detach())
            parameter.data = view
            parameter.requires_grad_(stop <= self.grad.numel())
            if parameter.requires_grad:
                parameter.grad = self.grad[start:stop].view(parameter.shape)
            start = stop
        return tuple(parameter for parameter in parameters if parameter.requires_grad)

    def _bind_buffers(self, model: nn.Module) -> Tensor:
        owners = [
            (module, name, buffer)
            for module in model.modules()
            for name, buffer in module.named_buffers(recurse=False)
            if buffer.dtype == torch.float32 and name not in module._non_persistent_buffers_set
        ]
        flat = aligned(sum(buffer.numel() for _, _, buffer in owners), self.device)
        start = 0
        for module, name, buffer in owners:
            view = flat[start : start + buffer.numel()].view(buffer.shape)
            view.copy_(buffer)
            setattr(module, name, view)
            start += buffer.numel()
        return flat

    def span(self, kind: str) -> slice:
        """The contiguous range of all segments of `kind`, empty if there are none; of "all" see `WHOLE`."""
        if kind == WHOLE:
            return slice(self.span("shared").start, self.span("heads").stop)
        if kind not in KINDS:
            raise ValueError(f"`kind` should be one of {', '.join((*KINDS, WHOLE))}. Found {kind!r}.")
        ends = [s.stop for s in self.segments if KINDS.index(s.kind) < KINDS.index(kind)]
        start = max(ends, default=0)
        return slice(start, max([start] + [s.stop for s in self.segments if s.kind == kind]))

    def leaf(self, kind: str) -> Tensor:
        """The span of `kind` as one autograd leaf [n]; its gradients add up in `grad` as well."""
        if kind not in self._leaves:
            span = self.span(kind)
            leaf = self.data[span].detach().requires_grad_(not self.rests)
            leaf.grad = self.grad[span]
            self._leaves[kind] = leaf
        return self._leaves[kind]

    @contextmanager
    def resting(self) -> Iterator[None]:
        """Inside, no parameter needs a gradient: backward passes are for the inputs alone, and cost less."""
        self._rest(True)
        try:
            yield
        finally:
            self._rest(False)

    def _rest(self, rests: bool) -> None:
        self.rests = rests
        for tensor in (*self.learning, *self._leaves.values()):
            tensor.requires_grad_(not rests)

    def zero_grad(self) -> None:
        """Set all gradients to zero; they add up in place until the next call."""
        self.grad.zero_()

    def backward(self, loss: Tensor, out: Tensor) -> None:
        """Write the gradient of the scalar `loss` to `out [trainable]`, on the same device: what `zero_grad`,
        `loss.backward()` and `out.copy_(grad)` do. What `grad` holds afterwards is not defined.

        The gradient of a parameter goes to its place as soon as it is known, which makes its memory free for
        the next one: a whole gradient is neither added to zeros nor copied once more. What layers write
        to the `grad` of a `leaf` themselves is copied from there.
        """
        parts = torch.split(out, [parameter.numel() for parameter in self.learning])
        places: dict[Tensor, Tensor] = {
            p: part.view(p.shape) for p, part in zip(self.learning, parts, strict=True)
        }
        left: dict[Tensor, Tensor] = dict(places)

        def take(parameter: Tensor) -> None:
            assert parameter.grad is not None
            if parameter in left:
                left.pop(parameter).copy_(parameter.grad)
            else:  # a pass inside the pass, such as that of a checkpoint, hands gradients over on its own
                places[parameter].add_(parameter.grad)
            parameter.grad = None

        if self._leaves:
            self.zero_grad()
        with self._handing(take):
            loss.backward()  # type: ignore[no-untyped-call]
        for parameter, place in left.items():
            assert parameter.grad is not None
            if self._leaves:
                place.copy_(parameter.grad)
            else:
                place.zero_()

    @contextmanager
    def _handing(self, take: Callable[[Tensor], None]) -> Iterator[None]:
        """Inside, a backward pass gives each parameter a gradient of its own and calls `take` with it."""
        bound = [parameter.grad for parameter in self.learning]
        hooks = [
            parameter.register_post_accumulate_grad_hook(take)  # type: ignore[no-untyped-call]
            for parameter in self.learning
        ]
        for parameter in self.learning:
            parameter.grad = None
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()
            for parameter, grad in zip(self.learning, bound, strict=True):
                parameter.grad = grad

    def state(self) -> State:
        """Parameters and BatchNorm statistics as arrays."""
        return {"parameters": self.data.cpu().numpy().copy(), "buffers": self.buffers.cpu().numpy().copy()}

    def load(self, state: State) -> None:
        """Put back what `state` returned. Raises ValueError when sizes differ."""
        for name, target in (("parameters", self.data), ("buffers", self.buffers)):
            found = np.asarray(state[name], dtype=np.float32)
            if found.shape != tuple(target.shape):
                raise ValueError(
                    f"`{name}` should have {target.numel()} floats, as the model has. Found {found.size}."
                    " The state was saved by another model."
                )
            target.copy_(writable(found))

    def numpy(self, kind: str | None = None) -> npt.NDArray[np.float32]:
        """View of all floats, or of one kind's span, in the same memory. Raises ValueError on CUDA."""
        if self.device.type != "cpu":
            raise ValueError(f"A NumPy view should be of CPU memory. Found device {self.device}.")
        return self.data[self.span(kind) if kind else slice(None)].numpy()


def _check(name: str, parameter: Tensor, placement: Placement) -> None:
    if placement.kind not in KINDS:
        raise ValueError(
            f"The kind of `{name}` should be one of {', '.join(KINDS)}. Found {placement.kind!r}."
        )
    if parameter.dtype != torch.float32:
        raise ValueError(f"Parameter `{name}` should be float32. Found {parameter.dtype}.")


def _segments(placed: Iterable[tuple[str, int, Placement]]) -> Iterable[Segment]:
    start = 0
    for name, size, placement in placed:
        step = size // placement.pieces
        for piece in range(placement.pieces):
            label = name if placement.pieces == 1 else f"{name}.{piece}"
            yield Segment(label, placement.kind, start, start + step)
            start += step
