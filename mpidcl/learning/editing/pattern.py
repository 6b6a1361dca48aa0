"""Which ReLUs are open and which pixels win a max-pool: decided in one pass, held in others."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

RELUS_IN_PLACE = {torch.relu_, Tensor.relu_}
RELUS = {functional.relu, torch.relu, Tensor.relu} | RELUS_IN_PLACE
POOLS = {functional.max_pool2d, torch.max_pool2d}


class Pattern:
    """The linear piece that a net of ReLUs and max-pools was in.

    Inside a piece such a net is smooth; at its border gradients jump. A finite difference divides the jumps
    of all units that cross a border between its two ends by its own small step, and of the millions of units
    of a batch some always cross: their jumps are then most of the result. With the pattern of the middle held
    at both ends nothing jumps, and the difference is that of the piece.

    Holds relu and max_pool2d, as functions, methods and modules. Other kinks stay what they are.
    """

    def __init__(self) -> None:
        self._decided: list[Tensor] = []

    @contextmanager
    def deciding(self) -> Iterator[None]:
        """Inside, ReLUs and max-pools are what they always are, and what they decide is remembered."""
        self._decided = []
        with _Instead(self._relu, self._pool):
            yield

    @contextmanager
    def held(self) -> Iterator[None]:
        """Inside, they decide as they did before, in the order of their calls.

        Raises RuntimeError when the calls are others than before.
        """
        left = iter(self._decided)
        with _Instead(
            lambda x, in_place: _closed(x, _of(next(left, None), floating=True), in_place),
            lambda x, _: _picked(x, _of(next(left, None), floating=False)),
        ):
            yield
        if next(left, None) is not None:
            raise _unlike()

    def _relu(self, x: Tensor, in_place: bool) -> Tensor:
        result = torch.relu_(x) if in_place else torch.relu(x)
        # Numbers and not booleans: the products of a pass of ResNet-18 take half the time.
        self._decided.append((result.detach() > 0).to(x.dtype))
        return result

    def _pool(self, x: Tensor, options: tuple[Any, ...]) -> Tensor:
        result, winners = functional.max_pool2d(x, *options, return_indices=True)
        self._decided.append(winners)
        return result


class _Instead(TorchFunctionMode):
    """Inside, `relu(x, in place)` and `pool(x, options)` are called in place of each ReLU and max-pool."""

    def __init__(
        self,
        relu: Callable[[Tensor, bool], Tensor],
        pool: Callable[[Tensor, tuple[Any, ...]], Tensor],
    ) -> None:
        super().__init__()
        self._relu, self._pool = relu, pool

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        named = kwargs or {}
        if func in RELUS:
            return self._relu_of(func in RELUS_IN_PLACE, *args, **named)
        if func in POOLS and not named.get("return_indices", False):
            return self._pool_of(*args, **named)
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


def _of(decided: Tensor | None, floating: bool) -> Tensor:
    if decided is None or decided.is_floating_point() != floating:
        raise _unlike()
    return decided


def _unlike() -> RuntimeError:
    return RuntimeError(
        "A model whose rows are edited should go through the same ReLUs and max-pools each time it is called"
        " with these rows. It did not, so its gradients cannot be compared."
    )
