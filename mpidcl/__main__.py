"""`python -m mpidcl`: the command line, and under mpiexec one rank of it."""

from __future__ import annotations

from mpidcl.cli import main

if __name__ == "__main__":
    main()
