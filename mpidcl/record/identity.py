"""What a run was begun with, besides its experiment file: `identity.json` in the run folder.

A run that goes on with other links, other images or other code of the user's gives another result than one
that was never stopped, and nobody would see it. So these are noted when the run begins and compared
whenever it is opened. Every checkpoint carries the digest of all of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from mpidcl.errors import RunFolderError
from mpidcl.record.sealed import digest_of, read_sealed, write_sealed

IDENTITY = "identity.json"
SHOWN = 12
"""How many differing links a message lists."""


@dataclass(frozen=True)
class Identity:
    """What a run was begun with.

    `experiment`: digest of its resolved settings. `links`: agent -> the agents that it sends to, as a text
    such as "1 3". `data`: data set -> its fingerprint; None when the files are not on this machine.
    `methods`: module of the user's own -> its source `file` and the `sha256` of that file.
    """

    experiment: str
    links: dict[str, str]
    data: dict[str, str] | None = field(default_factory=dict)
    methods: dict[str, dict[str, str]] = field(default_factory=dict)

    @cached_property
    def digest(self) -> str:
        """One word for all of it. Where a file lies does not count."""
        methods = {module: found["sha256"] for module, found in self.methods.items()}
        return digest_of([self.experiment, self.links, self.data, methods])[:32]

    @classmethod
    def from_tables(cls, tables: Mapping[str, Any]) -> Identity:
        """From what `asdict` gave. Raises ValueError or TypeError when it is not that."""
        links = {str(agent): str(targets) for agent, targets in dict(tables["links"]).items()}
        methods = {
            str(module): {key: str(found[key]) for key in ("file", "sha256")}
            for module, found in dict(tables["methods"]).items()
        }
        data = tables["data"] if tables["data"] is None else dict(tables["data"])
        return cls(str(tables["experiment"]), links, data, methods)


def changes(there: Identity, here: Identity) -> list[str]:
    """One line for each link, data set and module that is not as it was; settings are compared elsewhere."""
    lines = _some(_link_changes(there.links, here.links), "links")
    if there.data is not None and here.data is not None:
        lines += [
            f"the data set {name}: there {_short(there.data.get(name))}, here {_short(here.data.get(name))}"
            for name in sorted({*there.data, *here.data})
            if there.data.get(name) != here.data.get(name)
        ]
    return lines + _some(_method_changes(there.methods, here.methods), "modules")


def _some(lines: Iterator[str], what: str) -> list[str]:
    found = list(lines)
    return found if len(found) <= SHOWN else [*found[:SHOWN], f"... and {len(found) - SHOWN} more {what}"]


def _link_changes(there: Mapping[str, str], here: Mapping[str, str]) -> Iterator[str]:
    for source in sorted({*there, *here}, key=int):
        then, now = ({*links.get(source, "").split()} for links in (there, here))
        for target in sorted(then ^ now, key=int):
            yield f"link {source} -> {target}: only {'there' if target in then else 'here'}"


def _method_changes(
    there: Mapping[str, Mapping[str, str]], here: Mapping[str, Mapping[str, str]]
) -> Iterator[str]:
    for module in sorted({*there, *here}):
        then, now = there.get(module), here.get(module)
        if now is None and then is not None:
            yield f"the own module {module}: {then['file']} was used and is not any more"
        elif then is None and now is not None:
            yield f"the own module {module}: {now['file']} was not used before"
        elif then is not None and now is not None and then["sha256"] != now["sha256"]:
            yield f"the own module {module}: {now['file']} was changed"


def _short(fingerprint: str | None) -> str:
    return "none" if fingerprint is None else fingerprint[:12]


def write_identity(folder: Path, identity: Identity) -> None:
    """Notes in the run folder what the run is begun with."""
    write_sealed(folder / IDENTITY, asdict(identity))


def read_identity(folder: Path) -> Identity | None:
    """What the run in `folder` was begun with; None when the note is missing or damaged.

    Every checkpoint has its digest, so a run without the note is still not gone on with by mistake.
    """
    try:
        return Identity.from_tables(read_sealed(folder / IDENTITY))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def check_identity(folder: Path, here: Identity) -> None:
    """Raises RunFolderError that lists what is no longer as it was when the run was begun."""
    there = read_identity(folder)
    found = [] if there is None else changes(there, here)
    if found:
        lines = "\n".join(f"  {line}" for line in found)
        raise RunFolderError(
            f"`{folder}` should go on with what it was begun with. Found changes outside of the experiment "
            f"file:\n{lines}\n"
            "Put back what was there, choose another folder with `--out`, or start a run beside it: "
            f"`--again`. `mpidcl report {folder}` shows what the run has come to."
        )
