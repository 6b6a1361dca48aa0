"""Published numbers of DCL, in % (accuracies) and in areas of at most about 101 (learning speed).

Recorded outputs of the notebooks in the public code (github.com/vlongle/learning-hive, 8 seeds). `MAIN`:
branch main, April 2024 (plot_budgetv2, plot_budget, plot_learning_curve, with earlier versions of the last).
`LATER`: the table of branch combine_modes, May 2024 (plot_combine_modes), in part from new runs; the only
source for all modes together. Final accuracies have the standard error over agents x seeds, areas over
seeds. NaN: none was recorded.
"""

from __future__ import annotations

from math import nan
from typing import NamedTuple

ORDER = ("mnist", "kmnist", "fashion-mnist", "combined", "cifar100")
"""Order of the columns below."""


class Number(NamedTuple):
    """A published mean and its standard error (NaN where none is known)."""

    mean: float
    error: float = nan


Numbers = dict[str, tuple[tuple[float, ...], tuple[float, ...]]]
"""Row -> means, standard errors, each in the order of ORDER (or its beginning)."""
_UNKNOWN = (nan,) * len(ORDER)

MAIN_FINAL: Numbers = {
    "modular-isolated": ((93.47, 80.63, 92.80, 88.58, 70.04), (0.20, 0.31, 0.31, 0.36, 0.14)),
    "modular-parameters-5": ((93.94, 80.06, 93.23, 81.18, 65.85), (0.15, 0.39, 0.37, 0.44, 0.17)),
    "modular-parameters-10": ((93.94, 80.07, 93.17, 80.50, 65.61), (0.16, 0.39, 0.37, 0.48, 0.21)),
    "modular-parameters-20": ((93.93, 80.06, 93.17, 81.60, 65.59), (0.15, 0.39, 0.38, 0.49, 0.20)),
    "modular-parameters-50": ((93.93, 80.06, 93.18, 85.45, 65.38), (0.16, 0.39, 0.38, 0.46, 0.18)),
    "modular-parameters-100": ((93.94, 80.06, 93.17, 88.86, 65.79), (0.16, 0.39, 0.38, 0.36, 0.20)),
    "modular-data": ((94.60, nan, 93.56), (nan, nan, nan)),
    "modmod-1": ((94.08, 81.83, 93.28, 89.55, 72.72), (0.18, 0.27, 0.40, 0.31, 0.11)),
    "modmod-2": ((94.23, 82.17, 93.96, 89.32, 73.17), (0.16, 0.28, 0.33, 0.32, 0.14)),
    "modmod-3": ((94.34, 82.06, 93.97, 89.55, 73.40), (0.15, 0.27, 0.33, 0.32, 0.12)),
    "modmod-4": ((94.33, 81.95, 93.98, 89.48, 73.48), (0.15, 0.27, 0.33, 0.32, 0.14)),
    "monolithic-isolated": ((91.96, 78.23, 92.47, 86.59, 63.11), (0.27, 0.31, 0.33, 0.37, 0.32)),
    "monolithic-parameters-5": ((93.63, 80.56, 93.85, 86.57, 67.16), (0.22, 0.33, 0.36, 0.40, 0.16)),
    "monolithic-parameters-10": ((93.59, 80.54, 93.71, 87.10, 66.76), (0.22, 0.33, 0.37, 0.40, 0.14)),
    "monolithic-parameters-20": ((93.52, 80.21, 93.62, 87.32, 66.00), (0.23, 0.34, 0.38, 0.39, 0.16)),
    "monolithic-parameters-50": ((93.39, 79.68, 93.60, 87.23, 64.83), (0.21, 0.36, 0.35, 0.38, 0.15)),
    "monolithic-parameters-100": ((92.86, 78.94, 93.21, 86.90, 63.69), (0.24, 0.37, 0.38, 0.39, 0.14)),
    "monolithic-data": ((92.35, nan, 92.10), (nan, nan, nan)),
    "modular-data-10x1": ((94.47, 82.50, 93.43, nan, 61.97), _UNKNOWN),
    "modular-data-20x1": ((94.57, 82.45, 93.79, nan, 62.55), _UNKNOWN),
    "modular-data-30x1": ((94.62, 82.39, 93.98, nan, 63.04), _UNKNOWN),
    "modular-data-10x5": ((94.53, 82.70, 93.74, nan, 62.00), _UNKNOWN),
    "modular-data-20x5": ((94.84, 83.08, 93.87, nan, 61.03), _UNKNOWN),
    "modular-data-30x5": ((95.10, 83.61, 93.96, nan, 61.55), _UNKNOWN),
    "modular-data-10x10": ((94.83, 83.21, 93.78, nan, 60.90), _UNKNOWN),
    "modular-data-20x10": ((95.06, 83.76, 93.93, nan, 61.49), _UNKNOWN),
    "modular-data-30x10": ((95.13, 83.94, 94.29, nan, 61.57), _UNKNOWN),
    "monolithic-data-10x1": ((92.18, 79.00, 92.03, nan, 51.60), _UNKNOWN),
    "monolithic-data-30x10": ((93.92, 81.37, 92.40, nan, 52.83), _UNKNOWN),
}

LATER_FINAL: Numbers = {
    "modular-parameters-5": ((93.57, 80.04, 92.46, 88.45, 70.99), (0.18, 0.35, 0.45, 0.37, 0.14)),
    "modular-data": ((94.60, 82.59, 93.56, 89.03, 71.86), (0.12, 0.26, 0.28, 0.33, 0.16)),
    "modmod-1": ((94.08, 81.83, 93.28, 89.65, 76.77), (0.18, 0.27, 0.40, 0.30, 0.08)),
    "all-modes": ((94.57, 82.93, 94.10, 90.31, 77.05), (0.12, 0.23, 0.31, 0.28, 0.10)),
    "monolithic-parameters-5": ((93.86, 80.55, 93.68, 86.57, 67.05), (0.20, 0.33, 0.39, 0.40, 0.16)),
    "monolithic-data": ((94.20, 80.70, 94.02, 87.82, 65.18), (0.17, 0.32, 0.35, 0.36, 0.17)),
    "monolithic-data-groundtruth": ((94.20, 80.70, 94.02, 87.82, 65.18), (0.17, 0.32, 0.35, 0.36, 0.17)),
}

MAIN_SEEN: Numbers = {
    "modular-isolated": ((92.68, 80.62, 92.03, 88.05, 71.83), (0.26, 0.34, 0.23, 0.59, 0.20)),
    "monolithic-isolated": ((93.10, 79.42, 93.27, 87.69, 65.60), (0.25, 0.51, 0.35, 0.52, 0.78)),
    "monolithic-parameters-5": ((93.76, 80.49, 93.60, 86.76, 69.11), (0.46, 0.67, 0.63, 0.57, 0.30)),
    "monolithic-data": ((95.39, 82.48, 94.62, 88.80, 67.23), (0.16, 0.46, 0.32, 0.51, 0.14)),
    "modmod-1": ((94.25, nan, 93.92), _UNKNOWN),
    "modmod-1-module-only": ((93.70, nan, 93.53), _UNKNOWN),
    "modmod-1-structure": ((94.04, nan, 93.82), _UNKNOWN),
    "modmod-1-head": ((93.89, nan, 93.67), _UNKNOWN),
}

LATER_SEEN: Numbers = {
    "modular-parameters-5": ((92.82, 80.10, 91.96, 87.99, 73.96), (0.31, 0.51, 0.83, 0.62, 0.25)),
    "modular-data": ((93.89, 82.04, 92.97, 89.48, 73.42), (0.17, 0.37, 0.22, 0.51, 0.11)),
    "modmod-1": ((93.94, 81.78, 93.26, 89.62, 76.80), (0.32, 0.43, 0.85, 0.54, 0.28)),
    "all-modes": ((94.75, 82.90, 94.43, 90.41, 77.07), (0.26, 0.45, 0.82, 0.53, 0.27)),
    "monolithic-data": ((94.54, 81.01, 94.72, 88.59, 67.23), (0.48, 0.54, 0.89, 0.50, 0.14)),
    "monolithic-data-groundtruth": ((94.54, 81.01, 94.72, 88.59, 67.23), (0.48, 0.54, 0.89, 0.50, 0.14)),
}

MAIN_CURRENT: Numbers = {
    "modular-isolated": ((79.66, 69.39, 79.76, 75.64, 70.13), (0.79, 0.50, 0.63, 0.50, 0.21)),
    "modular-parameters-5": ((80.22, 68.14, 79.79, 63.52, 56.89), (0.78, 0.76, 0.83, 0.80, 0.27)),
    "modular-data": ((83.56, 73.31, 84.06, 81.37, 66.9), (0.50, 0.42, 0.66, 0.21, nan)),
    "modmod-1": ((86.91, 76.00, 86.50, 84.65, 73.23), (0.43, 0.49, 0.34, 0.22, 0.16)),
    "modmod-2": ((88.91, 76.84, 88.98, 84.10, 74.70), (0.22, 0.62, 0.64, 0.72, 0.20)),
    "modmod-3": ((89.01, 76.78, 88.97, 85.06, 75.25), (0.29, 0.62, 0.65, 0.15, 0.17)),
    "modmod-4": ((89.05, 76.74, 89.03, 85.02, 75.19), (0.23, 0.60, 0.64, 0.19, 0.31)),
    "modmod-1-ring": ((84.82, 73.82, 85.17, 79.33, 73.61), (0.51, 0.60, 0.32, 0.26, 0.19)),
    "modmod-1-star": ((85.40, 73.57, 84.26, 79.44, 73.83), (0.43, 0.56, 0.55, 0.14, 0.22)),
    "modmod-1-tree": ((84.98, 73.97, 84.40, 80.39, 73.81), (0.41, 0.61, 0.52, 0.33, 0.18)),
    "modmod-1-erdos-renyi-0.25": ((86.81, 75.39, 86.50, 84.12, 73.21), (0.48, 0.58, 0.49, 0.26, 0.17)),
    "modmod-1-erdos-renyi-0.5": ((86.36, 75.08, 85.86, 83.47, 73.49), (0.54, 0.66, 0.61, 0.25, 0.21)),
    "modmod-1-erdos-renyi-0.7": ((85.03, 73.99, 85.26, 82.43, 73.42), (0.36, 0.71, 0.65, 0.28, 0.20)),
    "modmod-1-erdos-renyi-0.9": ((83.11, 71.49, 83.01, 80.56, 72.31), (0.62, 1.08, 1.07, 0.12, 0.39)),
    # MNIST-sized nets were recorded with other settings there: averaging on a ring 12 below complete.
    "modular-parameters-5-ring": ((nan, nan, nan, nan, 56.86), (nan, nan, nan, nan, 0.15)),
    "modular-parameters-5-star": ((nan, nan, nan, nan, 56.90), (nan, nan, nan, nan, 0.19)),
    "modular-parameters-5-tree": ((nan, nan, nan, nan, 56.93), (nan, nan, nan, nan, 0.27)),
    "modular-parameters-5-erdos-renyi-0.25": ((nan, nan, nan, nan, 57.17), (nan, nan, nan, nan, 0.19)),
    "modular-parameters-5-erdos-renyi-0.5": ((nan, nan, nan, nan, 56.96), (nan, nan, nan, nan, 0.19)),
    "modular-parameters-5-erdos-renyi-0.7": ((nan, nan, nan, nan, 56.90), (nan, nan, nan, nan, 0.12)),
    "modular-parameters-5-erdos-renyi-0.9": ((nan, nan, nan, nan, 57.50), (nan, nan, nan, nan, 0.21)),
}

TABLES: dict[str, tuple[Numbers, Numbers]] = {
    "final_accuracy": (MAIN_FINAL, LATER_FINAL),
    "learning_speed": (MAIN_SEEN, LATER_SEEN),
    "learning_speed_current": (MAIN_CURRENT, {}),
}
"""Metric -> published, published later."""
HEADLINE_GAIN = 1.58
"""Percent that modules gain over isolated agents, says the abstract; its averaging rule is not known."""
HEADLINE_BUDGET = 1.17e-4
"""The communication budget named with it."""


def published(metric: str, row: str, dataset: str) -> Number | None:
    """The number of branch main, as docs and tables compare with; None: not published."""
    return _number(TABLES[metric][0], row, dataset)


def published_later(metric: str, row: str, dataset: str) -> Number | None:
    """The number of the later table; None: not in it."""
    return _number(TABLES[metric][1], row, dataset)


def _number(table: Numbers, row: str, dataset: str) -> Number | None:
    if row not in table or dataset not in ORDER:
        return None
    means, errors = table[row]
    place = ORDER.index(dataset)
    if place >= len(means) or means[place] != means[place]:
        return None
    return Number(means[place], errors[place] if place < len(errors) else nan)
