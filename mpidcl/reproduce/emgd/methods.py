"""The methods that are compared: a combiner, and how remembered rows are edited."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mpidcl.errors import ExperimentError

ALIGN = ()
"""The example files edit with `align`."""
NO_EDITING = ("learning.editing=none",)
NO_FLOOR = "floor = false, safe = true"
"""Ours: no loss rises, to first order."""


@dataclass(frozen=True)
class Method:
    """One method: `words` for tables, its `group`, and its `--set` values for the example files."""

    name: str
    words: str
    group: str
    sets: tuple[str, ...]


def _combiner(kind: str, words: str, group: str) -> Method:
    return Method(kind, words, group, (f"learning.combiner={kind}", *NO_EDITING))


def _elastic(name: str, words: str, group: str, options: str, editing: tuple[str, ...]) -> Method:
    """Without `options` the rule of the public code, which the example files have."""
    combiner = (f'learning.combiner={{kind = "elastic", {options}}}',) if options else ()
    return Method(name, words, group, (*combiner, *editing))


def _sigma(mode: str) -> list[Method]:
    """Elastic factors of one mode, without and with editing."""
    return [
        _elastic(
            f"elastic-{mode}{end}", f"elastic, sigma = {mode}{said}", "sigma", f'sigma = "{mode}"', editing
        )
        for end, said, editing in (("", "", NO_EDITING), ("-align", ", editing", ALIGN))
    ]


def _control(kind: str, words: str) -> Method:
    return Method(f"elastic-{kind}", f"elastic, {words}", "controls", (f"learning.editing={kind}",))


BASELINES = {
    "norm_grad": "Norm-Grad",
    "cagrad": "CAGrad",
    "imtl_g": "IMTL-G",
    "config": "ConFIG",
    "nash_mtl": "Nash-MTL",
    "aligned_mtl": "Aligned-MTL",
    "dualproj": "DualProj (GEM)",
    "gradvac": "GradVac",
    "graddrop": "GradDrop",
    "gradnorm": "GradNorm",
    "dwa": "DWA",
    "rlw": "RLW",
    "er": "ER",
    "agem": "A-GEM",
    "mega": "MEGA",
    "uw": "UW",
    "famo": "FAMO",
    "maxdo": "MaxDO",
}

METHODS: dict[str, Method] = {
    method.name: method
    for method in (
        _combiner("mean", "mean", "core"),
        _combiner("mgda", "MGDA", "core"),
        _elastic("elastic", "elastic", "core", "", NO_EDITING),
        _elastic("elastic-free", "elastic, no floor", "core", NO_FLOOR, NO_EDITING),
        _elastic("elastic-align", "elastic, editing", "core", "", ALIGN),
        _combiner("sum", "sum", "main"),
        _combiner("pcgrad", "PCGrad", "main"),
        _combiner("upgrad", "UPGrad", "main"),
        *(method for mode in ("ema_norm", "gmc", "gs", "ones") for method in _sigma(mode)),
        _elastic("elastic-safe", "elastic, safe floor", "controls", "safe = true", NO_EDITING),
        _elastic("elastic-free-align", "elastic, no floor, editing", "controls", NO_FLOOR, ALIGN),
        _elastic(
            "elastic-mean1", "elastic, step like the mean", "controls", 'sigma_norm = "mean1"', NO_EDITING
        ),
        _elastic("elastic-tau0.5", "elastic, tau = 0.5", "controls", "tau = 0.5", NO_EDITING),
        _control("random", "random edits"),
        _control("negated", "edits the other way"),
        _control("conflict", "edits towards conflict (GMED)"),
        *(_combiner(kind, words, "baselines") for kind, words in BASELINES.items()),
    )
}
"""All methods by name, in the order in which they are run."""
GROUPS = ("core", "main", "sigma", "controls", "baselines")
USUAL = ("core", "main", "sigma")
"""What is run unless methods are named; `sigma` on the streams of `SIGMA_STREAMS` only."""
SIGMA_STREAMS = ("emnist", "digits")


def chosen_methods(wanted: Sequence[str] | None, dataset: str, quick: bool) -> list[Method]:
    """The methods with these names, or of these groups; the usual ones of the stream when None.

    Raises ExperimentError for a name that is not known.
    """
    if wanted is None:
        groups = ("core", "main") if quick or dataset not in SIGMA_STREAMS else USUAL
        return [method for method in METHODS.values() if method.group in groups]
    for name in wanted:
        if name not in METHODS and name not in GROUPS:
            known = ", ".join([*GROUPS, *METHODS])
            raise ExperimentError(
                f"--methods should name methods or groups of them. Found {name}. Known: {known}"
            )
    return [method for method in METHODS.values() if method.name in wanted or method.group in wanted]
