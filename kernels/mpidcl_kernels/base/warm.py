"""Compiles kernels, or loads them from the cache, before anybody waits for them."""

from __future__ import annotations

import importlib


def warm_up(*names: str) -> None:
    """Call every loop of the modules `names` once, on the smallest arrays of the types that learners use.

    The first process of a node fills the cache on disk; those that call it later only read it.
    """
    for name in names:
        importlib.import_module(f"mpidcl_kernels.{name}").warm()
