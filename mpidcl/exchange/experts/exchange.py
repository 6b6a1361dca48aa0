"""Sharing models and experts: neighbours average them whole, only what matters most, or matched.

average: theta_i <- sum_j w_ij theta_j over the parts that travel. sparse: the same for those parameters alone
that a neighbour named, its most important ones (`merging.py`). matched: the units of a neighbour's net are
first put into the order of one's own, found on own rows (DIMAT, Saadati et al. 2024, arXiv 2404.08079) or by
weights (Git Re-Basin, Ainsworth et al. 2023, arXiv 2209.04836); see `learning/matching.py`.

Experts that the sender does not use do not travel, and those that the receiver does not use stay as they are.
The router is private unless `parts` names it. What links were sent is not remembered. Part of "Decentralized
Modular Knowledge Distillation for Sustainable Continual Learning" (research proposal).
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, cast

import numpy as np

from mpidcl.base.state import Facts, State
from mpidcl.errors import ExperimentError
from mpidcl.exchange.averaging import (
    Contribution,
    distances,
    mixing_weights,
    weighted_average,
    with_silent,
)
from mpidcl.exchange.base import ByteRange, Distance, Exchange, LinkUse, Neighbourhood, Received
from mpidcl.exchange.capabilities import (
    HasProbe,
    KnowsLabelFisher,
    KnowsOutputs,
    SharesParameters,
    TakesTeachers,
    UsesModules,
    missing,
    named,
)
from mpidcl.exchange.experts.merging import Own, coordinate_mean
from mpidcl.exchange.experts.offers import Offer, Offers
from mpidcl.exchange.experts.options import ExpertsOptions
from mpidcl.exchange.experts.reading import read
from mpidcl.exchange.experts.travel import Travel, Use
from mpidcl.exchange.facts import compare_outputs, compare_tensors, output_facts, tensor_facts
from mpidcl.exchange.packing.compression import Floats
from mpidcl.exchange.silence import Newest
from mpidcl.experiment.options import Options
from mpidcl.learning.importance import importance
from mpidcl.network.frames.message import Message
from mpidcl_kernels.base.types import View

if TYPE_CHECKING:
    from mpidcl.exchange.experts.looking import Looking

EXPERTS = "experts"
"""The fact that tells how many of them travel."""


class Now(NamedTuple):
    """The agent's side of a meeting: which experts it uses, and its vectors [size]."""

    used: Use
    vectors: dict[str, Floats]
    scores: Floats | None


class ExpertsExchange(Exchange):
    """Neighbourhood averaging of models and experts: whole, sparse or matched.

    `distances` tells, for every neighbour of the last meeting, the mean absolute difference to the model
    that came from it, before and after merging; of a matched one in the agent's own order.
    """

    Options: ClassVar[type[Options]] = ExpertsOptions
    legs: ClassVar[int] = 1
    clocks = ("lockstep", "virtual", "free")
    reads_memory = False
    kernels: ClassVar[tuple[str, ...]] = ("average", "quantise", "sparse")
    options: ExpertsOptions
    learner: SharesParameters

    @classmethod
    def needs(cls, options: ExpertsOptions) -> tuple[type, ...]:
        """Parameters; for heads, Fisher information, own rows and teachers what these take."""
        asked = {
            KnowsOutputs: "heads" in options.parts,
            KnowsLabelFisher: options.ranks_by_fisher,
            HasProbe: options.merge == "matched",
            TakesTeachers: options.teach,
        }
        return (SharesParameters, *(one for one, needed in asked.items() if needed))

    @classmethod
    def teaches(cls, options: Any) -> str | None:
        return "neighbours" if isinstance(options, ExpertsOptions) and options.teach else None

    def __init__(
        self, options: ExpertsOptions, learner: SharesParameters, neighbourhood: Neighbourhood
    ) -> None:
        super().__init__(options, learner, neighbourhood)
        me = neighbourhood.agent
        self.weights = mixing_weights(options.weights, me, neighbourhood.sources, neighbourhood.degrees)
        self._travel = Travel(learner, options.parts)
        _check(learner, options, self._travel)
        self._offers = Offers(options, self._travel)
        self._newest = Newest(options.silent)
        self._refreshes = options.bn == "refresh" and int(learner.parameters.buffers.shape[0]) > 0
        self._looking = self._look(options, learner)
        self._now: Now | None = None
        self._made: dict[Offer, Message] = {}
        self._distances: list[Distance] = []

    def _look(self, options: ExpertsOptions, learner: SharesParameters) -> Looking | None:
        """Only where it is needed: it takes torch."""
        if options.merge != "matched" and not self._refreshes:
            return None
        if lacks := missing(learner, (HasProbe,)):
            raise ExperimentError(
                '`bn` of an exchange of kind "experts" should be "local" with a learner that has no rows to'
                f" show: {type(learner).__name__} has no {named(lacks)}. Found {options.bn!r}."
            )
        from mpidcl.exchange.experts.looking import Looking

        return Looking(options, learner, self._travel, self.neighbourhood)

    # --- sending --------------------------------------------------------------------------------

    def bytes_range(self, target: int, budget: int | None) -> ByteRange:
        """Whole models in the smallest form, or 1024 parameters, to the best that `budget` holds."""
        return self._offers.bytes_range(budget)

    def begin_use(self, task: int) -> None:
        """Forget what the last meeting prepared; vectors are read at the first offer."""
        self._forget()

    def end_use(self) -> None:
        """What was prepared is of this tick alone."""
        self._forget()

    def _forget(self) -> None:
        self._now = None
        self._made.clear()

    def ask(self, link: LinkUse) -> Message | None:
        """What fits of the model; None when not even the least offer does."""
        offer = self._offers.plan(link.room, self._travel.used())
        if offer is None:
            return None
        if offer not in self._made:
            now = self._prepared()
            self._made[offer] = self._offers.message(offer, now.vectors, now.used, now.scores)
        return self._made[offer]

    def _prepared(self) -> Now:
        if self._now is None:
            options, vectors = self.options, {"model": self._travel.read()}
            if options.ranks_by_fisher:
                knowing = cast("KnowsLabelFisher", self.learner)  # `needs` says that it knows
                vectors["fisher"] = self._travel.of_flat(knowing.label_fisher(options.probe))
            scores = None
            if options.merge == "sparse":
                layers = self._travel.layers
                scores = importance(
                    options.score, vectors["model"], vectors.get("fisher"), options.mix, layers
                )
            self._now = Now(self._travel.used(), vectors, scores)
        return self._now

    # --- receiving ------------------------------------------------------------------------------

    def settle(self, received: list[Received]) -> None:
        """Merge with what came, into the learner's parameters themselves, and let it teach.

        Offers may be views of these parameters: drivers hand over the last messages only when everything
        that this agent sent has left its memory.
        """
        sparse, names = self.options.merge == "sparse", self._offers.names
        given = [read(one, self._travel, names, sparse) for one in self._newest.heard(received)]
        self._distances = []
        if given:
            if self.options.merge == "matched" and self._looking is not None:
                given = [self._looking.matched(one) for one in given]
            if self.options.teach:
                self._teach(given)
            self._merge([self._usable(one) for one in given])
            if self._refreshes and self._looking is not None:
                self._looking.refresh()
        self._forget()

    def _teach(self, given: list[Contribution[View]]) -> None:
        """Whole models by kinds; what a neighbour did not send is one's own."""
        models: dict[int, dict[str, Floats]] = {}
        for one in given:
            vector = self._travel.read().copy()
            vector[one.positions] = one.values
            models[one.agent] = self._travel.by_kind(vector)
        cast("TakesTeachers", self.learner).take_teachers(models)

    def _usable(self, given: Contribution[View]) -> Contribution[View]:
        """Without the experts that this agent does not use."""
        used = self._travel.used()
        if used.all():
            return given
        mine = self._travel.mask(used)
        positions = given.positions
        if isinstance(positions, slice):
            positions = np.arange(self._travel.size, dtype=np.uint64)
        kept = mine[positions]
        fisher = None if given.fisher is None else given.fisher[kept]
        return Contribution(given.agent, positions[kept], given.values[kept], fisher)

    def _merge(self, given: list[Contribution[View]]) -> None:
        me, place = self.neighbourhood.agent, self.learner.place
        weights = with_silent(self.weights, me, [one.agent for one in given])
        own, placed = self._travel.placed(), [one.on(place) for one in given]
        before = distances(own, placed)
        if not self.options.fisher_mean and all(isinstance(one.positions, slice) for one in given):
            weighted_average(own, me, placed, weights, out=own)
        else:
            now = self._prepared()
            fisher = now.vectors["fisher"] if self.options.fisher_mean else None
            mine = Own(me, now.vectors["model"], fisher)
            merged = coordinate_mean(mine, given, weights, self.options.eps)
            own[place(merged.positions)] = place(merged.values)  # type: ignore[assignment]
        pairs = zip(given, before, distances(own, placed), strict=True)
        self._distances = [Distance(one.agent, *both) for one, *both in pairs]
        self._travel.write(own)

    # --- what neighbours compare ----------------------------------------------------------------

    def start_facts(self) -> Facts:
        """The agent, its experts, the shape of every tensor that travels, and what heads mean."""
        return self._facts

    @cached_property
    def _facts(self) -> Facts:
        facts = tensor_facts(self.neighbourhood.agent, self.learner, self._travel.kinds)
        facts = facts | {EXPERTS: len(self._travel.modules)}
        if "heads" in self._travel.kinds:
            facts |= output_facts(cast("KnowsOutputs", self.learner))
        return facts

    def compare_facts(self, mine: Facts, theirs: Facts) -> str | None:
        """Why two models cannot be merged, or None."""
        if mine[EXPERTS] != theirs.get(EXPERTS):
            return (
                f"agents {mine['agent']} and {theirs['agent']} should have as many experts to share them."
                f" Found {mine[EXPERTS]} at agent {mine['agent']} and {theirs.get(EXPERTS)} at agent"
                f' {theirs["agent"]}. Give them the same [model], or leave "modules" out of `parts`.'
            )
        heads, instead = 'parts that hold "heads"', 'Set parts = ["shared", "modules"]'
        return compare_tensors(mine, theirs) or compare_outputs(mine, theirs, heads, instead)

    def distances(self) -> list[Distance]:
        """To every neighbour of the last meeting."""
        return self._distances

    def state(self) -> State:
        """What stands for silent neighbours."""
        return self._newest.state()

    def load(self, state: State) -> None:
        """Put back what `state` returned."""
        self._newest.load(state)
        self._forget()


def _check(learner: SharesParameters, options: ExpertsOptions, travel: Travel) -> None:
    """Raises ExperimentError where nothing travels, or modules whose numbers mean something to one agent."""
    model = type(learner.model).__name__
    if not travel.size:
        raise ExperimentError(
            f'`parts` of an exchange of kind "experts" should name what {model} has. Found'
            f" {', '.join(options.parts)}, of which it has nothing."
        )
    present = {segment.kind for segment in learner.parameters.segments} & {"modules", "structures"}
    if present and travel.kinds != ("shared",) and missing(learner, (UsesModules,)):
        raise ExperimentError(
            '`parts` of an exchange of kind "experts" should be ["shared"] with modules that each task'
            f" combines in its own way. Found {', '.join(options.parts)}, and {' and '.join(sorted(present))}"
            f" in {model} of {type(learner).__name__}, which does not say which of them are in use."
        )
