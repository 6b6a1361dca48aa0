"""`metrics/agent-0003.jsonl`: one line per evaluation, appended as it happens, cut back on resume."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from mpidcl.errors import RunFolderError
from mpidcl.record.atomic import make_folder, write_bytes, writing
from mpidcl.record.records import MOMENT, Evaluation


class Journal:
    """Append-only file of one agent's evaluations. Nothing is opened before the first append."""

    def __init__(self, path: Path, agent: int) -> None:
        self.path = path
        self.agent = agent

    def append(self, evaluation: Evaluation) -> None:
        """Adds one line and hands it to the operating system at once."""
        line = self._line(evaluation)
        with writing(self.path), self.path.open("a", encoding="utf-8", newline="\n") as file:
            file.write(line)

    def _line(self, evaluation: Evaluation) -> str:
        moment = {name: getattr(evaluation, name) for name in MOMENT}
        sent = {name: moment.pop(name) for name in MOMENT[-2:]}  # stands behind the values
        ahead = {"ahead": _plain(evaluation.ahead)} if evaluation.ahead else {}
        line = {"agent": self.agent} | moment | _plain(evaluation.values) | sent | ahead
        return json.dumps(line, allow_nan=False) + "\n"

    def restore(self, evaluations: Sequence[Evaluation]) -> bool:
        """Makes the file hold these evaluations alone, byte for byte, as when a checkpoint was taken.

        Later lines are cut off. Lines that were lost or changed since then are written again: False then.
        """
        wanted, found = "".join(map(self._line, evaluations)).encode(), self._found()
        if found.startswith(wanted):
            if len(found) > len(wanted):
                with writing(self.path):
                    os.truncate(self.path, len(wanted))
            return True
        make_folder(self.path.parent)
        write_bytes(self.path, wanted)
        return False

    def _found(self) -> bytes:
        return self.path.read_bytes() if self.path.exists() else b""

    def read(self) -> list[Evaluation]:
        """All evaluations; a last line that is still being written is left out.

        Raises RunFolderError that names file and line when another line is damaged.
        """
        lines = self._found().decode(errors="replace").split("\n")[:-1]
        return [self._parse(number, line) for number, line in enumerate(lines, start=1)]

    def _parse(self, number: int, line: str) -> Evaluation:
        try:
            found = json.loads(line)
            if found.pop("agent") != self.agent:
                raise ValueError("it belongs to another agent")
            own = {key: found.pop(key) for key in MOMENT}
            ahead = _values(found.pop("ahead", {}))
            values = _values(found)
            if not values or len({len(row) for row in values.values()}) > 1:
                raise ValueError("it should have values of one or more measures on the same tasks")
            return Evaluation(values=values, ahead=ahead, **own)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise RunFolderError(
                f"Line {number} of `{self.path}` should be one evaluation of agent {self.agent}. "
                f"Found `{line[:60]}`: {error}. Start a new run with `--again`, or remove the line."
            ) from error


def _plain(values: Mapping[str, Sequence[float]]) -> dict[str, list[float | None]]:
    """As JSON, which has no NaN."""
    return {name: [None if math.isnan(x) else float(x) for x in row] for name, row in values.items()}


def _values(plain: Mapping[str, Sequence[float | None]]) -> dict[str, tuple[float, ...]]:
    """What `_plain` was made of."""
    return {name: tuple(math.nan if x is None else float(x) for x in row) for name, row in plain.items()}
