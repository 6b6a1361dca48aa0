"""Quantities of the experiment file: text with a unit on one side, plain numbers on the other.

Every type here can be used in a method's own `Options`: `Bytes` (int), `Seconds` (float),
`BytesPerSecond` (float), `Share` (float in 0..1), `Epochs` (int), `Cadence`, `SaveEvery` and `Capacity`.
Writing a value out and reading it again gives the same number, bit for bit.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, GetCoreSchemaHandler, PlainSerializer, PlainValidator
from pydantic_core import CoreSchema, core_schema

SIZES = {
    "B": 1,
    "kB": 10**3,
    "KB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "TB": 10**12,
    "KiB": 2**10,
    "MiB": 2**20,
    "GiB": 2**30,
    "TiB": 2**40,
}
RATES: dict[str, Fraction] = {f"{unit}/s": Fraction(size) for unit, size in SIZES.items()} | {
    f"{prefix}bit/s": Fraction(size, 8)
    for prefix, size in {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}.items()
}
TIMES = {
    "s": Fraction(1),
    "ms": Fraction(1, 10**3),
    "us": Fraction(1, 10**6),
    "ns": Fraction(1, 10**9),
    "min": Fraction(60),
    "h": Fraction(3600),
}
CadenceUnit = Literal["task", "epoch", "tick", "second"]
COUNTED: tuple[CadenceUnit, ...] = ("task", "epoch", "tick")
"""Units of which a cadence has a whole number."""
CapacityUnit = Literal["rows", "bytes", "percent"]
CapacityOwner = Literal["task", "class"]
OWNERS: dict[str, CapacityOwner | None] = {"": None, "task": "task", "class": "class"}

MOST_BYTES = 2**60
"""1 EiB: more than any machine holds, and twice that still fits into the 64 bits of a message."""
MOST_SECONDS = 10**9
"""About 30 years: sums over every frame of a run stay ordinary numbers."""
SLOWEST, FASTEST = Fraction(1, 8), 10**18
"""Bytes per second: 1 bit/s, and far beyond any link."""
MOST_EPOCHS = 10**9
"""Of one task: its timetable alone takes 2.5 us for each, 40 minutes for so many."""
LEAST_PERCENT = Fraction(1, 10**6)
"""Of the rows seen: below it nobody has so many that one is kept."""
MOST_COUNT = 10**12
"""Of rows, and of tasks, epochs or ticks between two things."""

_CLOCK = re.compile(r"\s*(?:(\d{1,5})-)?(\d{1,6}):([0-5]\d):([0-5]\d)\s*", re.ASCII)
_NUMBER_AND_UNIT = re.compile(
    r"\s*([+-]?(?:\d{1,50}(?:\.\d{0,50})?|\.\d{1,50})(?:[eE][+-]?\d{1,3})?)\s*(\S.*?)?\s*", re.ASCII
)


def _split(text: str, should_be: str) -> tuple[Fraction, str]:
    match = _NUMBER_AND_UNIT.fullmatch(text)
    if match is None:
        raise ValueError(should_be)
    return Fraction(match[1]), match[2] or ""


def _misspelt(unit: str, units: Mapping[str, object]) -> str:
    for known in units:
        if unit.lower() == known.lower():
            return f" (units are spelt exactly: `{known}`, not `{unit}`)"
    return f" (units: {', '.join(units)})"


def _quantity(value: object, units: Mapping[str, int | Fraction], plain: str, should_be: str) -> Fraction:
    """`value` in the base unit `plain`; a bare number already is in it."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise ValueError(should_be)
    if not isinstance(value, str):
        if value != value or abs(value) == float("inf"):
            raise ValueError(should_be)
        return Fraction(value)
    number, unit = _split(value, should_be)
    if (unit or plain) not in units:
        raise ValueError(should_be + _misspelt(unit, units))
    return number * units[unit or plain]


def _not_negative(number: Fraction, should_be: str) -> Fraction:
    if number < 0:
        raise ValueError(f"{should_be}, and not negative")
    return number


def _at_most(number: Fraction, most: int, words: str, should_be: str) -> Fraction:
    if number > most:
        raise ValueError(f"{should_be}, at most {words}")
    return number


def parse_bytes(value: object) -> int:
    """Bytes of "96 KiB", "1.5 MB" or a whole number. Raises ValueError with valid spellings.

    >>> parse_bytes("96 KiB"), parse_bytes("1.5 MB"), parse_bytes(512)
    (98304, 1500000, 512)
    """
    should_be = 'should be a size such as "96 KiB", "1.5 MB" or "512 B"'
    number = _not_negative(_quantity(value, SIZES, "B", should_be), should_be)
    if number.denominator != 1:
        raise ValueError(f"{should_be}, a whole number of bytes")
    return int(_at_most(number, MOST_BYTES, f"{MOST_BYTES // SIZES['TiB']} TiB", should_be))


def parse_seconds(value: object) -> float:
    """Seconds of "5 ms", "2 h" or a number. Raises ValueError with valid spellings."""
    should_be = 'should be a time such as "5 ms", "30 s" or "2 h"'
    number = _not_negative(_quantity(value, TIMES, "s", should_be), should_be)
    return float(_at_most(number, MOST_SECONDS, f"{MOST_SECONDS} s", should_be))


def parse_walltime(text: str) -> float:
    """Seconds of "55 min", "2 h", or of "1:30:00" and "2-00:00:00" as batch systems write it.

    Raises ValueError with valid spellings, also for no time at all.

    >>> parse_walltime("55 min"), parse_walltime("1:30:00"), parse_walltime("2-00:00:00")
    (3300.0, 5400.0, 172800.0)
    """
    should_be = 'should be a time with its unit (s, min, h), such as "55 min", "2 h" or "1:30:00"'
    if (clock := _CLOCK.fullmatch(text)) is not None:
        days, hours, minutes, seconds = (int(part or 0) for part in clock.groups())
        number = Fraction(((days * 24 + hours) * 60 + minutes) * 60 + seconds)
    else:
        number, unit = _split(text, should_be)
        if unit not in TIMES:  # batch systems take a bare number for minutes or for seconds
            raise ValueError(should_be)
        number = _not_negative(number * TIMES[unit], should_be)
    if number == 0:
        raise ValueError(f"{should_be}, and not zero")
    return float(_at_most(number, MOST_SECONDS, f"{MOST_SECONDS} s", should_be))


def parse_rate(value: object) -> float:
    """Bytes per second of "1 GB/s" or "10 Gbit/s". Raises ValueError with valid spellings."""
    should_be = 'should be a bandwidth such as "1 GB/s", "100 MiB/s" or "10 Gbit/s"'
    number = _not_negative(_quantity(value, RATES, "B/s", should_be), should_be)
    if number == 0:
        raise ValueError(f"{should_be}, and not zero")
    if not SLOWEST <= number <= FASTEST:
        raise ValueError(f"{should_be}, between 1 bit/s and {FASTEST // SIZES['TB']} TB/s")
    return float(number)


def parse_share(value: object) -> float:
    """A share of "10 %" or 0.1. Raises ValueError outside 0..1."""
    should_be = 'should be a share such as 0.1 or "10 %", between 0 and 1'
    number = _quantity(value, {"%": Fraction(1, 100), "": 1}, "", should_be)
    if not 0 <= number <= 1:
        raise ValueError(should_be)
    return float(number)


def parse_epochs(value: object) -> int:
    """A number of epochs: 10 or "10 epochs". Raises ValueError when it is not a whole number above 0."""
    should_be = 'should be a number of epochs such as 10 or "10 epochs", at least 1'
    number = _quantity(value, {"epochs": 1, "epoch": 1}, "epochs", should_be)
    if number.denominator != 1 or number < 1:
        raise ValueError(should_be)
    return int(_at_most(number, MOST_EPOCHS, f"{MOST_EPOCHS:,}", should_be))


def _decimal_text(number: Fraction, unit: str) -> str | None:
    """`number unit` when the number has few digits before and after its point, else None."""
    if number.denominator not in (1, 2, 4, 5, 10, 20, 25, 50, 100) or abs(number) >= 10**7:
        return None
    text = format(Decimal(number.numerator) / Decimal(number.denominator), "f")
    return f"{text} {unit}"


def counted(number: int, what: str) -> str:
    """`1 agent`, `2 agents`."""
    return f"{number} {what}{'s' * (number != 1)}"


def format_bytes(number: int) -> str:
    """Shortest exact text: 98304 -> "96 KiB", 100000 -> "100 kB", 98305 -> "98305 B"."""
    for unit in ("TiB", "GiB", "MiB", "KiB", "TB", "GB", "MB", "kB"):
        if number and number % SIZES[unit] == 0:
            return f"{number // SIZES[unit]} {unit}"
    return f"{number} B"


def format_seconds(number: float) -> str:
    """Exact text: 0.005 -> "5 ms", 3600.0 -> "1 h"."""
    if number == 0:
        return "0 s"
    exact = Fraction(repr(number))
    for unit in ("h", "min", "s", "ms", "us", "ns"):
        if exact % TIMES[unit] == 0 and (text := _decimal_text(exact / TIMES[unit], unit)):
            return text
    return f"{number!r} s"


def format_rate(number: float) -> str:
    """Exact text: 1e9 -> "1 GB/s"."""
    exact = Fraction(repr(number))
    for unit in ("GB/s", "MB/s", "kB/s"):
        if exact % RATES[unit] == 0 and (text := _decimal_text(exact / RATES[unit], unit)):
            return text
    return f"{number!r} B/s"


@dataclass(frozen=True, slots=True)
class Cadence:
    """How often: `count` tasks, epochs or ticks, or `seconds` of virtual time (`count` is 0 then)."""

    count: int
    unit: CadenceUnit
    seconds: float | None = None

    @classmethod
    def parse(cls, value: object) -> Cadence:
        """Read "5 epochs", or "100 s" of virtual time. Raises ValueError with valid spellings.

        >>> cadence = Cadence.parse("5 epochs")
        >>> cadence.count, cadence.unit
        (5, 'epoch')
        >>> Cadence.parse("2 min").seconds
        120.0
        """
        if isinstance(value, cls):
            return value
        should_be = 'should be a number and a unit such as "1 task", "5 epochs" or "20 ticks"'
        if not isinstance(value, str):
            raise ValueError(should_be)
        number, unit = _split(value, should_be)
        if unit in TIMES:
            if (seconds := parse_seconds(value)) == 0:
                raise ValueError(f"{should_be}, and not zero")
            return cls(0, "second", seconds)
        for known in COUNTED:
            if unit in (known, f"{known}s") and number.denominator == 1 and 1 <= number <= MOST_COUNT:
                return cls(int(number), known)
        raise ValueError(f"{should_be}, at least 1 and at most {MOST_COUNT}")

    def __str__(self) -> str:
        if self.seconds is not None:
            return format_seconds(self.seconds)
        return f"{self.count} {self.unit}{'s' if self.count != 1 else ''}"

    @classmethod
    def __get_pydantic_core_schema__(cls, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        return _from_text(cls.parse)


@dataclass(frozen=True, slots=True)
class Period:
    """How often by the clock, in seconds."""

    seconds: float

    def __str__(self) -> str:
        return format_seconds(self.seconds)


def parse_save_every(value: object) -> Cadence | Period:
    """How often to save: "1 task", "10 epochs", or "10 min". Raises ValueError with valid spellings.

    >>> parse_save_every("10 min")
    Period(seconds=600.0)
    """
    if isinstance(value, Cadence | Period):
        return value
    should_be = 'should be a number and a unit such as "1 task", "10 epochs" or "10 min"'
    if not isinstance(value, str):
        raise ValueError(should_be)
    number, unit = _split(value, should_be)
    if unit not in TIMES:
        with suppress(ValueError):
            return Cadence.parse(value)
        raise ValueError(f"{should_be}, at least 1 and at most {MOST_COUNT}")
    if number * TIMES[unit] < 1:
        raise ValueError(f"{should_be}, at least 1 s")
    return Period(float(_at_most(number * TIMES[unit], MOST_SECONDS, f"{MOST_SECONDS} s", should_be)))


def parse_test_every(value: object) -> int | Period:
    """How often to test: 10 or "10 epochs", or "100 s" of virtual time. Raises ValueError with spellings.

    >>> parse_test_every("10 epochs"), parse_test_every("100 s")
    (10, Period(seconds=100.0))
    """
    if isinstance(value, Period):
        return value
    with suppress(ValueError):
        if isinstance(value, str) and (seconds := parse_seconds(value)) > 0:
            return Period(seconds)
    return parse_epochs(value)


def _test_every(value: int | Period) -> int | str:
    return str(value) if isinstance(value, Period) else value


@dataclass(frozen=True, slots=True)
class Capacity:
    """How much a memory may hold.

    `unit` "rows": `count` rows; "bytes": `count` bytes; "percent": `percent` of the rows seen.
    `per`: one such room for each task or each class; None: one for all together.
    """

    count: int
    unit: CapacityUnit = "rows"
    per: CapacityOwner | None = None
    percent: float | None = None

    def rows(self, row_bytes: int, seen: int) -> int:
        """Rows that fit, for rows of `row_bytes` bytes, when `seen` rows have been offered."""
        if self.unit == "rows":
            return self.count
        if self.unit == "bytes":
            return self.count // row_bytes
        return int(Fraction(repr(self.percent)) * seen / 100)

    @classmethod
    def parse(cls, value: object) -> Capacity:
        """Read "32 rows per task". Raises ValueError with valid spellings.

        >>> Capacity.parse("32 rows per task").rows(row_bytes=3136, seen=500)
        32
        >>> Capacity.parse("10 %").rows(row_bytes=3136, seen=500)
        50
        >>> Capacity.parse("1 MiB").rows(row_bytes=3136, seen=500)
        334
        """
        if isinstance(value, cls):
            return value
        examples = '"32 rows per task", "5 rows per class", "500 rows", "10 %" or "1 GiB"'
        should_be = f"should be a capacity such as {examples}"
        if not isinstance(value, str):
            raise ValueError(should_be)
        amount, _, owner = (part.strip() for part in value.partition(" per "))
        if owner not in OWNERS:
            raise ValueError(should_be)
        per = OWNERS[owner]
        number, unit = _split(amount, should_be)
        if unit == "%" and LEAST_PERCENT <= number <= 100:
            return cls(0, "percent", per, float(number))
        size = {"row": 1, "rows": 1, **SIZES}.get(unit, 0) * number
        if size.denominator != 1 or size < 1:
            raise ValueError(should_be)
        if unit in ("row", "rows"):
            return cls(int(_at_most(size, MOST_COUNT, f"{MOST_COUNT} rows", should_be)), "rows", per)
        return cls(int(_at_most(size, MOST_BYTES, format_bytes(MOST_BYTES), should_be)), "bytes", per)

    def __str__(self) -> str:
        rows = f"{self.count} row{'s' if self.count != 1 else ''}"
        amount = {"rows": rows, "bytes": format_bytes(self.count), "percent": f"{self.percent!r} %"}[
            self.unit
        ]
        return amount if self.per is None else f"{amount} per {self.per}"

    @classmethod
    def __get_pydantic_core_schema__(cls, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        return _from_text(cls.parse)


def _from_text(parse: Callable[[object], object]) -> CoreSchema:
    return core_schema.no_info_plain_validator_function(
        parse, serialization=core_schema.plain_serializer_function_ser_schema(str)
    )


Bytes = Annotated[int, BeforeValidator(parse_bytes), PlainSerializer(format_bytes)]
Seconds = Annotated[float, BeforeValidator(parse_seconds), PlainSerializer(format_seconds)]
BytesPerSecond = Annotated[float, BeforeValidator(parse_rate), PlainSerializer(format_rate)]
SaveEvery = Annotated[Cadence | Period, PlainValidator(parse_save_every), PlainSerializer(str)]
TestEvery = Annotated[int | Period, PlainValidator(parse_test_every), PlainSerializer(_test_every)]
Share = Annotated[float, BeforeValidator(parse_share)]
Epochs = Annotated[int, BeforeValidator(parse_epochs), Field(ge=1)]
