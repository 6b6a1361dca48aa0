"""The methods, and their settings on each stream: those of Mammoth's public code, wherever it has them.

The files in examples/baselines are for split MNIST with a memory of 200 rows. What differs elsewhere stands
here: values of the table [learning] (`lr`, `weight_decay`) and of its term (all others).
github.com/aimagelab/mammoth, best arguments of the models; EWC's weight is twice Mammoth's lambda, whose
penalty has no half, and iCaRL's weight decay twice Mammoth's for the same reason.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from mpidcl.errors import ExperimentError


@dataclass(frozen=True)
class Method:
    """One method: `words` for tables; its file is examples/baselines/NAME.toml.

    `memory`: what it remembers: nothing, rows in a buffer, so many rows of each task, or all rows.
    `networked`: in the table of sharing, too; the others would repeat one of those, or have agents already.
    """

    name: str
    words: str
    memory: Literal["none", "buffer", "tasks", "all"] = "none"
    networked: bool = True


METHODS: dict[str, Method] = {
    method.name: method
    for method in (
        Method("fine-tune", "fine-tuning (SGD)"),
        Method("er", "ER", "buffer"),
        Method("derpp", "DER++", "buffer"),
        Method("ewc", "online EWC"),
        Method("si", "SI"),
        Method("lwf", "LwF"),
        Method("joint", "joint"),
        Method("der", "DER", "buffer"),
        Method("er-ace", "ER-ACE", "buffer"),
        Method("agem", "A-GEM", "tasks"),
        Method("gem", "GEM", "tasks"),
        Method("icarl", "iCaRL", "buffer"),
        Method("from-scratch", "from scratch", "all", networked=False),
        Method("fedavg", "FedAvg in sequence (4 agents)", networked=False),
    )
}
"""All methods by name, in the order in which they are run."""

OF_LEARNING = ("lr", "weight_decay")
Settings = Mapping[str, Mapping[int, str]]
"""Method -> rows of the buffer (0: any) -> what differs from its example file."""

MNIST: Settings = {
    "er": {500: "lr=0.1", 5120: "lr=0.1"},
    "er-ace": {500: "lr=0.1", 5120: "lr=0.1"},
    "der": {500: "alpha=1.0 rows_per_step=128", 5120: "lr=0.1 alpha=0.5 rows_per_step=128"},
    "derpp": {
        500: "alpha=1.0 beta=0.5 rows_per_step=10",
        5120: "lr=0.1 alpha=0.2 beta=0.5 rows_per_step=64",
    },
    "gem": {500: "lr=0.03 margin=0.5", 5120: "lr=0.1"},
}
CIFAR10: Settings = {
    "fine-tune": {0: "lr=0.1"},
    "joint": {0: "lr=0.1"},
    "from-scratch": {0: "lr=0.1"},
    "fedavg": {0: "lr=0.1"},
    "er": {0: "lr=0.1 rows_per_step=32"},
    "er-ace": {0: "lr=0.1 rows_per_step=32"},
    "der": {0: "lr=0.03 alpha=0.3 rows_per_step=32"},
    "derpp": {
        0: "lr=0.03 alpha=0.1 beta=0.5 rows_per_step=32",
        500: "lr=0.03 alpha=0.2 beta=0.5 rows_per_step=32",
        5120: "lr=0.03 alpha=0.1 beta=1.0 rows_per_step=32",
    },
    "agem": {0: "lr=0.03 rows_per_step=32"},
    "gem": {0: "lr=0.03 margin=0.5"},
    "ewc": {0: "lr=0.03 weight=20.0"},
    "si": {0: "lr=0.03 c=0.5 xi=1.0"},
    "lwf": {0: "lr=0.01 alpha=3.0"},
    "icarl": {0: "lr=0.1 weight_decay=2e-5", 5120: "lr=0.03 weight_decay=2e-5"},
}
CIFAR100: Settings = {
    **CIFAR10,
    "fine-tune": {0: "lr=0.03"},
    "joint": {0: "lr=0.03"},
    "from-scratch": {0: "lr=0.03"},
    "fedavg": {0: "lr=0.03"},
    "er-ace": {0: "lr=0.03 rows_per_step=32"},
    "derpp": {0: "lr=0.03 alpha=0.1 beta=0.5 rows_per_step=32"},
    "lwf": {0: "lr=0.03 alpha=0.5"},
    "icarl": {0: "lr=0.3 weight_decay=2e-5"},
}
"""Mammoth has no EWC, SI, GEM and A-GEM here: those are the values for CIFAR-10."""


def settings_of(method: Method, buffer: int, settings: Settings) -> list[str]:
    """`--set` values of a method with a buffer of so many rows."""
    known = settings.get(method.name, {})
    pairs = [word.partition("=") for word in known.get(buffer, known.get(0, "")).split()]
    return [f"learning.{'' if key in OF_LEARNING else 'terms.0.'}{key}={value}" for key, _, value in pairs]


def chosen_methods(wanted: Sequence[str] | None, networked: bool) -> list[Method]:
    """The methods with these names; all when None. Raises ExperimentError for a name that is not known."""
    for name in wanted or ():
        if name not in METHODS:
            raise ExperimentError(f"--methods should be of {', '.join(METHODS)}. Found {name}")
    found = [method for method in METHODS.values() if wanted is None or method.name in wanted]
    return [method for method in found if method.networked or not networked]
