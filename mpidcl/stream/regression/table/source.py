"""The files of a table stream, as what a run is bound to."""

from __future__ import annotations

from pathlib import Path
from typing import final

from mpidcl.errors import DataError
from mpidcl.stream.datasets.contents import hashes_of, joined
from mpidcl.stream.regression.table.options import TableOptions
from mpidcl.stream.regression.table.reading import no_file
from mpidcl.stream.source import Source


@final
class TableFiles(Source):
    """The files by their bytes: where they lie does not count."""

    def __init__(self, options: TableOptions) -> None:
        self.options = options

    def label(self, defaults: bool) -> str:
        """The names of the files, in their order."""
        return "table " + ", ".join(
            Path(path).name if name is None else f"{name}={Path(path).name}"
            for name, path in self.options.named()
        )

    def here(self) -> bool:
        """Whether all are there."""
        return all(Path(path).is_file() for _, path in self.options.named())

    def fingerprint(self) -> str:
        """sha256 over the names that the files are given and their bytes. Raises DataError."""
        return joined([*(name or "" for name, _ in self.options.named()), *self._hashes()])

    def origin(self) -> str:
        """Where they lie, and the begin of their sha256."""
        paths = [str(Path(path).absolute()) for _, path in self.options.named()]
        return ", ".join(
            f"{path} (sha256 {found[:12]})" for path, found in zip(paths, self._hashes(), strict=True)
        )

    def _hashes(self) -> list[str]:
        for _, path in self.options.named():
            if not Path(path).is_file():
                raise DataError(no_file(path))
        try:
            return [each.sha256 for each in hashes_of([Path(path) for _, path in self.options.named()])]
        except OSError as reason:
            raise DataError(f"A table cannot be read: {reason}.") from reason
