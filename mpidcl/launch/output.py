"""Standard output and error: their reader may leave (`mpidcl report RUN | head`), their disk may be full."""

from __future__ import annotations

import codecs
import io
import os
import sys
from contextlib import suppress

from mpidcl.base.rank_variables import launcher
from mpidcl.errors import OutputError
from mpidcl.launch.job import STATUS_FILE


class Output(io.TextIOWrapper):
    """A stream like the one that Python opens; what nobody reads any more is dropped.

    Raises OutputError, once, when it cannot be written for another reason.
    """

    def isatty(self) -> bool:
        """False also for a rank whose job writes to a file: Open MPI shows it a terminal all the same.

        `launch` says which by TTY_COMPATIBLE (0: a file); another mpiexec does not, then it counts as a file.
        """
        told = os.environ.get("TTY_COMPATIBLE")
        if told is None and STATUS_FILE not in os.environ and (found := launcher()) and found.size != 1:
            return False
        return told != "0" and super().isatty()

    def write(self, text: str) -> int:
        """Write, or drop."""
        if text == "":
            return 0  # typer tries a stream with nothing, and forgets what came of it
        try:
            return super().write(text)
        except OSError as error:
            self._drop(error)
            return len(text)

    def flush(self) -> None:
        """Flush, or drop."""
        try:
            super().flush()
        except OSError as error:
            self._drop(error)

    def _drop(self, error: OSError) -> None:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self.fileno())  # what is still in the buffers goes there, too
        os.close(nowhere)
        if not isinstance(error, BrokenPipeError):
            name = "standard output" if self.fileno() == 1 else "standard error"
            raise OutputError(f"{name} cannot be written: {error.strerror}.") from error


def prepare_streams() -> None:
    """Make the process's standard streams such `Output`s; a stream that was closed leads nowhere."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
        elif type(stream) is io.TextIOWrapper and stream is getattr(sys, f"__{name}__"):
            with suppress(OSError, ValueError):
                stream.flush()
                setattr(sys, name, _output(stream))


def _output(stream: io.TextIOWrapper) -> Output:
    ascii_only = codecs.lookup(stream.encoding).name == "ascii"  # the locale C, which knows no other letters
    return Output(
        stream.buffer,
        encoding="utf-8" if ascii_only else stream.encoding,
        errors="backslashreplace",  # what the locale cannot show is printed as an escape, and ends nothing
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )
