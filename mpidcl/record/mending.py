"""A finished run whose files were damaged since: what can be made again, and from what."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from mpidcl.errors import CheckpointError, RunFolderError
from mpidcl.record.folder import RunFolder
from mpidcl.record.identity import Identity
from mpidcl.record.lock import Lock
from mpidcl.record.manifest import newest_complete
from mpidcl.record.records import AgentRecord

Check = Callable[[Path, Mapping[str, Any], Sequence[AgentRecord]], None]
"""Raises RunFolderError where a summary, read from a path, is not that of the records."""


def find_damage(folder: RunFolder, warn: Callable[[str], None], check: Check) -> str | None:
    """What is damaged in the results or the summary of a finished run; None: nothing. `check` raises.

    Journals say what the results say, and are made again from them here.
    """
    try:
        results, summary = folder.outcome()
        check(folder.summary_file, summary, results.records)
    except RunFolderError as error:
        return str(error)
    for record in results.records:
        journal = folder.journal(record.agent)
        with suppress(RunFolderError):  # a folder that cannot be written is only looked at
            if not journal.restore(record.evaluations):
                warn(f"{journal.path} was damaged: its lines are written again from results.h5")
    return None


def reopen(
    folder: RunFolder, agents: int, identity: Identity, lock: Lock, damage: str, warn: Callable[[str], None]
) -> None:
    """Makes a damaged finished run an unfinished one, which goes on from its newest checkpoint.

    That is nearly always its end. Raises RunFolderError when there is no checkpoint to go on from.
    """
    lock.take(folder.path)
    why = f"There is no checkpoint in `{folder.checkpoints}`. Start a new run with `--again`."
    try:
        found = newest_complete(folder.checkpoints, agents, warn, identity.digest)
    except CheckpointError as error:
        found, why = None, str(error)
    if found is None:
        what = damage.partition(" The same `mpidcl run` command")[0]  # which is what was called
        raise RunFolderError(f"{what}\nIt cannot be made again. {why}")
    warn(f"{damage} This one does.")
    folder.summary_file.unlink(missing_ok=True)
