"""`metrics/agent-0003.jsonl`: one line per evaluation, appended as it happens, cut back on resume."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Sequence
from pathlib import Path

from mpidcl.errors import RunFolderError
from mpidcl.record.atomic import write_text, writing
from mpidcl.record.records import Evaluation


class Journal:
    """Append-only file of one agent's evaluations. Nothing is opened before the first append."""

    def __init__(self, path: Path, agent: int) -> None:
        self.path = path
        self.agent = agent

    def append(self, evaluation: Evaluation) -> None:
        """Adds one line and hands it to the operating system at once."""
        with writing(self.path), self.path.open("a", encoding="utf-8", newline="\n") as file:
            file.write(self._line(evaluation))

    def _line(self, evaluation: Evaluation) -> str:
        return json.dumps({"agent": self.agent, **_as_dict(evaluation)}, allow_nan=False) + "\n"

    def length(self) -> int:
        """Bytes on disk, flushed there first: what a checkpoint remembers."""
        if not self.path.exists():
            return 0
        with self.path.open("rb") as file:
            os.fsync(file.fileno())
            return os.fstat(file.fileno()).st_size

    def restore(self, length: int, evaluations: Sequence[Evaluation]) -> None:
        """The file as it was at a checkpoint of `length` bytes and these evaluations.

        Later lines are cut off; where lines were lost, they are written again from the checkpoint.
        """
        if self.length() < length:
            write_text(self.path, "".join(map(self._line, evaluations)))
        self.truncate(length)

    def truncate(self, length: int) -> None:
        """Cuts the file back to `length` bytes: forgets what came after a checkpoint.

        Raises RunFolderError when the file is shorter than that.
        """
        found = self.length()
        if found < length:
            raise RunFolderError(
                f"`{self.path}` should hold at least {length} bytes, as when the checkpoint was written. "
                f"Found {found}. Lines were lost; start a new run with `--again`."
            )
        if found > length:
            with writing(self.path):
                os.truncate(self.path, length)

    def read(self) -> list[Evaluation]:
        """All evaluations; a last line that is still being written is left out.

        Raises RunFolderError that names file and line when another line is damaged.
        """
        text = self.path.read_text(encoding="utf-8") if self.path.exists() else ""
        lines = text.split("\n")[:-1]
        return [self._parse(number, line) for number, line in enumerate(lines, start=1)]

    def _parse(self, number: int, line: str) -> Evaluation:
        try:
            found = json.loads(line)
            if found.pop("agent") != self.agent:
                raise ValueError("it belongs to another agent")
            accuracy = tuple(math.nan if value is None else value for value in found["accuracy"])
            return Evaluation(**found | {"accuracy": accuracy})
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise RunFolderError(
                f"Line {number} of `{self.path}` should be one evaluation of agent {self.agent}. "
                f"Found `{line[:60]}`: {error}. Start a new run with `--again`, or remove the line."
            ) from error


def _as_dict(evaluation: Evaluation) -> dict[str, object]:
    return {
        "task": evaluation.task,
        "tick": evaluation.tick,
        "time": evaluation.time,
        "accuracy": [None if math.isnan(value) else float(value) for value in evaluation.accuracy],
        "wire_bytes": evaluation.wire_bytes,
        "paper_floats": evaluation.paper_floats,
    }
