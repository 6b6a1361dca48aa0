"""What is run: parts, their settings, and the values that make of an example file one of their runs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from mpidcl.errors import ExperimentError
from mpidcl.reproduce.damtl.methods import GRID, Method, exchanges, grid

PARTS = {
    "ring": "Acceptance rules: related groups on a ring",
    "field": "Temperature field",
    "student": "Student performance",
    "conditions": "Hard networks",
    "digits": "Loss and neural agents: digits",
}
SEEDS = (0, 1, 2, 3, 4)
TABLES = {"mathematics": "student-mat.csv", "portuguese": "student-por.csv"}
"""Files of the part `student`, by the names that their rows are given."""
LOSSES = (0, 10, 30, 50)
"""Percent of the frames."""
SILENT = ("own", "newest")
"""What stands in for a neighbour of which nothing comes, where models are averaged."""
OF, GROUPS, NOISE = 6, 5, 2.0
"""Agents in a group, groups, and noise of the part `conditions`."""


class Cell(NamedTuple):
    """One row of a table: `method` names a method, or in `conditions` and `digits` a condition."""

    part: str
    setting: str
    method: str


@dataclass(frozen=True)
class Scale:
    """How much is run. `sizes`: (groups, agents in each). `coarse`: strengths tried in field and student."""

    samples: int
    noises: tuple[float, ...]
    sizes: tuple[tuple[int, int], ...]
    field_noises: tuple[float, ...]
    coarse: tuple[float, ...]


FULL = Scale(4000, (0.5, 1.0, 2.0, 4.0), ((5, 6), (8, 4)), (0.5, 1.0, 2.0), GRID)
QUICK = Scale(1000, (1.0, 4.0), ((5, 6),), (1.0,), (0.01, 0.1, 1.0))


def cells(part: str, scale: Scale, files: Path | None = None) -> Iterator[tuple[Cell, tuple[str, ...]]]:
    """The cells of a part, and the values of each. `files`: the folder of TABLES."""
    match part:
        case "ring":
            yield from _ring(scale)
        case "field":
            yield from _field(scale)
        case "student":
            yield from _student(scale, files) if files is not None else ()
        case "conditions":
            yield from _conditions(scale)
        case _:
            yield from _digits()


def sets_of_file(part: str) -> str:
    """The example file of a part, from the folder of those of DAMTL."""
    return "../asynchronous/digits.toml" if part == "digits" else "ring.toml"


def check_files(files: Path) -> None:
    """Raises ExperimentError where one of TABLES is not there."""
    missing = [name for name in TABLES.values() if not (files / name).is_file()]
    if missing:
        raise ExperimentError(
            f"--files should be a folder with {' and '.join(TABLES.values())}. Found no"
            f" {' and no '.join(missing)} in {files}: docs/regression.md says where to get them"
        )


def _sized(samples: int, groups: int, of: int) -> tuple[str, ...]:
    """Groups and length. Saved at the end alone: a run takes seconds, and each saving one of them."""
    return (
        f"agents={groups * of}",
        f"network.groups.of={of}",
        "network.conditions={}",
        f"checkpoint.every={samples} s",
        f"evaluation.every={samples / 50:g} s",
    )


def _linear(setting: tuple[str, str], stream: str, sized: tuple[str, ...], strengths: tuple[float, ...],
            forms: tuple[str, ...]) -> Iterator[tuple[Cell, tuple[str, ...]]]:  # fmt: skip
    methods = [Method("local"), Method("group-only"), *grid(forms, strengths), Method("consensus")]
    for method in methods:
        yield Cell(*setting, method.name), (*sized, f"stream={stream}", f"exchange={exchanges(method)}")


def _ring(scale: Scale) -> Iterator[tuple[Cell, tuple[str, ...]]]:
    for groups, of in scale.sizes:
        for noise in scale.noises:
            yield from _linear(
                ("ring", f"{groups}x{of}-noise-{noise:g}"),
                _stream(scale.samples, noise),
                _sized(scale.samples, groups, of),
                GRID,
                ("logdet", "fixed", "identity"),
            )


def _stream(samples: int, noise: float) -> str:
    return f'{{kind = "linear-tasks", samples = {samples}, features = 4, noise = {noise}}}'


ALL_FORMS = ("logdet", "trace-one", "laplacian", "fixed", "identity")


def _field(scale: Scale) -> Iterator[tuple[Cell, tuple[str, ...]]]:
    for noise in scale.field_noises:
        stream = f'{{kind = "field", samples = {scale.samples}, noise = {noise}}}'
        sized = _sized(scale.samples, 4, OF)
        yield from _linear(("field", f"noise-{noise:g}"), stream, sized, scale.coarse, ALL_FORMS)


def _student(scale: Scale, files: Path) -> Iterator[tuple[Cell, tuple[str, ...]]]:
    """Four agents in a group: the smallest has 37 rows to learn."""
    named = ", ".join(f"{name} = {json.dumps(str(files / file))}" for name, file in TABLES.items())
    for setting, drop in (("without-grades", '["G1", "G2"]'), ("with-grades", "[]")):
        stream = (
            f'{{kind = "table", samples = {scale.samples}, files = {{{named}}}, target = "G3",'
            f' group = ["school", "file"], drop = {drop}}}'
        )
        sized = (*_sized(scale.samples, 4, 4), "learning.lr=0.005")
        yield from _linear(("student", setting), stream, sized, scale.coarse, ALL_FORMS)


def conditions(samples: int) -> dict[str, tuple[str, ...]]:
    """Name of a condition -> its values.

    A messenger that goes for good has learned its samples before: else the run would wait for it.
    """
    deputies = "network.groups.deputies=2"
    gone = (
        f"agent=[{{ids = {[group * OF for group in range(GROUPS)]},"
        f' clock = {{absences = [["{samples // 2} s", "{3 * samples} s"]]}},'
        f" stream = {{samples = {2 * samples // 5}}}}}]"
    )
    return {
        "none": (),
        **{f"loss-{loss}": (f"network.conditions.loss={loss} %",) for loss in LOSSES[1:]},
        "bursts-30": ("network.conditions={loss = '30 %', burst = 10}",),
        **{f"latency-{late}": (f"network.conditions.latency={late} s",) for late in (2, 10)},
        "regular": ("clock.ticks=regular",),
        "deputies": (deputies,),
        **{f"away-{share}": (f"clock.away={share / 100}",) for share in (20, 40)},
        **{f"away-{share}-deputies": (f"clock.away={share / 100}", deputies) for share in (20, 40)},
        "gone": (gone,),
        "gone-deputies": (gone, deputies),
    }


CONDITIONS = {
    "none": "nothing",
    **{f"loss-{loss}": f"{loss} % of the frames lost" for loss in LOSSES[1:]},
    "bursts-30": "30 % lost, in rows of 10",
    **{f"latency-{late}": f"latency of {late} s" for late in (2, 10)},
    "regular": "all tick together",
    "deputies": "nothing, 2 deputies",
    **{f"away-{share}": f"each away for {share} % of the time" for share in (20, 40)},
    **{f"away-{share}-deputies": f"each away for {share} %, 2 deputies" for share in (20, 40)},
    "gone": "messengers gone from half on",
    "gone-deputies": "messengers gone from half on, 2 deputies",
}
"""Conditions in words, in the order of the table."""


def _conditions(scale: Scale) -> Iterator[tuple[Cell, tuple[str, ...]]]:
    setting = f"{GROUPS}x{OF}-noise-{NOISE:g}"
    base = (*_sized(scale.samples, GROUPS, OF), f"stream={_stream(scale.samples, NOISE)}")
    for name, sets in conditions(scale.samples).items():
        exchange = f"exchange={exchanges(Method('logdet'))}"
        yield Cell("conditions", setting, name), (*base, exchange, *sets)


def _digits() -> Iterator[tuple[Cell, tuple[str, ...]]]:
    yield Cell("digits", "alone", "loss-0"), ("exchange=[]",)
    for silent in SILENT:
        for loss in LOSSES:
            sets = (f"network.conditions.loss={loss} %", f"exchange.0.silent={silent}")
            yield Cell("digits", silent, f"loss-{loss}"), sets
