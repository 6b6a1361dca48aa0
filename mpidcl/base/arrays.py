"""Arrays where kernels find them, as a type that imports no torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias

from mpidcl_kernels.base.types import View

if TYPE_CHECKING:
    from torch import Tensor

Placed: TypeAlias = "View | Tensor"
"""On the CPU an array of NumPy or a tensor, on a GPU a tensor."""

Parts = Literal["shared", "all"]
"""Spans of a learner's flat parameters that can be averaged: what is not of one task alone, or heads, too."""
