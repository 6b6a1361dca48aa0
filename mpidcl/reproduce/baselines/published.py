"""What others found, in %: class-incremental and task-incremental final accuracy.

`PUBLISHED`: "Dark Experience for General Continual Learning" (arXiv 2004.07211), 10 runs, with the standard
deviation over runs. Those of Split MNIST are second-hand, as later papers and users quote them, without one.
`MAMMOTH`: the public code (github.com/aimagelab/mammoth, commit e75a491) as we have measured it, with seeds 1
to 4 (EWC, LwF, iCaRL: 1 to 3) and the standard deviation over them. CPU seconds are those of training, one
thread, one run on a quiet machine like that of our runs.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import nan
from typing import NamedTuple

from mpidcl.reproduce.baselines.streams import Cell
from mpidcl.reproduce.published import Number

Key = tuple[str, str, int]
"""Stream, method, rows of the buffer (0: none)."""


class Figures(NamedTuple):
    """Class- and task-incremental accuracy, and CPU seconds where they were measured."""

    final: Number
    task: Number
    seconds: float = nan


def figure_of(table: Mapping[Key, Figures], cell: Cell, name: str) -> Number | None:
    """The "final" or "task" accuracy that others found for a cell; None where there is none."""
    found = table.get((cell.stream, cell.method, cell.buffer)) if cell.sharing == "single" else None
    return {"final": found.final, "task": found.task}.get(name) if found else None


def _figures(
    final: float, final_error: float, task: float, task_error: float, seconds: float = nan
) -> Figures:
    return Figures(Number(final, final_error), Number(task, task_error), seconds)


def _plain(final: float, task: float) -> Figures:
    return Figures(Number(final), Number(task))


_CIFAR, _MNIST = "split-cifar10", "split-mnist"
PUBLISHED: dict[Key, Figures] = {
    (_CIFAR, "joint", 0): _figures(92.20, 0.15, 98.31, 0.12),
    (_CIFAR, "fine-tune", 0): _figures(19.62, 0.05, 61.02, 3.33),
    (_CIFAR, "ewc", 0): _figures(19.49, 0.12, 68.29, 3.92),
    (_CIFAR, "si", 0): _figures(19.48, 0.17, 68.05, 5.91),
    (_CIFAR, "lwf", 0): _figures(19.61, 0.05, 63.29, 2.35),
    (_CIFAR, "er", 200): _figures(44.79, 1.86, 91.19, 0.94),
    (_CIFAR, "gem", 200): _figures(25.54, 0.76, 90.44, 0.94),
    (_CIFAR, "agem", 200): _figures(20.04, 0.34, 83.88, 1.49),
    (_CIFAR, "der", 200): _figures(61.93, 1.79, 91.40, 0.92),
    (_CIFAR, "derpp", 200): _figures(64.88, 1.17, 91.92, 0.60),
    (_CIFAR, "icarl", 200): _figures(49.02, 3.20, 88.99, 2.13),
    (_CIFAR, "er", 500): _figures(57.74, 0.27, 93.61, 0.27),
    (_CIFAR, "agem", 500): _figures(22.67, 0.57, 89.48, 1.45),
    (_CIFAR, "der", 500): _figures(70.51, 1.67, 93.40, 0.39),
    (_CIFAR, "derpp", 500): _figures(72.70, 1.36, 93.88, 0.50),
    (_CIFAR, "icarl", 500): _figures(47.55, 3.95, 88.22, 2.62),
    (_MNIST, "joint", 0): _plain(95.6, 99.5),
    (_MNIST, "fine-tune", 0): _plain(19.6, 94.9),
    (_MNIST, "ewc", 0): _plain(20.5, 98.4),
    (_MNIST, "si", 0): _plain(19.3, 96.0),
    (_MNIST, "lwf", 0): _plain(19.6, 94.1),
    (_MNIST, "er", 200): _plain(80.4, 97.9),
    (_MNIST, "er", 500): _plain(86.1, 99.0),
    (_MNIST, "er", 5120): _plain(93.4, 99.3),
    (_MNIST, "derpp", 200): _plain(85.6, 98.8),
    (_MNIST, "derpp", 500): _plain(91.0, 98.9),
    (_MNIST, "derpp", 5120): _plain(95.3, 99.5),
}
SECOND_HAND = frozenset((_MNIST,))
"""Streams whose published figures are not from the paper itself."""
MAMMOTH: dict[Key, Figures] = {
    (_MNIST, "fine-tune", 0): _figures(19.65, 0.10, 95.09, 2.22, 12),
    (_MNIST, "er", 200): _figures(79.60, 1.60, 97.98, 0.18, 13),
    (_MNIST, "derpp", 200): _figures(85.95, 1.37, 98.75, 0.21, 18),
    (_MNIST, "si", 0): _figures(20.21, 0.63, 97.73, 1.22, 16),
    (_MNIST, "lwf", 0): _figures(21.29, 2.00, 98.95, 0.13, 22),
    (_MNIST, "ewc", 0): _figures(20.72, 0.89, 98.06, 0.68, 49),
    (_MNIST, "icarl", 200): _figures(65.22, 1.45, 97.72, 0.27),
}
