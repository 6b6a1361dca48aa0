"""Arrays where kernels find them, as a type that imports no torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from mpidcl_kernels.base.types import View

if TYPE_CHECKING:
    from torch import Tensor

Placed: TypeAlias = "View | Tensor"
"""On the CPU an array of NumPy or a tensor, on a GPU a tensor."""

Parts = Literal["shared", "all"]
"""Spans of a learner's flat parameters that can be averaged: what is not of one task alone, or heads, too."""


def on_host(values: Any) -> Any:
    """An array of the host from a tensor or whatever NumPy takes; tensors on the CPU are not copied.

    Raises TypeError or ValueError for what is no array.
    """
    return np.asarray(values.detach().cpu().numpy() if hasattr(values, "detach") else values)
