"""Which ReLUs are open and which pixels win a max-pool: decided in one pass, held in others."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from mpidcl.model.dense import DenseStack

RELUS_IN_PLACE = {torch.relu_, Tensor.relu_}
RELUS = {functional.relu, torch.relu, Tensor.relu} | RELUS_IN_PLACE
POOLS = {functional.max_pool2d, torch.max_pool2d}
STACK = DenseStack.__call__


class Pattern:
    """The linear piece that a net of ReLUs and max-pools was in.

    Inside a piece such a net is smooth; at its border gradients jump. A finite difference divides the jumps
    of all units that cross a border between its two ends by its own small step, and of the millions of units
    of a batch some always cross: their jumps are then most of the result. With the pattern of the middle held
    at both ends nothing jumps, and the difference is that of the piece.

    Holds relu and max_pool2d, as functions, methods and modules. Other kinks stay what they are. A
    `DenseStack` is its ReLUs when it decides: it has to be held by passes through its layers one by one.

    Until it is held, a unit of a ReLU takes one byte.
    """

    def __init__(self, decided: Sequence[Tensor] = ()) -> None:
        self._decided = list(decided)

    def copy(self) -> Pattern:
        """The same decisions: when the copy is held, this one goes on taking a byte per unit."""
        return Pattern(self._decided)

    @property
    def empty(self) -> bool:
        """Whether no pass has decided anything: none was asked, or nothing of it could be seen."""
        return not self._decided

    @contextmanager
    def deciding(self) -> Iterator[None]:
        """Inside, ReLUs and max-pools are what they always are, and what they decide is remembered."""
        self._decided = []
        with _Instead(self._relu, self._pool, self._stack):
            yield

    @contextmanager
    def held(self) -> Iterator[None]:
        """Inside, they decide as they did before, in the order of their calls.

        Raises RuntimeError when the calls are others than before.
        """
        left = iter(range(len(self._decided)))
        with _Instead(
            lambda x, in_place: _closed(x, self._open(next(left, None), x.dtype), in_place),
            lambda x, _: _picked(x, self._winners(next(left, None))),
            STACK,
        ):
            yield
        if next(left, None) is not None:
            raise _unlike()

    def _relu(self, x: Tensor, in_place: bool) -> Tensor:
        result = torch.relu_(x) if in_place else torch.relu(x)
        self._decided.append(result.detach() > 0)
        return result

    def _pool(self, x: Tensor, options: tuple[Any, ...]) -> Tensor:
        result, winners = functional.max_pool2d(x, *options, return_indices=True)
        self._decided.append(winners)
        return result

    def _stack(self, stack: DenseStack, z: Tensor, masks: Sequence[Tensor], scale: float, _: Any) -> Tensor:
        # What dropout has closed as well stays zero either way: dropout draws alike in the passes that hold.
        return stack(z, masks, scale, self._decided)

    def _open(self, place: int | None, dtype: torch.dtype) -> Tensor:
        if place is None or self._decided[place].dtype == torch.int64:
            raise _unlike()
        # Numbers and not booleans: the products of a pass of ResNet-18 take half the time. Made once, for all
        # passes that hold.
        self._decided[place] = self._decided[place].to(dtype)
        return self._decided[place]

    def _winners(self, place: int | None) -> Tensor:
        if place is None or self._decided[place].dtype != torch.int64:
            raise _unlike()
        return self._decided[place]


def deciding(pattern: Pattern | None) -> AbstractContextManager[None]:
    """`pattern.deciding()`, or nothing if there is none."""
    return nullcontext() if pattern is None else pattern.deciding()


class _Instead(TorchFunctionMode):
    """Inside, `relu(x, in place)`, `pool(x, options)` and `stack(the stack, its arguments)` are called in
    place of each ReLU, max-pool and `DenseStack`."""

    def __init__(
        self,
        relu: Callable[[Tensor, bool], Tensor],
        pool: Callable[[Tensor, tuple[Any, ...]], Tensor],
        stack: Callable[..., Tensor],
    ) -> None:
        super().__init__()
        self._relu, self._pool, self._stack = relu, pool, stack

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        named = kwargs or {}
        if func in RELUS:
            return self._relu_of(func in RELUS_IN_PLACE, *args, **named)
        if func in POOLS and not named.get("return_indices", False):
            return self._pool_of(*args, **named)
        if func is STACK:
            return self._stack(*args, **named)
        return func(*args, **named)

    def _relu_of(self, always: bool, input: Tensor, inplace: bool = False) -> Tensor:
        return self._relu(input, always or inplace)

    def _pool_of(
        self,
        input: Tensor,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        dilation: Any = 1,
        ceil_mode: bool = False,
        return_indices: bool = False,
    ) -> Tensor:
        return self._pool(input, (kernel_size, stride or None, padding, dilation, ceil_mode))


def _closed(x: Tensor, is_open: Tensor, in_place: bool) -> Tensor:
    return x.mul_(is_open) if in_place else x * is_open


def _picked(x: Tensor, winners: Tensor) -> Tensor:
    return x.flatten(-2).gather(-1, winners.flatten(-2)).view_as(winners)


def _unlike() -> RuntimeError:
    return RuntimeError(
        "A model whose rows are edited should go through the same ReLUs and max-pools each time it is called"
        " with these rows. It did not, so its gradients cannot be compared."
    )
