"""Files about links: CSV tables with a first line of names, and a row about a link source -> target."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple, TypeVar

from mpidcl.base.files import UnreadableError, read_text
from mpidcl.errors import ExperimentError
from mpidcl.experiment.network_table import MOST_AGENTS, MOST_LINKS
from mpidcl.experiment.units import parse_rate, parse_seconds, parse_share
from mpidcl.network.schedule.topology import Spans

T = TypeVar("T")
ENDS = ("source", "target")


class Row(NamedTuple):
    """What a line says of a link; an empty field is not there. `where`: file and line, for errors."""

    where: str
    source: int
    target: int
    fields: Mapping[str, str]

    def read(self, name: str, parse: Callable[[str], T], absent: T) -> T:
        """The value of a column. Raises ExperimentError that names the place."""
        if (text := self.fields.get(name)) is None:
            return absent
        try:
            return parse(text)
        except ValueError as error:
            raise ExperimentError(f"{self.where}: `{name}` {error}. Found {text[:60]!r}.") from None


class Up(NamedTuple):
    """A link is there from the first of these times to the second."""

    first: float
    last: float
    where: str


class Told(NamedTuple):
    """What a file says of a link: `values` of `Settings`, by name."""

    where: str
    source: int
    target: int
    values: Mapping[str, float]


def text_of(key: str, path: str) -> str:
    """The text of a file that a key of [network] names. Raises ExperimentError."""
    try:
        return read_text(path, "utf-8-sig")
    except FileNotFoundError:
        raise ExperimentError(f"[network] {key} {path} could not be read: there is none.") from None
    except UnreadableError as error:
        raise ExperimentError(f"[network] {key} {path} could not be read: {error}.") from None


def is_agent(word: str, agents: int) -> bool:
    """Whether a word is the number of one of so many agents."""
    return word.isdecimal() and len(word) <= len(str(MOST_AGENTS)) and int(word) < agents


def rows(
    key: str, path: str, columns: Sequence[str], agents: int, all_of_them: bool = False
) -> Iterator[Row]:
    """The rows of the file at `path`, which has the columns of `ENDS` and some of `columns`, or all of them.

    Raises ExperimentError that names file and line, and says what should be there.
    """
    reader = csv.reader(text_of(key, path).splitlines(), strict=True, skipinitialspace=True)
    lines = _lines(reader, path)
    _, header = next(lines, (1, []))
    _check_header(header, columns, all_of_them, f"{path}, line 1")
    for number, line in lines:
        where = f"{path}, line {number}"
        if len(line) != len(header):
            raise ExperimentError(
                f"{where}: should have {len(header)} fields, as the first line. Found {len(line)}."
            )
        fields = dict(zip(header, line, strict=True))
        source, target = (fields.pop(end) for end in ENDS)
        if not is_agent(source, agents) or not is_agent(target, agents) or int(source) == int(target):
            raise ExperimentError(
                f"{where}: `source` and `target` should be two agents, numbers from 0 to {agents - 1}."
                f" Found {source[:20]!r} and {target[:20]!r}."
            )
        yield Row(where, int(source), int(target), {name: text for name, text in fields.items() if text})


def _lines(reader: Iterator[list[str]], path: str) -> Iterator[tuple[int, list[str]]]:
    """Lines that are not empty, with their numbers; a quoted field ends on its line."""
    number = 0
    while True:
        number += 1
        try:
            line = next(reader, None)
        except csv.Error as error:
            raise ExperimentError(
                f"{path}, line {number}: should be fields with commas between them, quotes in pairs."
                f" Found: {error}."
            ) from None
        if line is None:
            return
        if any(field.strip() for field in line):
            yield number, [field.strip() for field in line]


def _check_header(header: Sequence[str], columns: Sequence[str], all_of_them: bool, where: str) -> None:
    known = (*ENDS, *columns)
    some = "" if all_of_them else "source, target and some of "
    should_be = f"{where}: should name columns, {some}{', '.join(known if all_of_them else columns)}."
    if unknown := [name for name in header if name not in known]:
        raise ExperimentError(f"{should_be} Found {unknown[0][:40]!r}.")
    if doubled := [name for name in header if header.count(name) > 1]:
        raise ExperimentError(f"{should_be} Found `{doubled[0]}` twice.")
    missing = [name for name in (known if all_of_them else ENDS) if name not in header]
    if missing or len(header) <= len(ENDS):
        raise ExperimentError(f"{should_be} Found no `{missing[0] if missing else columns[0]}`.")


def read_changes(path: str, agents: int) -> dict[tuple[int, int], Spans]:
    """All links that are ever there, in order, and the times at which each of them is not."""
    found: dict[tuple[int, int], list[Up]] = {}
    for row in rows("changes", path, ("from", "until"), agents, all_of_them=True):
        first, last = (row.read(name, parse_seconds, no) for name, no in (("from", 0.0), ("until", math.inf)))
        if first >= last:
            raise ExperimentError(
                f"{row.where}: `from` should be before `until`. Found {first:g} s and {last:g} s."
            )
        found.setdefault((row.source, row.target), []).append(Up(first, last, row.where))
        if len(found) > MOST_LINKS:
            raise ExperimentError(f"{row.where}: should be one of at most {MOST_LINKS:,} links. Found more.")
    return {ends: _gaps(sorted(found[ends])) for ends in sorted(found)}


def read_conditions(path: str, agents: int) -> list[Told]:
    """What the file says of each link that it names, each once."""
    found: dict[tuple[int, int], Told] = {}
    for row in rows("conditions.file", path, tuple(CONDITIONS), agents):
        ends = row.source, row.target
        if ends in found:
            raise ExperimentError(
                f"{row.where}: should be the only one about link {row.source} -> {row.target}. Found another"
                f" one in {found[ends].where.rpartition(', ')[2]}."
            )
        values = {
            name: row.read(name, parse, 0.0) for name, parse in CONDITIONS.items() if name in row.fields
        }
        found[ends] = Told(row.where, *ends, values)
    return [*found.values()]


def _burst(text: str) -> float:
    try:
        burst = float(text)
    except ValueError:
        burst = math.nan
    if not 1 <= burst <= 1000:
        raise ValueError("should be a mean number of frames from 1 to 1000")
    return burst


CONDITIONS: dict[str, Callable[[str], float]] = {
    "latency": parse_seconds,
    "bandwidth": parse_rate,
    "jitter": parse_seconds,
    "loss": parse_share,
    "burst": _burst,
}
"""Columns, and how their fields are read."""


def _gaps(ups: Collection[Up]) -> Spans:
    """The times before, between and after those at which a link is there."""
    always = [Up(0.0, 0.0, ""), *ups, Up(math.inf, math.inf, "")]
    for one, other in pairwise(always):
        if other.first < one.last:
            raise ExperimentError(
                f"{other.where}: should begin when the other interval of this link is over."
                f" Found {other.first:g} s, and {one.where} lasts until {one.last:g} s."
            )
    return tuple((one.last, other.first) for one, other in pairwise(always) if one.last < other.first)
