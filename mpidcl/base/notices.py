"""Lines for the user, on standard error; a terminal that has gone away stops nothing."""

from __future__ import annotations

import sys
from contextlib import suppress

from mpidcl.errors import MpidclError


def say(text: str) -> None:
    """A line, if it can be written."""
    with suppress(OSError, ValueError, AttributeError, MpidclError):
        print(text, file=sys.stderr, flush=True)


def warn(text: str) -> None:
    """The same, with the program's name in front."""
    say(f"mpidcl: {text}")
