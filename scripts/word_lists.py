"""Options of scripts that take some of many names, as `--only run,resume`."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Collection


def listed(known: Collection[str]) -> Callable[[str], list[str]]:
    """A list of some of the `known` names, from a text with commas; for `type` of an argument."""

    def read(text: str) -> list[str]:
        given = [name.strip() for name in text.split(",")]
        if unknown := [name for name in given if name not in known]:
            raise argparse.ArgumentTypeError(f"should be of {', '.join(known)}. Found {', '.join(unknown)}")
        return given

    return read
