"""The table [network] of the experiment file: topology, conditions, and what differs on some links."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator

from mpidcl.experiment.group_table import GroupTable
from mpidcl.experiment.spans import Spans
from mpidcl.experiment.tables import Table
from mpidcl.experiment.units import Bytes, BytesPerSecond, Seconds, Share

Topology = Literal[
    "complete", "ring", "star", "tree", "line", "grid", "torus", "hypercube",
    "random", "erdos-renyi", "small-world", "file", "groups",
]  # fmt: skip
MOST_AGENTS = 10_000
"""Every process knows the links and the ticks of every agent: as many as the largest MPI jobs have ranks."""
MOST_LINKS = 1_000_000
"""Of a network: every process holds the ends of all, 60 bytes each. All pairs of 1,000 agents are fewer."""
AgentId = Annotated[int, Field(ge=0, lt=MOST_AGENTS)]
Side = Annotated[int, Field(ge=1, le=MOST_AGENTS)]
AgentIds = Annotated[tuple[AgentId, ...], Field(strict=False)]


class Conditions(Table):
    """What the described network does to a frame; counted and simulated, never waited for."""

    latency: Seconds = Field(default=0.0, description="time before the first byte arrives")
    bandwidth: BytesPerSecond | None = Field(default=None, description="of each link; not given: no limit")
    jitter: Seconds = Field(default=0.0, description="largest random extra latency")
    loss: Share = Field(default=0.0, description="share of frames that are lost")
    burst: float | None = Field(
        default=None,
        ge=1,
        le=1000,
        description="mean number of frames that are lost in a row; not given: by chance alone",
    )
    file: str | None = Field(
        default=None,
        description="CSV with the columns source, target and some of latency, bandwidth, jitter, loss, burst:"
        " what it says of a link holds",
    )
    line: Literal["link", "agent"] = Field(
        default="link", description="whose the bandwidth is: of each link, or of an agent for all it sends"
    )


def burst_problem(loss: float, burst: float | None) -> str | None:
    """What is wrong with bursts so short that not so many frames could be lost; None: nothing is."""
    if burst is None or burst * (1 - loss) >= loss * (1 - 1e-9):
        return None
    least = "no number" if loss == 1 else f"at least {loss / (1 - loss):g}"
    return f"should be {least} where the share {loss:g} of all frames is lost. Found {burst:g}"


class LinkRule(Table):
    """What differs on some links. Rules are applied in order; the last one that names a value wins."""

    class_: str = Field(
        default="link",
        alias="class",
        description="name of these links, for an exchange; in groups `inside`, `report`, `messenger` or"
        " `between`: the rule covers no others",
    )
    from_: AgentIds | None = Field(default=None, alias="from", description="agents that send; not given: all")
    to: AgentIds | None = Field(default=None, description="agents that receive; not given: all")
    budget: Bytes | None = Field(default=None, description="most bytes per use of the link")
    latency: Seconds | None = Field(default=None, description="as in [network.conditions]")
    bandwidth: BytesPerSecond | None = Field(default=None, description="as in [network.conditions]")
    jitter: Seconds | None = Field(default=None, description="as in [network.conditions]")
    loss: Share | None = Field(default=None, description="as in [network.conditions]")
    burst: float | None = Field(default=None, ge=1, le=1000, description="as in [network.conditions]")
    down: Spans | None = Field(
        default=None, description='[["10 s", "20 s"]]: not there from 10 s to 20 s of virtual time'
    )


class Network(Table):
    """Who is linked to whom, and what the links can carry."""

    topology: Topology = Field(default="ring", description="shape of the network")
    probability: Share = Field(default=0.5, description="of an edge, in random and erdos-renyi networks")
    neighbours: int = Field(
        default=4, ge=2, lt=MOST_AGENTS, description="of each agent in a small-world network"
    )
    rewire: Share = Field(default=0.1, description="probability that a small-world edge is rewired")
    shape: Annotated[tuple[Side, Side], Field(strict=False)] | None = Field(
        default=None, description="[rows, columns] of a grid or torus; not given: as square as possible"
    )
    file: str | None = Field(
        default=None,
        description="edge list of the topology `file`: `0 1` is a link one way, `0 - 1` both ways",
    )
    changes: str | None = Field(
        default=None,
        description="of the topology `file`, in place of `file`: CSV with the columns source, target, from,"
        " until: when which link is there",
    )
    groups: GroupTable | None = Field(default=None, description="of the topology `groups`: who is in which")
    budget: Bytes | None = Field(
        default=None,
        description='most bytes per use of a link; "none": no limit',
    )
    checksum: Literal["small", "all"] = Field(default="small", description="which payloads carry a checksum")
    deadline: Seconds | None = Field(
        default=None,
        gt=0,
        description="longest silence of neighbours before the run is ended; not given: 15 minutes, or 10"
        " times the longest that the waiting rank itself has worked or waited",
    )
    conditions: Conditions = Field(default_factory=Conditions, description="of every link")
    link: Annotated[tuple[LinkRule, ...], Field(strict=False)] = Field(
        default=(), description="exceptions for some links"
    )

    @field_validator("budget", mode="before")
    @classmethod
    def _none(cls, budget: object) -> object:
        return None if budget == "none" else budget
