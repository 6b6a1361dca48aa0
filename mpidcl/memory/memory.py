"""What a kind of `memory.policy` may be."""

from __future__ import annotations

from typing import ClassVar

from mpidcl.experiment.part import Part


class Keeping(Part):
    """Base of all rules by which rows stay."""

    room = "policy"
    takes_rows: ClassVar[str]
    """How rows come to it, for a message."""
    needs_classes: ClassVar[bool] = False
    """Whether rows have to come with their classes."""
