"""Combiners: several gradients in, one direction out (docs/combiners.md)."""

from mpidcl.learning.combiners.base import MEMORY, Combiner, Gradients
from mpidcl.learning.combiners.library import combine, make

__all__ = ["MEMORY", "Combiner", "Gradients", "combine", "make"]
