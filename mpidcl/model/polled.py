"""Calls between the layers of a torch module, while it computes. torch is imported by who has a module."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any, Protocol

from mpidcl.network.polls import EVERY_S


class Handle(Protocol):
    """What torch gives back for a hook."""

    def remove(self) -> None:
        """Take the hook away."""


class Network(Protocol):
    """A `torch.nn.Module`."""

    def modules(self) -> Iterable[Any]:
        """It and all in it."""

    def parameters(self) -> Iterable[Any]:
        """Tensors that it learns."""


class Hung:
    """Hooks in a network, until `remove` or the end of a `with` block."""

    def __init__(self, handles: list[Handle]) -> None:
        self._handles = handles

    def remove(self) -> None:
        """Take them away. A second call does nothing."""
        while self._handles:
            self._handles.pop().remove()

    def __enter__(self) -> Hung:
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()


def hang_in(network: Network, poll: Callable[[], object], every: float = EVERY_S) -> Hung:
    """Call `poll` after layers of `network` forward, and as gradients of its parameters come backward.

    At most every so many seconds. Nothing that is computed changes. A copy of the network, and one that is
    saved, has no such hooks. In what `torch.compile` has made of its layers nobody calls: they are one piece.
    """
    from torch.compiler import is_compiling

    hook = Rarely(poll, every)
    between = Between(hook, is_compiling)
    handles: list[Handle] = [module.register_forward_hook(between) for module in network.modules()]
    handles += [one.register_hook(hook) for one in network.parameters() if one.requires_grad]
    return Hung(handles)


class Rarely:
    """Calls `poll` at most every so many seconds, whatever it is called with, and answers nothing."""

    __torch_unserializable__ = True  # says that nobody need be warned when a parameter is saved without it

    def __init__(self, poll: Callable[[], object], every: float) -> None:
        self._poll, self._every, self._next = poll, every, 0.0

    def __call__(self, *_: object) -> None:
        now = time.perf_counter()
        if now >= self._next:
            self._poll()
            self._next = time.perf_counter() + self._every

    def __reduce__(self) -> tuple[Callable[[], Callable[..., None]], tuple[()]]:
        return _nobody, ()


class Between:
    """Calls `hook` unless a compiler looks on: it would cut what it compiles at every call, or give up."""

    def __init__(self, hook: Rarely, compiling: Callable[[], bool]) -> None:
        self._hook, self._compiling = hook, compiling

    def __call__(self, *_: object) -> None:
        if not self._compiling():
            self._hook()

    def __reduce__(self) -> tuple[Callable[[], Callable[..., None]], tuple[()]]:
        return _nobody, ()


def _nobody() -> Callable[..., None]:
    """What a hook is in a copy of its network."""
    return _do_nothing


def _do_nothing(*_: object) -> None:
    return
