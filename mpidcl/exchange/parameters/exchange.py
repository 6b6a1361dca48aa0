"""Sharing models: neighbours average their parameters, all (McMahan et al. 2017, arXiv 1602.05629; Lian et
al. 2017, arXiv 1705.09056) or without heads (DCL, arXiv 2405.17466).

By default only the `shared` span of the learner's flat parameters travels, with `parts = "all"` heads, too;
structures and frozen segments never do. A neighbour that is silent, lost or sent less than the whole model
leaves its weight, at the positions that did not come, to the agent itself; with `silent = "newest"` the last
message of a silent one stands.

What travels under a budget, `precision`:

    float32 float16 int8   the whole model in that format; when it does not fit, blocks in turn
    block                  1 / blocks of the model per use in float32, in turn (smaller when room is small)
    top-k                  values at the positions that changed most since they were last sent on this link
    auto                   float32, else float16, else int8, whichever is the first whole model that fits;
                           else int8 blocks in turn

top-k is CHOCO's sparsification with memory (Koloskova et al., ICML 2019, algorithm 1): the sender
remembers per link what the receiver has, x_hat, and sends the k largest entries of |x - x_hat|. Where
CHOCO sends the difference this sends x itself: the same x_hat in exact arithmetic, no rounding drift,
and a lost frame is mended as soon as its positions change again. What was not sent stays in x - x_hat
(error feedback). The receiver averages only the positions that came. Memory: one model per link.
"""

from __future__ import annotations

from functools import cached_property
from typing import ClassVar, Literal, cast

import numpy as np
from pydantic import Field

from mpidcl.base.arrays import Parts, Placed
from mpidcl.base.state import Facts, State
from mpidcl.errors import ExperimentError
from mpidcl.exchange.averaging import (
    Contribution,
    curvature_sums,
    distances,
    fisher_average,
    mixing_weights,
    weighted_average,
    with_silent,
)
from mpidcl.exchange.base import ByteRange, Distance, Exchange, LinkUse, Neighbourhood, Received
from mpidcl.exchange.capabilities import KnowsFisher, KnowsOutputs, SharesParameters, TakesTerms
from mpidcl.exchange.facts import compare_outputs, compare_tensors, output_facts, tensor_facts
from mpidcl.exchange.packing.compression import Floats, decode, positions_of
from mpidcl.exchange.parameters.offers import Offers, Precision
from mpidcl.exchange.parameters.penalties import install_curvature, install_proximal
from mpidcl.exchange.silence import Newest, Silent
from mpidcl.experiment.options import Options
from mpidcl.network.frames.message import Message
from mpidcl_kernels.base.types import View


class ParametersOptions(Options):
    """Options of `kind = "parameters"`."""

    method: Literal["average", "fedprox", "fedcurv", "fisher"] = Field(
        "average",
        description="average; fedprox and fedcurv: averaging and a penalty; fisher: Fisher-weighted average",
    )
    parts: Parts = Field(
        "shared",
        description="what is averaged: shared, all but heads, of which each agent keeps its own; all: heads,"
        " too, where outputs stand for the same classes at both ends",
    )
    weights: Literal["uniform", "metropolis"] = Field(
        "uniform",
        description="mixing weights: 1 / (degree + 1), or Metropolis (keeps the mean over all agents)",
    )
    precision: Precision = Field(
        "auto", description="form of the model on the link; auto: the best that fits the room"
    )
    blocks: int = Field(4, ge=1, description="precision = block: pieces of the model, one per use in turn")
    fraction: float = Field(
        0.1, gt=0, le=1, description="precision = top-k: share of the positions sent per use"
    )
    mu: float = Field(0.1, ge=0, description="fedprox: weight of (mu / 2) |w - w_ref|^2")
    curvature: float = Field(1.0, ge=0, description="fedcurv: weight of the neighbours' curvature penalty")
    eps: float = Field(
        1e-8, gt=0, description="fisher: Fisher information below this counts as no preference"
    )
    silent: Silent = Field(
        "own",
        description="what stands for a neighbour from which nothing came: own, the agent's own model; newest,"
        " the last that came from it",
    )
    bn: Literal["local", "average"] = Field(
        "local", description="BatchNorm statistics: keep, or average with the model"
    )


class ParametersExchange(Exchange):
    """Neighbourhood averaging of parameters, with FedProx, FedCurv and Fisher weighting.

    `distances` tells, for every neighbour of the last meeting, the mean absolute difference to the model
    that came from it, before and after averaging.
    """

    Options: ClassVar[type[Options]] = ParametersOptions
    legs: ClassVar[int] = 1
    clocks = ("lockstep", "virtual", "free")
    reads_memory = False
    kernels: ClassVar[tuple[str, ...]] = ("average", "quantise", "sparse")
    options: ParametersOptions
    learner: SharesParameters

    @classmethod
    def needs(cls, options: ParametersOptions) -> tuple[type, ...]:
        """Parameters; for heads, Fisher information and penalties what these take."""
        terms = (TakesTerms,) if options.method in ("fedprox", "fedcurv") else ()
        fisher = (KnowsFisher,) if options.method in ("fedcurv", "fisher") else ()
        heads = (KnowsOutputs,) if options.parts == "all" else ()
        return (SharesParameters, *terms, *fisher, *heads)

    def __init__(
        self, options: ParametersOptions, learner: SharesParameters, neighbourhood: Neighbourhood
    ) -> None:
        super().__init__(options, learner, neighbourhood)
        me = neighbourhood.agent
        self.weights = mixing_weights(options.weights, me, neighbourhood.sources, neighbourhood.degrees)
        if options.parts == "all":
            _require_no_modules(learner)
        span = learner.parameters.span(options.parts)
        self._size = int(span.stop - span.start)
        buffers = learner.parameters.buffers
        self._buffers = int(buffers.shape[0]) if options.bn == "average" else 0
        self._names = ("model", "fisher") if options.method in ("fedcurv", "fisher") else ("model",)
        self._offers = Offers(options, self._size, self._names, self._buffers)
        self._vectors: dict[str, Floats] | None = None
        # At construction, so that a resumed learner finds its term before it loads its state.
        method, parts = options.method, options.parts
        self._proximal = install_proximal(learner, options.mu, parts) if method == "fedprox" else None
        curvature = install_curvature(learner, options.curvature, parts) if method == "fedcurv" else None
        self._curvature = curvature
        self._distances: list[Distance] = []
        self._newest = Newest(options.silent)

    def bytes_range(self, target: int, budget: int | None) -> ByteRange:
        """From about one block of 1024 values to the whole model in the best form that `budget` holds."""
        return self._offers.bytes_range(budget)

    def begin_use(self, task: int) -> None:
        """Forget what the last meeting prepared; vectors are read at the first offer."""
        self._vectors = None
        self._offers.forget_encoded()

    def ask(self, link: LinkUse) -> Message | None:
        """The model, or as much of it as fits; None when not even the least offer does."""
        offer = self._offers.plan(link.room)
        if offer is None:
            return None
        vectors = self._read()
        buffers = _read_buffers(self.learner) if self._buffers else None
        return self._offers.message(offer, link.target, vectors, buffers)

    def settle(self, received: list[Received]) -> None:
        """Average with what came, into the learner's parameters themselves, and renew the penalty.

        Offers may be views of these parameters: drivers hand over the last messages only when everything
        that this agent sent has left its memory.
        """
        ordered = self._newest.heard(received)
        given = [self._contribution(r).on(self.learner.place) for r in ordered]
        self._average_buffers(ordered)
        self._distances = []
        own = self.learner.device_view(self.options.parts)
        if given:
            before = distances(own, given)
            self._average(own, given)
            pairs = zip(given, before, distances(own, given), strict=True)
            self._distances = [Distance(c.agent, *both) for c, *both in pairs]
        self._renew_penalty(own, given)
        self._vectors = None
        self._offers.forget_encoded()

    def _read(self) -> dict[str, Floats]:
        if self._vectors is None:
            parts = self.options.parts
            self._vectors = {"model": self.learner.host_view(parts)}
            if "fisher" in self._names:
                knowing = cast("KnowsFisher", self.learner)  # `needs` says that it knows
                self._vectors["fisher"] = knowing.fisher() if parts == "shared" else knowing.fisher(parts)
        return self._vectors

    def _contribution(self, received: Received) -> Contribution[View]:
        message = received.message
        positions = positions_of(message, "model", self._size)
        fisher = decode(message, "fisher") if "fisher" in self._names else None
        return Contribution(received.source, positions, decode(message, "model"), fisher)

    def _average(self, own: Placed, given: list[Contribution[Placed]]) -> None:
        me = self.neighbourhood.agent
        weights = with_silent(self.weights, me, [c.agent for c in given])
        if self.options.method == "fisher":
            fisher = self.learner.place(self._read()["fisher"])
            fisher_average(own, fisher, me, given, weights, self.options.eps, out=own)
        else:
            weighted_average(own, me, given, weights, out=own)

    def _average_buffers(self, ordered: list[Received]) -> None:
        if not self._buffers:
            return
        me, whole = self.neighbourhood.agent, slice(0, self._buffers)
        given = [
            Contribution(r.source, whole, decode(r.message, "buffers")).on(self.learner.place)
            for r in ordered
            if r.message.arrays.get("buffers", np.empty(0)).size == self._buffers
        ]
        weights = with_silent(self.weights, me, [c.agent for c in given])
        own = self.learner.parameters.buffers
        weighted_average(own, me, given, weights, out=own)

    def _renew_penalty(self, own: Placed, given: list[Contribution[Placed]]) -> None:
        if self._proximal is not None:
            self._proximal.set_reference(own)
        if self._curvature is not None:
            self._curvature.set_sums(*(curvature_sums(given, self._size) or _zeros(self._size)))

    def start_facts(self) -> Facts:
        """The agent, the shape of every tensor that travels and what heads mean, for `compare_facts`."""
        return self._facts

    @cached_property
    def _facts(self) -> Facts:
        parts = self.options.parts
        kinds = ("shared", "heads") if parts == "all" else ("shared",)
        facts = tensor_facts(self.neighbourhood.agent, self.learner, kinds)
        return facts if parts == "shared" else facts | output_facts(cast("KnowsOutputs", self.learner))

    def compare_facts(self, mine: Facts, theirs: Facts) -> str | None:
        """Why two models cannot be averaged, or None."""
        return compare_tensors(mine, theirs) or compare_outputs(mine, theirs, 'parts = "all"')

    def distances(self) -> list[Distance]:
        """To every neighbour of the last meeting."""
        return self._distances

    def state(self) -> State:
        """Where the blocks in turn stand, what each link has been sent (top-k), and what stands for what."""
        return {**self._offers.state(), **self._newest.state()}

    def load(self, state: State) -> None:
        """Put back what `state` returned."""
        self._offers.load(state)
        self._newest.load(state)


def _require_no_modules(learner: SharesParameters) -> None:
    """Raises ExperimentError for a model of modules: heads answer for structures that never travel."""
    found = {segment.kind for segment in learner.parameters.segments} & {"modules", "structures"}
    if found:
        raise ExperimentError(
            '`parts` of an exchange of kind "parameters" should be "shared" with a model made of modules,'
            f' whose tasks combine them each in its own way. Found "all", and {" and ".join(sorted(found))}'
            f" in {type(learner.model).__name__}."
        )


def _read_buffers(learner: SharesParameters) -> Floats:
    values: Floats = learner.parameters.buffers.detach().cpu().numpy()
    return values


def _zeros(size: int) -> tuple[Floats, Floats]:
    return np.zeros(size, np.float32), np.zeros(size, np.float32)
