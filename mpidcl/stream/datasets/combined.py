"""Several data sets in one network: agent i learns from the data set number i mod n of a list."""

from __future__ import annotations

from typing import cast

from pydantic import Field

from mpidcl.errors import ExperimentError
from mpidcl.experiment.options import Options as Table
from mpidcl.stream.datasets.base import Arrays, DataSet, Info


class CombinedOptions(Table):
    """Which data sets, in turn."""

    of: tuple[str, ...] = Field(
        ("mnist", "kmnist", "fashion-mnist"),
        min_length=1,
        description="names of the data sets; agent i takes number i mod n",
    )


class Combined(DataSet):
    """A data set per agent (`combined` of the DCL page: MNIST, KMNIST, Fashion-MNIST in turn).

    Class ids of different data sets do not compare, so a task carries the name of its own data set.
    """

    Options = CombinedOptions

    def __init__(self, options: Table | None = None) -> None:
        from mpidcl.stream.datasets.catalogue import make

        super().__init__(options)
        names = cast(CombinedOptions, self.options).of
        if "combined" in names:
            raise ExperimentError(
                '`stream.data.of` should name plain data sets. Found "combined" inside itself.'
            )
        self._parts = tuple(make(name) for name in names)
        self.info = _info(self._parts)

    def for_agent(self, agent: int) -> DataSet:
        """Number agent mod n of the list."""
        return self._parts[agent % len(self._parts)]

    def parts(self) -> tuple[DataSet, ...]:
        """All data sets of the list, each once."""
        return tuple({part.info.name: part for part in self._parts}.values())

    def decode(self) -> Arrays:
        """Not possible: each agent loads its own data set."""
        raise TypeError("Load the data set of one agent: combined.for_agent(i).load().")


def _info(parts: tuple[DataSet, ...]) -> Info:
    first = parts[0].info
    return Info(
        name="combined", shape=first.shape, classes=first.classes, train=None, test=None,
        home=", ".join(part.info.name for part in parts), licence="that of its parts",
        seen=all(part.info.seen for part in parts),
    )  # fmt: skip
