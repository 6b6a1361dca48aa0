"""Floating-point operations of a learner, by the formulas of torch's own counter."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from typing import Any

from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

RESIZING = "aten::upsample"
"""Operations that are never taken apart: torch does it in Python, and rounds differently there."""


class _Counter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Adds up the operations that run inside it: what torch's FlopCounterMode reports in total.

    FlopCounterMode itself makes torch import its compiler, which takes each process a second.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.total = 0

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        options = kwargs or {}
        formula = flop_registry.get(func._overloadpacket)
        if func._schema.name.startswith(RESIZING):
            return func(*args, **(kwargs or {}))
        if formula is None:
            # In inference mode composite operations such as `linear` arrive whole.
            with self:
                parts = func.decompose(*args, **options)
            return func(*args, **options) if parts is NotImplemented else parts
        out = func(*args, **options)
        options = {name: value for name, value in options.items() if name != "out"}
        self.total += int(formula(*args, **options, out_val=out))
        return out


class FlopMeter:
    """Adds up work; each kind of work (a key: what is done, with how many rows) is measured once.

    Counts products and convolutions, a multiply-add as two.
    """

    def __init__(self) -> None:
        self.total = 0
        self._known: dict[Hashable, int] = {}

    def add(self, operations: int) -> None:
        """Count work whose operations are known without measuring."""
        self.total += operations

    @contextmanager
    def each_time(self, unseen: int = 0) -> Iterator[None]:
        """Count what is done inside, which may cost something else each time."""
        with _Counter() as counter:
            yield
        self.total += counter.total + unseen

    @contextmanager
    def work(self, key: Hashable, unseen: int = 0) -> Iterator[None]:
        """Count what is done inside, which must cost the same for every use of `key`.

        `unseen`: operations of it that are not torch's.
        """
        if key in self._known:
            yield
        else:
            with _Counter() as counter:
                yield
            self._known[key] = counter.total + unseen
        self.total += self._known[key]
