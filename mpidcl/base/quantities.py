"""Numbers with their units, as people read them in tables and figures."""

from __future__ import annotations

import math

NOTHING = "–"
_BYTES = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")
_COUNTS = ("", " k", " M", " G", " T", " P", " E")


def scale_bytes(largest: float) -> tuple[float, str]:
    """How many bytes one unit has and its name, so that `largest` bytes read as 1 to 1023 units."""
    step = min(int(math.log(largest, 1024)), len(_BYTES) - 1) if largest >= 1 else 0
    return 1024.0**step, _BYTES[step]


def scale_count(largest: float) -> tuple[float, str]:
    """The same for plain counts in steps of 1000: 1.0, 1e3 (k), 1e6 (M), ..."""
    step = min(int(math.log10(largest) / 3 + 1e-9), len(_COUNTS) - 1) if largest >= 1 else 0
    return 1000.0**step, _COUNTS[step]


def bytes_text(size: float) -> str:
    """`1.5 MiB`."""
    unit, name = scale_bytes(size)
    return f"{size:.0f} B" if unit == 1 else f"{_three(size / unit)} {name}"


def count_text(number: float) -> str:
    """`332.8 k`."""
    unit, name = scale_count(number)
    return f"{number:.0f}" if unit == 1 else f"{_three(number / unit)}{name}"


def seconds_text(seconds: float) -> str:
    """`0.35 s`, `12.3 s`, `4 min 05 s`, `2 h 07 min`."""
    if seconds < 120:
        return f"{_three(seconds)} s" if seconds >= 0.1 or seconds == 0 else f"{_three(1000 * seconds)} ms"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 120:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def percent(value: float | None) -> str:
    """A fraction 0..1 as percent with two digits, without the sign %: `93.47`."""
    return NOTHING if _missing(value) else f"{100 * float(value or 0):.2f}"


def points(value: float) -> str:
    """A difference of fractions in points of percent: `+6.1`."""
    return f"{100 * value:+.1f}"


def share_text(share: float | None) -> str:
    """A fraction in percent with at least three significant digits: `0.0117 %`, `4060 %`."""
    return NOTHING if share is None else f"{significant(100 * share)} %"


def significant(number: float) -> str:
    """Three significant digits, and all before the point, never an exponent: `0.0117`, `40.6`, `4060`."""
    size = math.floor(math.log10(abs(number))) if number else 0
    return f"{number:.{max(0, 2 - size)}f}"


def number_error(
    value: float, error: float | None, mark: str = "", *, digits: int = 1, sign: bool = False
) -> str:
    """`8.1 ± 0.2`, with so many digits after the point, one more where the number is below 0.1."""
    digits += abs(value) < 0.1
    number = f"{value:{'+' if sign else ''}.{digits}f}"
    return number if _missing(error) else f"{number} ± {error:.{digits}f}{mark}"


def _missing(value: float | None) -> bool:
    return value is None or math.isnan(value)


def _three(number: float) -> str:
    """Three significant digits or more, never an exponent."""
    return f"{number:.0f}" if number >= 100 else f"{number:.1f}" if number >= 10 else f"{number:.2f}"
