"""`environment.json`: on what a run was made. Versions come from package metadata, nothing is imported."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

PACKAGES = ("mpidcl", "numpy", "torch", "numba", "mpi4py", "h5py", "scipy", "scikit-learn", "networkx")


def environment(
    mpi: str | None, hosts: Sequence[str], threads: int, folder: Path | None = None, device: str = "cpu"
) -> dict[str, Any]:
    """Versions, machine, MPI and the commit of the git work tree around `folder` (default: the current one).

    `mpi` is the vendor and version as the caller's MPI reports it (None: no MPI), `hosts` one name per rank,
    `device` where the models really live.
    """
    return {
        "python": platform.python_version(),
        "packages": {name: version for name in PACKAGES if (version := _version(name))},
        "platform": platform.platform(),
        "processor": platform.machine(),
        "mpi": mpi,
        "hosts": list(hosts),
        "threads": threads,
        "device": device,
        "commit": git_commit(folder or Path.cwd()),
    }


def environment_changes(there: dict[str, Any], here: dict[str, Any]) -> list[str]:
    """One line for each version or device that differs: only without any will a resume give the same bytes.

    None when nothing is known of the versions `there`.
    """
    if not there:
        return []
    pairs = {"python": (there.get("python"), here.get("python")), "mpi": (there.get("mpi"), here.get("mpi"))}
    if "device" in there:
        pairs["device"] = there["device"], here["device"]
    then, now = there.get("packages", {}), here.get("packages", {})
    pairs |= {name: (then.get(name), now.get(name)) for name in sorted(set(then) | set(now))}
    return [f"{name}: was {old}, now {new}" for name, (old, new) in pairs.items() if old != new]


def git_commit(folder: Path) -> str | None:
    """The commit checked out in the work tree around `folder`, read from its files (no process is started:
    some MPI transports do not survive a fork). None outside a work tree."""
    for place in (folder, *folder.parents):
        head = place / ".git" / "HEAD"
        if head.is_file():
            return _resolve(head.parent, head.read_text().strip())
    return None


def _resolve(git: Path, head: str) -> str | None:
    if not head.startswith("ref: "):
        return head
    name = head.removeprefix("ref: ")
    if (git / name).is_file():
        return (git / name).read_text().strip()
    packed = git / "packed-refs"
    lines = packed.read_text().splitlines() if packed.is_file() else []
    return next((line.split()[0] for line in lines if line.endswith(f" {name}")), None)


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
