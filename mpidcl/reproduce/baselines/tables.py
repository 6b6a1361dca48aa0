"""Tables of a stream: accuracies beside those of others, what was forgotten and what it cost, sharing."""

from __future__ import annotations

import math

from mpidcl.base.quantities import NOTHING
from mpidcl.reproduce.baselines.found import Found
from mpidcl.reproduce.baselines.methods import METHODS
from mpidcl.reproduce.baselines.published import MAMMOTH, PUBLISHED, SECOND_HAND, figure_of
from mpidcl.reproduce.baselines.streams import NETWORKED, SHARING, Cell
from mpidcl.reproduce.cells import markdown, number
from mpidcl.reproduce.published import Number
from mpidcl.views.mean_error import MeanError

FEW = 5
"""Fewer seeds may agree by chance: no deviation is made of them."""
MARK = "†"
"""Behind a published number that is second-hand."""


def accuracy_table(found: Found, stream: str) -> list[str]:
    """Published, Mammoth as measured, ours, and ours minus Mammoth in deviations of our seeds."""
    header = [
        "method", "buffer",
        *(f"{what}: {who}" for what in ("class", "task") for who in ("published", "Mammoth", "ours")),
        "class: ours − Mammoth", "task: ours − Mammoth", "error over",
    ]  # fmt: skip
    rows = []
    for cell in found.cells(stream, "single"):
        cells, differences = [], []
        for name in ("final", "task"):
            theirs, mammoth = (figure_of(table, cell, name) for table in (PUBLISHED, MAMMOTH))
            ours, mark = found.mean(cell, name), MARK if theirs and stream in SECOND_HAND else ""
            cells += [f"{number(theirs)}{mark}", number(mammoth), number(ours)]
            differences.append(NOTHING if found.departed.get(stream) else apart(ours, mammoth))
        rows.append([*_names(cell), *cells, *differences, over(found.mean(cell, "final"))])
    return markdown(header, rows)


def cost_table(found: Found, stream: str) -> list[str]:
    """Forgetting and transfer, and what one agent needed."""
    header = (
        "method", "buffer", "forgetting since best", "BWT", "FWT", "CPU s", "CPU s: Mammoth", "GFLOP",
        "rows [KiB]", "parameters",
    )  # fmt: skip
    rows = []
    for cell in found.cells(stream, "single"):
        metrics = [number(found.mean(cell, name)) for name in ("forgetting_max", "bwt", "fwt")]
        mammoth = MAMMOTH.get((cell.stream, cell.method, cell.buffer))
        seconds = NOTHING if mammoth is None or found.departed.get(stream) else plain(mammoth.seconds, 0)
        own, flops, held, parameters = (
            found.mean(cell, name).mean for name in ("cpu_s", "flops", "replay_bytes", "parameters")
        )
        # an agent keeps rows for exchanges, too, which a method without a memory does not use
        memory = NOTHING if METHODS[cell.method].memory == "none" else plain(held / 1024, 0)
        costs = [plain(own, 1), seconds, plain(flops / 1e9, 1), memory, plain(parameters, 0)]
        rows.append([*_names(cell), *metrics, *costs])
    return markdown(header, rows)


def sharing_table(found: Found, stream: str) -> list[str]:
    """Class- and task-incremental accuracy of agents on a ring, and what each sent; empty without runs."""
    cells = {cell._replace(sharing=""): None for cell in found.cells(stream, *NETWORKED)}
    ways = [way for way in NETWORKED if found.cells(stream, way)]
    header = [
        "method", "buffer",
        *(f"{what}: {SHARING[way][0]}" for what in ("class", "task") for way in ways),
        *(f"MiB sent: {SHARING[way][0]}" for way in ways if way != "alone"), "error over",
    ]  # fmt: skip
    rows = []
    for one in cells:
        mine = [one._replace(sharing=way) for way in ways]
        accuracies = [number(found.mean(cell, name)) for name in ("final", "task") for cell in mine]
        sent = [
            plain(found.mean(cell, "wire_bytes").mean / 2**20, 2) for cell in mine if cell.sharing != "alone"
        ]
        seeds = max((found.mean(cell, "final") for cell in mine), key=lambda mean: mean.number)
        rows.append([*_names(one), *accuracies, *sent, over(seeds)])
    return markdown(header, rows) if rows else []


def apart(ours: MeanError, mammoth: Number | None) -> str:
    """`-0.42 (1.3 sd)`: in standard deviations of our seeds, where there are several."""
    if mammoth is None or math.isnan(ours.mean):
        return NOTHING
    difference = ours.mean - mammoth.mean
    deviation = ours.standard_error * math.sqrt(ours.seeds)
    told = f" ({abs(difference) / deviation:.1f} sd)" if ours.seeds >= FEW and deviation > 0 else ""
    return f"{difference:+.2f}{told}"


def over(mean: MeanError) -> str:
    """What the error is over. The agents of a seed are averaged before."""
    return f"{mean.seeds} seed{'s' * (mean.seeds != 1)}"


def plain(value: float, digits: int) -> str:
    """A number without an error; nothing for NaN."""
    return NOTHING if math.isnan(value) else f"{value:,.{digits}f}"


def _names(cell: Cell) -> list[str]:
    return [METHODS[cell.method].words, str(cell.buffer) if cell.buffer else NOTHING]
