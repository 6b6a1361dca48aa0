"""What a run was begun with, besides its experiment file: `identity.json` in the run folder.

A run that goes on with other links, images or code gives another result than one that was never stopped. So
these are noted when it begins and compared whenever it is opened. Every checkpoint carries their digest.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

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
    `files`: key that names a file, about links or read by a part -> the sha256 of it.
    """

    experiment: str
    links: dict[str, str]
    data: dict[str, str] | None = field(default_factory=dict)
    methods: dict[str, dict[str, str]] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)

    @cached_property
    def digest(self) -> str:
        """One word for all of it. Where a file lies does not count."""
        methods = {module: found["sha256"] for module, found in self.methods.items()}
        # runs without such files keep the digest that they had before there were any
        files = [self.files] if self.files else []
        return digest_of([self.experiment, self.links, self.data, methods, *files])[:32]

    @classmethod
    def from_tables(cls, tables: Mapping[str, Any]) -> Identity:
        """From what `asdict` gave. Raises ValueError when it is not that."""
        return TypeAdapter(cls).validate_python(tables)


def changes(there: Identity, here: Identity) -> list[str]:
    """One line for each link, file, data set and module that is not as it was; of no settings."""
    then, now = (_links(one) for one in (there, here))
    links = [f"link {s} -> {t}: only {'there' if (s, t) in then else 'here'}" for s, t in sorted(then ^ now)]
    data = []
    if there.data is not None and here.data is not None:
        for name in sorted({*there.data, *here.data}):
            old, new = there.data.get(name, "none"), here.data.get(name, "none")
            data += [f"the data set {name}: there {old:.12}, here {new:.12}"] if old != new else []
    methods = [
        f"the own module {module}: {change}"
        for module in sorted({*there.methods, *here.methods})
        if (change := _change(there.methods.get(module), here.methods.get(module)))
    ]
    files = [
        f"the file of {key}: there {old:.12}, here {new:.12}"
        for key in sorted({*there.files, *here.files})
        if (old := there.files.get(key, "none")) != (new := here.files.get(key, "none"))
    ]
    return [*_some(links, "links"), *files, *data, *_some(methods, "modules")]


def _links(identity: Identity) -> set[tuple[int, int]]:
    return {(int(s), int(t)) for s, targets in identity.links.items() for t in targets.split()}


def _change(then: Mapping[str, str] | None, now: Mapping[str, str] | None) -> str:
    """What became of a module; empty: nothing."""
    if now is None:
        return f"{then['file']} was used and is not any more" if then else ""
    if then is None:
        return f"{now['file']} was not used before"
    return "" if then["sha256"] == now["sha256"] else f"{now['file']} was changed"


def _some(lines: list[str], what: str) -> list[str]:
    more = [f"... and {len(lines) - SHOWN} more {what}"] if len(lines) > SHOWN else []
    return [*lines[:SHOWN], *more]


def write_identity(folder: Path, identity: Identity) -> None:
    """Notes in the run folder what the run is begun with."""
    write_sealed(folder / IDENTITY, asdict(identity))


def read_identity(folder: Path) -> Identity | None:
    """What the run in `folder` was begun with; None when the note is missing or damaged.

    Every checkpoint has its digest, so a run without the note is still not gone on with by mistake.
    """
    with suppress(OSError, ValueError):
        return Identity.from_tables(read_sealed(folder / IDENTITY))
    return None
