"""Rows of tables as samples: each group has the rows of its values, each agent a share of its group's."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, NamedTuple, cast

import numpy as np

from mpidcl.experiment.network_table import Network
from mpidcl.experiment.part import Planned, Use
from mpidcl.network.schedule.groups import groups_of
from mpidcl.randomness import numpy_generator
from mpidcl.stream.regression.base import GroupStream, samples_of
from mpidcl.stream.regression.table.dealing import Share, dealt, groups_in, split
from mpidcl.stream.regression.table.encoding import Encoding, Indices
from mpidcl.stream.regression.table.options import TableOptions
from mpidcl.stream.regression.table.reading import Table, read_table
from mpidcl.stream.regression.table.source import TableFiles
from mpidcl.stream.regression.task import BLOCK, Doubles, RegressionTask
from mpidcl.stream.tasks import StreamShape

if TYPE_CHECKING:
    from mpidcl.experiment.file import Experiment


class TableStream(GroupStream):
    """Rows of CSV files. An agent passes over its rows again and again, each time in a new order.

    The number of features is not known without the files, so `shape` reads them. Test rows are drawn in each
    group before anything is computed of the others. No truth is known.
    """

    Options = TableOptions
    grows = ("samples",)

    def __init__(self, experiment: Experiment, agent: int) -> None:
        super().__init__(experiment, agent)
        self.options = cast(TableOptions, experiment.stream.options)
        self.ticks = samples_of(self.options, 1)

    @classmethod
    def planned(cls, options: TableOptions) -> Planned:
        """One task."""
        return Planned(1, ticks=options.samples)

    @classmethod
    def notes(cls, use: Use) -> Iterator[str]:
        """A data set that nobody reads, and rows that are left out; nothing of files that are not here."""
        yield from super().notes(use)
        here = use.options.bad_rows == "skip" and TableFiles(use.options).here()
        if here and (skipped := _table(_key(use.options)).skipped):
            yield f"note: {skipped:,} rows of the table are left out, since they lack something"

    @staticmethod
    def data_set(experiment: Experiment, agent: int) -> TableFiles:
        """Its files: a run is bound to their content."""
        return TableFiles(experiment.stream.options)

    @cached_property
    def shape(self) -> StreamShape:  # type: ignore[override]
        """What a model must fit; reads the files. Raises DataError, ExperimentError."""
        return self._shape(len(self._prepared.encoding.names))

    def group_names(self) -> tuple[str, ...]:
        """The combined values of the columns `group`."""
        return tuple(groups_in(_table(_key(self.options)), self.options.group)[0])

    @property
    def features(self) -> tuple[str, ...]:
        """What each number of a sample is."""
        return self._prepared.encoding.names

    @cached_property
    def _prepared(self) -> Prepared:
        return _prepared(_key(self.options), self._seed, self._network, len(self.groups.of))

    def _task(self, index: int) -> RegressionTask:
        shares, encoding = self._prepared
        share = shares[self.group]
        mine = dealt(share, self.groups.members[self.group], self._agent)
        x, y = encoding.x(mine), encoding.y(mine)

        def block(number: int) -> tuple[Doubles, Doubles]:
            rows = self._order(len(mine), number * BLOCK)
            return x[rows], y[rows]

        test_x, test_y = encoding.x(share.test), encoding.y(share.test)
        return RegressionTask(index, self.group, len(self.groups), block, test_x, test_y)

    def _order(self, rows: int, first: int) -> Indices:
        """Which of its rows are samples `first` .. first + BLOCK - 1: each once in every pass."""
        passes, place = np.divmod(np.arange(first, first + BLOCK), rows)
        found = np.empty(BLOCK, np.int64)
        for number in range(int(passes[0]), int(passes[-1]) + 1):
            order = numpy_generator(self._seed, self._agent, "pass over a table", number).permutation(rows)
            found[passes == number] = order[place[passes == number]]
        return found


class Prepared(NamedTuple):
    """The rows of each group, and what models are given of them."""

    shares: list[Share]
    encoding: Encoding


class Key(NamedTuple):
    """What a table depends on: options as JSON, and the content of the files."""

    options: str
    content: str

    def parsed(self) -> TableOptions:
        """The options again."""
        return TableOptions.model_validate_json(self.options)


def _key(options: TableOptions) -> Key:
    # all agents have one table, though not the same number of samples
    return Key(options.model_dump_json(exclude={"samples"}), TableFiles(options).fingerprint())


@lru_cache(maxsize=2)
def _table(key: Key) -> Table:
    """Read once for all agents of a process."""
    return read_table(key.parsed())


@lru_cache(maxsize=2)
def _prepared(key: Key, seed: int, network: Network, agents: int) -> Prepared:
    """Once for all agents of a process."""
    options, table = key.parsed(), _table(key)
    shares = split(table, options.group, options.test_share, seed, groups_of(network, agents))
    train = np.sort(np.concatenate([share.train for share in shares]))
    return Prepared(shares, Encoding(table, options, train))
