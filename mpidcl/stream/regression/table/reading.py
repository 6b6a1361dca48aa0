"""CSV files become a table, some rows at a time: the standard `csv` module, and nothing is executed."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, TextIO

import numpy as np
from numpy.typing import NDArray

from mpidcl.base.files import UnreadableError, open_text
from mpidcl.errors import DataError, ExperimentError
from mpidcl.stream.regression.table.columns import (
    MOST_LEVELS,
    NotNumber,
    TextColumn,
    Texts,
    first_text,
    numbers,
)
from mpidcl.stream.regression.table.options import FILE, TableOptions
from mpidcl.stream.regression.task import Doubles

MOST_BYTES = 4 * 2**30
"""Of a file: every process holds its columns."""
AT_ONCE = 8192
"""Rows that are taken apart together."""
SEPARATORS = ";,\t"
Column = Doubles | Texts


@dataclass(frozen=True)
class Table:
    """Columns by name, all with `rows` rows in the order of the files, and how many rows were left out."""

    columns: dict[str, Column]
    rows: int
    skipped: int

    def texts(self, name: str) -> Texts:
        """A column that was read as texts."""
        found = self.columns[name]
        if not isinstance(found, Texts):
            raise TypeError(f"the column {name} should have been read as texts")
        return found

    def doubles(self, name: str) -> Doubles:
        """A column that was read as numbers."""
        found = self.columns[name]
        if isinstance(found, Texts):
            raise TypeError(f"the column {name} should have been read as numbers")
        return found


class Rows(NamedTuple):
    """Some rows of a file: its fields by column, and the lines on which they end."""

    path: str
    lines: list[int]
    fields: dict[str, Sequence[str]]


class _TextFound(Exception):
    """Columns that are no numbers, though rows before said so: all is read again."""

    def __init__(self, columns: dict[str, NotNumber]) -> None:
        super().__init__(", ".join(columns))
        self.columns = columns


def read_table(options: TableOptions) -> Table:
    """The table of all files. Raises DataError that names file, line and column; ExperimentError for options.

    A column is one of numbers if each field in it is a number or missing.
    """
    texts: dict[str, NotNumber | None] = dict.fromkeys((*options.group, *options.categorical))
    while True:
        try:
            return _Pass(options, texts).read()
        except _TextFound as found:
            texts.update(found.columns)


@dataclass
class _Pass:
    """One reading of all files, with `texts` known to be no numbers."""

    options: TableOptions
    texts: dict[str, NotNumber | None]
    coded: dict[str, TextColumn] = field(default_factory=dict)
    plain: dict[str, list[Doubles]] = field(default_factory=dict)
    rows: int = 0
    skipped: int = 0

    def read(self) -> Table:
        """Of all files. Raises _TextFound."""
        wanted: tuple[str, ...] | None = None
        for name, path in self.options.named():
            try:
                with open_text(path, MOST_BYTES) as file:
                    wanted = self._read_file(file, name, path, wanted)
            except FileNotFoundError:
                raise DataError(no_file(path)) from None
            except UnreadableError as error:
                raise DataError(f"{path} cannot be read as a table: {error}.") from None
        if not self.rows:
            left_out = f" and {self.skipped:,} that are left out, since they lack something" * bool(
                self.skipped
            )
            raise DataError(f"A table should have rows under its first line. Found none{left_out}.")
        columns: dict[str, Column] = {name: column.done() for name, column in self.coded.items()}
        columns |= {name: np.concatenate([*parts, np.empty(0)]) for name, parts in self.plain.items()}
        return Table({name: columns[name] for name in wanted or ()}, self.rows, self.skipped)

    def _read_file(
        self, file: TextIO, name: str | None, path: str, wanted: tuple[str, ...] | None
    ) -> tuple[str, ...]:
        """Columns that are wanted, of the files before or, of the first, found here."""
        reader, header = _opened(file, path, self.options.separator)
        if wanted is None:
            wanted = self._wanted(header, name, path)
        places = {column: header.index(column) for column in wanted if column in header}
        if missing := [one for one in wanted if one not in places and not (name and one == FILE)]:
            raise DataError(f"{path}: should have the column `{missing[0]}`, as the file before. Found none.")
        for lines, parts in self._parts(reader, len(header), path):
            by_place = [*zip(*parts, strict=True)]
            fields: dict[str, Sequence[str]] = {one: by_place[place] for one, place in places.items()}
            if name is not None and FILE in wanted:
                fields[FILE] = [name] * len(lines)
            self._take(Rows(path, lines, {column: fields[column] for column in wanted}))
        return wanted

    def _wanted(self, header: list[str], name: str | None, path: str) -> tuple[str, ...]:
        """The columns that are kept. Raises ExperimentError for one that the options name and nobody has."""
        options = self.options
        if name is not None and FILE in header:
            raise DataError(f"{path}: should have no column `{FILE}`, which holds the names of the files.")
        known = [*header, *([FILE] if name is not None else [])]
        asked = {"target": (options.target,), "group": options.group, "drop": options.drop}
        for key, columns in {**asked, "categorical": options.categorical}.items():
            if missing := [column for column in columns if column not in known]:
                raise ExperimentError(
                    f"`stream.{key}` should name columns of {path}: {_few(known)}. Found `{missing[0]}`."
                )
        if name is not None and FILE not in options.drop:
            self.texts.setdefault(FILE, None)
        return tuple(column for column in known if column not in options.drop)

    def _parts(
        self, reader: Iterator[tuple[int, list[str]]], width: int, path: str
    ) -> Iterator[tuple[list[int], list[list[str]]]]:
        """Rows of the right number of fields, some at a time, with their lines."""
        lines: list[int] = []
        rows: list[list[str]] = []
        for line, row in reader:
            if len(row) != width:
                self._bad(
                    f"{path}, line {line}: should have {width} fields, as the first line. Found {len(row)}."
                )
                continue
            lines.append(line)
            rows.append(row)
            if len(rows) == AT_ONCE:
                yield lines, rows
                lines, rows = [], []
        if rows:
            yield lines, rows

    def _bad(self, what: str, rows: int = 1) -> None:
        if self.options.bad_rows == "refuse":
            raise DataError(
                f'{what} Mend the row, or leave all such rows out with `stream.bad_rows = "skip"`.'
            )
        self.skipped += rows

    def _take(self, rows: Rows) -> None:
        """Add rows, but for those that lack something."""
        values = {name: numbers(part) for name, part in rows.fields.items() if name not in self.texts}
        if new := [name for name, found in values.items() if found is None]:
            raise _TextFound({name: self._not_number(rows, name) for name in new})
        plain = {name: found for name, found in values.items() if found is not None}
        codes = {
            name: self._column(name).codes(rows.fields[name]) for name in rows.fields if name in self.texts
        }
        lacking = {name: ~np.isfinite(found) for name, found in plain.items()}
        for name in self.options.group:
            lacking[name] = np.array([not text.strip() for text in rows.fields[name]])
        kept = ~np.logical_or.reduce([*lacking.values(), np.zeros(len(rows.lines), np.bool_)])
        if not kept.all():
            self._bad(_lack(rows, lacking, int(np.argmin(kept))), int((~kept).sum()))
        self.rows += int(kept.sum())
        for name, found in plain.items():
            self.plain.setdefault(name, []).append(found[kept])
        for name, code in codes.items():
            self._column(name).add(code[kept])

    def _column(self, name: str) -> TextColumn:
        if name not in self.coded:
            most = None if name in self.options.group else MOST_LEVELS
            self.coded[name] = TextColumn(name, most, self.texts[name])
        return self.coded[name]

    def _not_number(self, rows: Rows, name: str) -> NotNumber:
        place = first_text(rows.fields[name])
        found = NotNumber(f"{rows.path}, line {rows.lines[place]}", rows.fields[name][place])
        if name == self.options.target:
            raise DataError(
                f"{found.place}: the column `{name}` should hold numbers, since it is `stream.target`. Found"
                f" {found.field!r:.60}."
            )
        return found


def no_file(path: str) -> str:
    """What to say of a file that is not there."""
    return (
        f"There is no file {path}. Should be the path of a CSV file; one that is not absolute starts in the"
        " folder in which mpidcl is called."
    )


def _lack(rows: Rows, lacking: dict[str, NDArray[np.bool_]], place: int) -> str:
    name = next(name for name, mask in lacking.items() if mask[place])
    return (
        f"{rows.path}, line {rows.lines[place]}: the column `{name}` should have a finite number, or the name"
        f" of a group. Found {rows.fields[name][place]!r:.60}."
    )


def _opened(
    file: TextIO, path: str, separator: str | None
) -> tuple[Iterator[tuple[int, list[str]]], list[str]]:
    """The rows of a file behind its first line, each with the line on which it ends; and the names there."""
    lines = _texts(file, path)
    first = next(lines, "")
    separator = separator or max(SEPARATORS, key=first.count)
    rows = _rows(first, lines, path, separator)
    header = [name.strip() for name in next(rows, (0, [""]))[1]]
    if len(header) < 2:
        raise DataError(
            f"{path}, line 1: should name two columns or more, with {separator!r} between them"
            f" (`stream.separator`). Found {first.strip()[:60]!r}."
        )
    if doubled := next((name for name in header if header.count(name) > 1), None):
        raise DataError(f"{path}, line 1: should name each column once. Found `{doubled}` more than once.")
    return rows, header


def _texts(file: TextIO, path: str) -> Iterator[str]:
    for line in file:
        if "\0" in line:
            raise DataError(f"{path} should be a text. Found a byte that is 0, as in files of other kinds.")
        yield line


def _rows(first: str, rest: Iterator[str], path: str, separator: str) -> Iterator[tuple[int, list[str]]]:
    def lines() -> Iterator[str]:
        yield first
        yield from rest

    reader = csv.reader(lines(), delimiter=separator, strict=True)
    while True:
        try:
            row = next(reader, None)
        except csv.Error as error:
            raise DataError(
                f"{path}, line {reader.line_num}: should be fields with {separator!r} between them, quotes in"
                f" pairs. Found: {error}."
            ) from None
        if row is None:
            return
        if row:  # an empty line is none
            yield reader.line_num, row


def _few(names: list[str]) -> str:
    return ", ".join(names[:40]) + (f" and {len(names) - 40} more" if len(names) > 40 else "")
