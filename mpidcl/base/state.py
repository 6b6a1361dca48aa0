"""What is saved of a part of a run, and what is told of it: plain data that comes back as it was."""

from __future__ import annotations

from typing import Any

State = dict[str, Any]
"""A nested dict. Its leaves are arrays of numbers, int, float, bool, str, None, or flat lists of those.

Whoever loads a state knows what it has written; `record.checkpoint` refuses everything else.
"""
Facts = dict[str, Any]
"""What an agent tells its neighbours of itself before they begin: values that JSON holds."""
