"""How much memory the machine of this process has: what an experiment must fit into."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")


@lru_cache(maxsize=1)
def memory_bytes() -> int:
    """Bytes of memory that all processes here may have together.

    Those of the machine, or fewer where a batch system or container says so. What others use now is counted,
    too: they may be gone when the run starts.
    """
    return min(_physical(), *_limits(Path("/proc/self/cgroup"), CGROUPS))


def _physical() -> int:
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError, AttributeError):
        return 2**62  # not known: nothing is refused


def _limits(own: Path, root: Path) -> Iterator[int]:
    """Limits of the control groups of this process and of those above them (cgroup v2, and v1)."""
    yield 2**62
    with suppress(OSError):
        for line in own.read_text().splitlines():
            _, controllers, group = line.split(":", 2)
            if controllers in ("", "memory"):
                base, name = (
                    (root, "memory.max") if not controllers else (root / "memory", "memory.limit_in_bytes")
                )
                place = base / group.lstrip("/")
                for folder in (place, *place.parents):
                    yield from _limit(folder / name)
                    if folder == base:
                        break


def _limit(file: Path) -> Iterator[int]:
    with suppress(OSError, ValueError):  # "max" is no number: no limit
        yield int(file.read_text())
