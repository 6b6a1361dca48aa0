"""Times in which something is as it usually is not: pairs of virtual times, `[["10 s", "20 s"]]`."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

from mpidcl.experiment.units import Seconds

Span = Annotated[tuple[Seconds, Seconds], Field(strict=False)]


def _in_order(spans: tuple[Span, ...]) -> tuple[Span, ...]:
    for first, last in spans:
        if first >= last:
            raise ValueError(
                f"should be pairs of times, the first before the second. Found {first:g} s, {last:g} s"
            )
    return spans


Spans = Annotated[tuple[Span, ...], Field(strict=False), AfterValidator(_in_order)]
