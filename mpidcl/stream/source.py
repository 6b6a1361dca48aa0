"""What a stream reads: a run is bound to its content, and says where it comes from."""

from __future__ import annotations

from abc import ABC, abstractmethod


class Source(ABC):
    """Files of a data set or of the user's own."""

    @abstractmethod
    def label(self, defaults: bool) -> str:
        """Its name and options; `defaults`: also those options that have their default."""

    @abstractmethod
    def here(self) -> bool:
        """Whether its files, or what it can do with some of them, are on this machine."""

    @abstractmethod
    def fingerprint(self) -> str:
        """Changes when what is read does. Raises DataError."""

    @abstractmethod
    def origin(self) -> str:
        """One line on where the data come from, for the record of a run. Raises DataError."""

    def note(self) -> str:
        """What a user should be told when a run begins, if anything. Raises DataError."""
        return ""
