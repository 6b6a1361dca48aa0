"""Whether the ticks of an experiment can be taken out of the agents' hands."""

from __future__ import annotations

import os

from mpidcl.exchange.estimates.means import MeansExchange
from mpidcl.exchange.estimates.nodes import NodesExchange
from mpidcl.exchange.estimates.relation import RelationExchange
from mpidcl.experiment import kinds
from mpidcl.experiment.file import Experiment
from mpidcl.learning.linear.learner import LinearLearner
from mpidcl.network.schedule.topology import Topology
from mpidcl.network.schedule.virtual import Virtual
from mpidcl.network.waits import DEBUG

KNOWN = (NodesExchange, MeansExchange, RelationExchange)
"""In the order of `mpidcl_kernels.linear.mail`: NODES, MEANS, RELATION."""
MOST_EXCHANGES = 62
"""Bits of a word that say which are due."""


def is_compiled(experiment: Experiment, topology: Topology) -> bool:
    """Whether all agents are linear, under the clock `virtual`, and share estimates without budgets alone.

    Classes of the user's own that are made from ours keep their ticks: they may do something else at them.
    With MPIDCL_DEBUG agents live their ticks themselves.
    """
    if kinds.resolve("clock", experiment.clock.kind) is not Virtual or os.environ.get(DEBUG):
        return False
    agents = [experiment.for_agent(alike[0]) for alike in experiment.alike()]
    if any(kinds.resolve("learner", one.learning.kind) is not LinearLearner for one in agents):
        return False
    for table in (table for one in agents for table in one.exchange):
        kind = kinds.resolve("exchange", table.kind)
        if kind not in KNOWN or not kind.by_newest(table.options):
            return False
    return len(experiment.exchange) <= MOST_EXCHANGES and not _has_budget(topology)


def _has_budget(topology: Topology) -> bool:
    return any(
        link.budget is not None
        for agent in range(topology.agents)
        for link in topology.outgoing(agent).values()
    )
