"""How large a model would be, without making it.

Its constructor runs on torch's device "meta", whose tensors have shapes and no memory.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from mpidcl.base.shape import Shape
from mpidcl.errors import ExperimentError
from mpidcl.experiment import kinds
from mpidcl.model.base import Chance, Model
from mpidcl.model.noise import Noise
from mpidcl.randomness import EVERYBODY, torch_generator

if TYPE_CHECKING:
    from mpidcl.experiment import sections

BEYOND = 2**63
"""Floats of a model that torch cannot even count."""
UNCOUNTABLE = ("Storage size calculation overflowed", "numel: integer multiplication overflow")
"""What torch says of it."""


class Size(NamedTuple):
    """Floats of all parameters, and of those that learn."""

    parameters: int
    trainable: int


def size_of(table: sections.Model, shape: Shape, modules: int = 0) -> Size | None:
    """Size of the model that table `[model]` describes, with room for `modules` beside the basis.

    None for somebody's own model that cannot be made this way. Raises ExperimentError as making it would.
    """
    rng = torch_generator(0, EVERYBODY, "size")
    try:
        with torch.device("meta"), _NoDraws():
            model: Model = kinds.resolve("model", table.kind)(
                table.options, shape, Chance(rng, rng, Noise(0, 0))
            )
            if modules:
                model.reserve(modules)
    except ExperimentError:
        raise
    except RuntimeError as error:  # torch, of more elements than it can count
        return Size(BEYOND, BEYOND) if any(words in str(error) for words in UNCOUNTABLE) else None
    except Exception:  # anything else that a constructor does: the real one will say it
        return None
    sizes = [(parameter.numel(), model.place(name).kind) for name, parameter in model.named_parameters()]
    return Size(sum(n for n, _ in sizes), sum(n for n, kind in sizes if kind != "frozen"))


class _NoDraws(TorchFunctionMode):
    """Nothing is drawn: on "meta" it would change nothing, and torch loads its compiler for some of it."""

    def __torch_function__(
        self,
        func: Callable[..., object],
        types: Collection[type],
        args: tuple[object, ...] = (),
        kwargs: Mapping[str, object] | None = None,
    ) -> object:
        if func in _DRAWS:
            return args[0]
        return func(*args, **(kwargs or {}))


_DRAWS = {Tensor.uniform_, Tensor.normal_, Tensor.bernoulli_, Tensor.random_, Tensor.exponential_}
