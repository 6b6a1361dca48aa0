"""Errors that a user can cause, each with the exit status that the command line gives for it."""

from mpidcl.printable import printable

EXIT_DONE = 0
EXIT_WRONG_INPUT = 2
EXIT_FAILED = 70
EXIT_RESUMABLE = 75


class MpidclError(Exception):
    """Base of all errors that mpidcl raises on purpose; its text is one clear message for a user.

    What it quotes may come from files, names and neighbours of others: nothing of it acts on a terminal.
    """

    exit_status = EXIT_FAILED

    def __str__(self) -> str:
        return printable(super().__str__())


class ExperimentError(MpidclError):
    """The experiment file, a `--set`, or a combination of settings is wrong."""

    exit_status = EXIT_WRONG_INPUT


class DataError(MpidclError):
    """A data set is missing, truncated or not what its name says."""

    exit_status = EXIT_WRONG_INPUT


class RunFolderError(MpidclError):
    """A run folder belongs to another experiment or cannot be used."""

    exit_status = EXIT_WRONG_INPUT


class CheckpointError(MpidclError):
    """No complete checkpoint could be read, or one does not fit the experiment."""

    exit_status = EXIT_WRONG_INPUT


class RecordError(MpidclError):
    """A part of an agent hands over a table or a measure that no record can hold."""


class OutputError(MpidclError):
    """Standard output cannot be written: a full disk, say."""

    exit_status = EXIT_WRONG_INPUT


class FrameError(MpidclError):
    """A frame from a neighbour is damaged or not what the link allows."""


class CombineError(MpidclError):
    """Agents that share one model bring gradients or weights that do not fit together."""


class ReplayError(MpidclError):
    """Columns, rows, ranks or files of a replay buffer do not fit together."""

    exit_status = EXIT_WRONG_INPUT


class RequestError(MpidclError):
    """An agent asks its driver for what nobody answers, or what does not fit what it asked before."""


class DeadlockError(MpidclError):
    """Every agent of this process waits and nothing can arrive any more, or a deadline passed."""
