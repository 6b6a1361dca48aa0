"""What can be chosen about sharing models and experts."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator, model_validator

from mpidcl.exchange.silence import Silent
from mpidcl.experiment.options import Options

Part = Literal["shared", "modules", "heads", "router"]
KIND_OF: dict[Part, str] = {
    "shared": "shared",
    "modules": "modules",
    "heads": "heads",
    "router": "structures",
}
"""Kinds of segments, in the order in which they lie in the flat parameters."""


class ExpertsOptions(Options):
    """Options of `kind = "experts"`."""

    merge: Literal["average", "sparse", "matched"] = Field(
        "average",
        description="average: whole models; sparse: only the parameters that matter most to the sender;"
        " matched: whole models, the units of each put into the receiver's order first",
    )
    parts: tuple[Part, ...] = Field(
        ("shared", "modules", "heads"),
        min_length=1,
        max_length=4,
        description="what travels: shared, modules (experts in use), heads, where outputs stand for the same"
        " classes at both ends, and the router",
    )
    weights: Literal["uniform", "metropolis"] = Field(
        "uniform",
        description="mixing weights: 1 / (degree + 1), or Metropolis (keeps the mean over all agents)",
    )
    silent: Silent = Field(
        "own",
        description="what stands for a neighbour from which nothing came: own, the agent's own model; newest,"
        " the last that came from it",
    )
    precision: Literal["auto", "float32", "float16", "int8"] = Field(
        "auto",
        description="form of the values on the link; auto: the best that fits the room. Sparse: no int8",
    )
    fraction: float = Field(
        0.1, gt=0, le=1, description="sparse: share of the parameters that travels, less where room is small"
    )
    score: Literal["magnitude", "fisher", "mixed"] = Field(
        "magnitude",
        description="sparse: what a parameter matters: its magnitude, its Fisher information, or both",
    )
    mix: float = Field(
        0.5,
        ge=0,
        le=1,
        description="score = mixed: a in magnitude^a Fisher^(1 - a), each over its maximum in the tensor",
    )
    rank: Literal["layer", "all"] = Field(
        "layer", description="sparse: the share is that of each tensor, or of all that travels"
    )
    fisher_mean: bool = Field(
        False, description="sparse: Fisher information travels, too, and weights the mean of each parameter"
    )
    eps: float = Field(
        1e-8, gt=0, le=1, description="fisher_mean: Fisher information below this counts as no preference"
    )
    by: Literal["activations", "weights"] = Field(
        "activations",
        description="matched: units are alike whose values on own rows are, or whose weights are",
    )
    probe: int = Field(
        256,
        ge=2,
        le=100_000,
        description="most own training rows for activations, BatchNorm statistics and Fisher information",
    )
    bn: Literal["refresh", "local"] = Field(
        "refresh", description="BatchNorm statistics after merging: anew from `probe` rows, or the old ones"
    )
    teach: bool = Field(
        False, description="models that come also teach: terms such as distillation take them for teachers"
    )

    @field_validator("parts")
    @classmethod
    def _each_once(cls, parts: tuple[Part, ...]) -> tuple[Part, ...]:
        if len({*parts}) < len(parts):
            raise ValueError(f"should name each part once. Found {', '.join(parts)}")
        return tuple(part for part in KIND_OF if part in parts)

    @model_validator(mode="after")
    def _together(self) -> ExpertsOptions:
        if self.merge == "sparse" and self.precision == "int8":
            raise ValueError(
                'precision should be "auto", "float32" or "float16" with merge = "sparse", whose values are'
                ' chosen one by one. Found "int8"'
            )
        if self.merge == "sparse" and self.teach:
            raise ValueError(
                'teach should be false with merge = "sparse": a part of a model answers nothing. Found true'
            )
        if self.merge == "matched" and "shared" not in self.parts:
            raise ValueError(
                'parts should hold "shared" with merge = "matched", which puts units of whole models into'
                f" order. Found {', '.join(self.parts)}"
            )
        if self.fisher_mean and self.merge != "sparse":
            raise ValueError(
                f'fisher_mean should be false with merge = "{self.merge}". Found true. An exchange of kind'
                ' "parameters" has method = "fisher" for whole models'
            )
        return self

    @property
    def ranks_by_fisher(self) -> bool:
        """Whether the sender needs its Fisher information."""
        return self.merge == "sparse" and (self.score != "magnitude" or self.fisher_mean)
