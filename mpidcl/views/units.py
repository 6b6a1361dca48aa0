"""Numbers of a measure as people read them: fractions as percent, others as they are, with their unit."""

from __future__ import annotations

import math

from mpidcl.base.quantities import NOTHING
from mpidcl.record.measures import Measure

PERCENT = "%"


def scale(unit: str) -> float:
    """What a number is multiplied by before it is shown."""
    return 100.0 if unit == PERCENT else 1.0


def plural(measure: Measure) -> str:
    """Several of the measure."""
    words = measure.words
    return f"{words[:-1]}ies" if words.endswith("y") else f"{words}s"


_LOWER = (
    ("further right is better", "further left is better"),
    ("up and left is better", "down and left is better"),
    ("ends lower", "ends higher"),
    ("should rise", "should fall"),
    ("sinks", "rises"),
    ("climbs earlier has the larger", "falls earlier has the smaller"),
)
"""Words where higher is better, and those that stand for them where lower is."""


def told(text: str, measure: Measure) -> str:
    """A text about accuracies, of another measure."""
    text = text.replace("accuracy", measure.words).replace("Accuracy", measure.words.capitalize())
    text = text.replace("Accuracies", plural(measure).capitalize())
    for higher, lower in _LOWER if measure.better == "lower" else ():
        text = text.replace(higher, lower)
    return text


def axis(words: str, unit: str) -> str:
    """Words at an axis: `accuracy on the task [%]`."""
    return f"{words} [{unit}]" if unit else words


def difference_unit(unit: str) -> str:
    """Unit of a difference: points between two numbers in percent."""
    return "points" if unit == PERCENT else unit


def with_error(
    value: float | None, error: float | None, mark: str = "", unit: str = PERCENT, *, sign: bool = False
) -> str:
    """`93.47 ± 0.21*`, without the unit; nothing for no number, and no error where there is none."""
    if value is None or math.isnan(value):
        return NOTHING
    digits, fewer = (".2f", ".2f") if unit == PERCENT else (".4g", ".2g")
    number = f"{scale(unit) * value:{'+' * sign}{digits}}"
    if error is None or math.isnan(error):
        return number
    return f"{number} ± {scale(unit) * error:{fewer}}{mark}"


def interval(middle: float, reach: float, unit: str = PERCENT) -> str:
    """`+0.31 to +0.91`; nothing for an interval without an end."""
    if not math.isfinite(middle) or not math.isfinite(reach):
        return NOTHING
    form = "+.2f" if unit == PERCENT else "+.4g"
    return f"{scale(unit) * (middle - reach):{form}} to {scale(unit) * (middle + reach):{form}}"
