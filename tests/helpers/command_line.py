"""The command line as a user calls it."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from mpidcl import cli

SMALL = 'name = "small"\nagents = 2\n[stream]\ntasks = 2\n'
CommandLine = Callable[..., "subprocess.CompletedProcess[str]"]


def status(*words: str | Path) -> int:
    """Exit status of `mpidcl` with these words."""
    with pytest.raises(SystemExit) as end:
        cli.main([str(word) for word in words])
    return end.value.code  # type: ignore[return-value]
