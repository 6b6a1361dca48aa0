"""What is closed where a `with` block ends well, such as a library form that all ranks close together."""

from __future__ import annotations

from abc import ABC, abstractmethod
from types import TracebackType
from typing import Self


class Closing(ABC):
    """A context manager: closes unless the block has failed, as the other ranks may be anywhere then."""

    @abstractmethod
    def close(self) -> None:
        """The end; every rank calls it."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.close()
