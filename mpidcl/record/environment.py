"""`environment.json`: on what a run was made. Versions come from package metadata, nothing is imported."""

from __future__ import annotations

import json
import platform
from collections.abc import Sequence
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import Any

import mpidcl

PACKAGES = ("mpidcl", "numpy", "torch", "numba", "mpi4py", "h5py", "scipy", "scikit-learn", "networkx")


def environment(
    mpi: str | None, hosts: Sequence[str], threads: int, package: Path | None = None, device: str = "cpu"
) -> dict[str, Any]:
    """Versions, machine, MPI, and the commit of the code in the folder `package` (default: this one).

    `mpi` is the vendor and version as the caller's MPI reports it (None: no MPI), `hosts` one name per rank,
    `device` where the models really live. Where the commit is not known, `commit_unknown` says why.
    """
    commit, why = source_commit(package or Path(mpidcl.__file__).parent)
    versions = {}
    for name in PACKAGES:
        with suppress(metadata.PackageNotFoundError):
            versions[name] = metadata.version(name)
    return {
        "python": platform.python_version(),
        "packages": versions,
        "platform": platform.platform(),
        "processor": platform.machine(),
        "mpi": mpi,
        "hosts": list(hosts),
        "threads": threads,
        "device": device,
        "commit": commit,
    } | ({"commit_unknown": why} if why else {})


def environment_changes(there: dict[str, Any], here: dict[str, Any]) -> list[str]:
    """One line for each version or device that differs: only without any will a resume give the same bytes.

    None of them where nothing is known of the versions `there`.
    """
    packages = sorted({*there.get("packages", {}), *here.get("packages", {})})
    names = ["python", "mpi", *(["device"] if "device" in there else []), *packages] if there else []
    then, now = (found.get("packages", {}) | found for found in (there, here))
    return [
        f"{name}: was {then.get(name)}, now {now.get(name)}"
        for name in names
        if then.get(name) != now.get(name)
    ]


def source_commit(package: Path) -> tuple[str | None, str]:
    """The commit that the code in the folder `package` is of, or None and why it is not known.

    The work tree is the one that holds the package itself; one further up is another project's. Its files are
    read: some MPI transports do not survive the start of a process. pip notes the commit of a git address.
    """
    git = package.parent / ".git"
    if not git.exists():
        installed = _installed_commit(package)
        return installed, "" if installed else "the code was installed as a package, not from a git work tree"
    try:
        commit = _checked_out(git)
    except (OSError, UnicodeDecodeError) as error:
        return None, f"{git} cannot be read: {error}"
    return commit, "" if commit else f"{git} names no commit in a form that is read here"


def _checked_out(git: Path) -> str | None:
    """Of a work tree's `.git`: a folder, or the file that stands for one in an added work tree."""
    if git.is_file():
        git = git.parent / git.read_text().strip().removeprefix("gitdir: ")
    head = (git / "HEAD").read_text().strip()
    if not head.startswith("ref: "):
        return head
    common = git / "commondir"
    places = [git, git / common.read_text().strip()] if common.is_file() else [git]
    return next((found for place in places if (found := _resolve(place, head[len("ref: ") :]))), None)


def _resolve(git: Path, name: str) -> str | None:
    if (git / name).is_file():
        return (git / name).read_text().strip()
    packed = git / "packed-refs"
    lines = packed.read_text().splitlines() if packed.is_file() else []
    return next((line.split()[0] for line in lines if line.endswith(f" {name}")), None)


def _installed_commit(package: Path) -> str | None:
    """What pip noted of the installation in that folder."""
    with suppress(metadata.PackageNotFoundError, ValueError, KeyError, TypeError):
        found = metadata.distribution("mpidcl")
        if Path(str(found.locate_file(""))).resolve() == package.parent.resolve():
            return str(json.loads(found.read_text("direct_url.json") or "{}")["vcs_info"]["commit_id"])
    return None
