"""`python -m mpidcl.launch RANKS [LIMIT_S] -- PROGRAM [ARGUMENT]...`: any program on ranks, for scripts."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from mpidcl.base.notices import say
from mpidcl.errors import EXIT_WRONG_INPUT
from mpidcl.launch.ending import guard
from mpidcl.launch.output import prepare_streams
from mpidcl.launch.start import run_ranks


def main(arguments: Sequence[str]) -> int:
    """Run a program on ranks as `run_ranks` does."""
    try:
        cut = list(arguments).index("--")
        ranks, limit = int(arguments[0]), float(arguments[1]) if cut > 1 else None
    except (ValueError, IndexError):
        say("usage: python -m mpidcl.launch RANKS [LIMIT_S] -- PROGRAM [ARGUMENT]...")
        return EXIT_WRONG_INPUT
    return guard(lambda: run_ranks(arguments[cut + 1 :], ranks, limit_s=limit))


if __name__ == "__main__":
    prepare_streams()
    sys.exit(main(sys.argv[1:]))
