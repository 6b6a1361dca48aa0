"""Units: what is written is read back as the same number; a misspelt unit says how it is spelt."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpidcl.experiment import units
from mpidcl.experiment.units import Cadence, Capacity

NON_NEGATIVE = st.floats(min_value=0, max_value=units.MOST_SECONDS)
RATES = st.floats(min_value=float(units.SLOWEST), max_value=float(units.FASTEST))
COUNTS = st.integers(min_value=1, max_value=10**12)


@given(st.integers(min_value=0, max_value=2**60))
def test_bytes_round_trip(number: int) -> None:
    assert units.parse_bytes(units.format_bytes(number)) == number


@given(NON_NEGATIVE)
def test_seconds_round_trip(number: float) -> None:
    assert units.parse_seconds(units.format_seconds(number)) == number


@given(RATES)
def test_rates_round_trip(number: float) -> None:
    assert units.parse_rate(units.format_rate(number)) == number


@given(COUNTS, st.sampled_from(["task", "epoch", "tick"]))
def test_cadence_round_trip(count: int, unit: str) -> None:
    cadence = Cadence.parse(f"{count} {unit}s")
    assert (cadence.count, cadence.unit) == (count, unit)
    assert Cadence.parse(str(cadence)) == cadence


@given(st.floats(min_value=1e-9, max_value=units.MOST_SECONDS))
def test_cadence_in_seconds_round_trip(number: float) -> None:
    cadence = Cadence.parse(units.format_seconds(number))
    assert (cadence.unit, cadence.seconds) == ("second", number)
    assert Cadence.parse(str(cadence)) == cadence


@given(COUNTS, st.sampled_from(["rows", "bytes"]), st.sampled_from([None, "task", "class"]))
def test_capacity_round_trip(count: int, unit: str, per: str | None) -> None:
    capacity = Capacity(count, unit, per)  # type: ignore[arg-type]
    assert Capacity.parse(str(capacity)) == capacity


@given(st.floats(min_value=0.001, max_value=100))
def test_percentage_round_trip(percent: float) -> None:
    capacity = Capacity(0, "percent", None, percent)
    assert Capacity.parse(str(capacity)) == capacity


@given(st.text(max_size=20))
def test_no_text_surprises_a_parser(text: str) -> None:
    for parse in (
        units.parse_bytes, units.parse_seconds, units.parse_rate, units.parse_share, units.parse_epochs,
        Cadence.parse, Capacity.parse,
    ):  # fmt: skip
        try:
            parse(text)
        except ValueError as error:
            assert "should be" in str(error)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("96 KiB", 98304), ("1.5 MB", 1_500_000), ("512 B", 512), ("512", 512), (7, 7), ("2GiB", 2**31),
        ("1e3 kB", 10**6), ("0.5 KiB", 512),
    ],
)  # fmt: skip
def test_sizes(text: str | int, number: int) -> None:
    assert units.parse_bytes(text) == number


@pytest.mark.parametrize(
    ("parse", "text", "number"),
    [
        (units.parse_seconds, "5 ms", 0.005), (units.parse_seconds, "2 h", 7200.0),
        (units.parse_seconds, 3, 3.0),
        (units.parse_rate, "1 GB/s", 1e9), (units.parse_rate, "10 Gbit/s", 1.25e9),
        (units.parse_rate, "1 MiB/s", 2.0**20), (units.parse_share, "10 %", 0.1),
        (units.parse_share, 0.25, 0.25),
        (units.parse_epochs, "10 epochs", 10), (units.parse_epochs, 1, 1),
    ],
)  # fmt: skip
def test_other_units(parse: object, text: object, number: float) -> None:
    assert parse(text) == number  # type: ignore[operator]


@pytest.mark.parametrize(
    ("parse", "text", "says"),
    [
        (units.parse_bytes, "96 kib", "`KiB`, not `kib`"),
        (units.parse_bytes, "96 boxes", "units: B, kB"),
        (units.parse_bytes, "0.3 B", "whole number of bytes"),
        (units.parse_bytes, "-1 kB", "not negative"),
        (units.parse_bytes, True, "96 KiB"),
        (units.parse_bytes, float("nan"), "96 KiB"),
        (units.parse_seconds, "5 minutes", "units: s, ms"),
        (units.parse_seconds, "soon", "5 ms"),
        (units.parse_rate, "0 B/s", "not zero"),
        (units.parse_rate, "1 GB", "1 GB/s"),
        (units.parse_share, "101 %", "between 0 and 1"),
        (units.parse_epochs, "0 epochs", "at least 1"),
        (units.parse_epochs, 1.5, "10 epochs"),
        (Cadence.parse, 5, "5 epochs"),
        (Cadence.parse, "5 weeks", "20 ticks"),
        (Cadence.parse, "0 tasks", "at least 1"),
        (Cadence.parse, "0 s", "not zero"),
        (Cadence.parse, "100", "20 ticks"),
        (Capacity.parse, "32 rows per agent", "32 rows per task"),
        (Capacity.parse, "lots", "500 rows"),
        (Capacity.parse, 32, "1 GiB"),
        (Capacity.parse, "0 %", "10 %"),
        (units.parse_seconds, "1e999 s", "at most 1000000000 s"),
        (units.parse_seconds, 1e300, "at most 1000000000 s"),
        (units.parse_rate, "1e999 B/s", "between 1 bit/s and"),
        (units.parse_rate, "1e-300 B/s", "between 1 bit/s and"),
        (units.parse_bytes, "10000000 TiB", "at most 1048576 TiB"),
        (units.parse_epochs, 10**10, "at most 1,000,000,000"),
        (Cadence.parse, "1e30 tasks", "at most 1000000000000"),
        (Capacity.parse, "1e30 rows", "at most 1000000000000 rows"),
        (Capacity.parse, "1e999 TiB", "at most 1048576 TiB"),
        (Capacity.parse, "1e-300 %", "10 %"),
        *(
            (parse, "9" * 5000 + " " + unit, "such as")
            for parse, unit in (
                (units.parse_seconds, "s"),
                (units.parse_rate, "B/s"),
                (units.parse_bytes, "B"),
                (units.parse_share, "%"),
                (units.parse_epochs, "epochs"),
                (Cadence.parse, "tasks"),
                (Capacity.parse, "rows"),
            )
        ),
    ],  # fmt: skip
)
def test_what_is_wrong_lists_valid_spellings(parse: object, text: object, says: str) -> None:
    with pytest.raises(ValueError, match="should be") as caught:
        parse(text)  # type: ignore[operator]
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("text", "rows"),
    [("32 rows per task", 32), ("1 KiB", 10), ("10 %", 20), ("0.5 % per class", 1)],
)
def test_rows_that_fit(text: str, rows: int) -> None:
    assert Capacity.parse(text).rows(row_bytes=100, seen=200) == rows
