"""What is saved of a part of a run: the form in which everything goes into a checkpoint and comes back."""

from __future__ import annotations

from typing import Any

State = dict[str, Any]
"""A nested dict. Its leaves are arrays of numbers, int, float, bool, str, None, or flat lists of those.

Whoever loads a state knows what it has written; `record.checkpoint` refuses everything else.
"""
