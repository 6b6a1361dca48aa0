"""What a run is begun with besides its settings (`record.identity`): links, data and own methods."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from hashlib import sha256
from typing import TYPE_CHECKING

from mpidcl.errors import ExperimentError
from mpidcl.experiment.file import Experiment
from mpidcl.experiment.own_files import own_methods
from mpidcl.network.schedule.link_files import text_of
from mpidcl.network.schedule.topology import Topology
from mpidcl.record.identity import Identity, changes
from mpidcl.record.sealed import digest_of
from mpidcl.record.settings import deciding, flat_settings
from mpidcl.run.origins import data_sets
from mpidcl.run.processes import Processes

if TYPE_CHECKING:
    from mpidcl.stream.source import Source


def identity_of(experiment: Experiment, topology: Topology, data: bool = True) -> Identity:
    """The identity of a run that is begun now; `data`: with the fingerprints of the files on this machine.

    Raises DataError when files of a data set are missing.
    """
    return Identity(
        digest_of(deciding(flat_settings(experiment.to_toml()))),
        links_of(topology),
        fingerprints(experiment, range(experiment.agents)) if data else None,
        own_methods(experiment.to_tables()),
        files(experiment),
    )


def files(experiment: Experiment) -> dict[str, str]:
    """Key -> sha256 of each file that says more of links than between whom they are, or that a part reads.

    Raises ExperimentError for one that is gone since the experiment was read.
    """
    named = {"changes": experiment.network.changes, "conditions.file": experiment.network.conditions.file}
    texts = {key: text_of(key, path) for key, path in named.items() if path is not None}
    found = {f"network.{key}": sha256(text.encode()).hexdigest() for key, text in texts.items()}
    for one in experiment.alike():
        for part, use in experiment.for_agent(one[0]).parts(experiment):
            found |= part.files(use)
    return found


def links_of(topology: Topology) -> dict[str, str]:
    """Agent -> those that it sends to, as `Identity` holds them; agents that send to nobody are left out."""
    found = {str(agent): topology.targets(agent).tolist() for agent in range(topology.agents)}
    return {agent: " ".join(map(str, targets)) for agent, targets in found.items() if targets}


def fingerprints(experiment: Experiment, agents: Iterable[int]) -> dict[str, str]:
    """Name -> fingerprint of every data set that these agents read. Raises DataError for missing files."""
    sets: dict[str, Source] = {one.label(defaults=True): one for one in data_sets(experiment, agents)}
    return {name: one.fingerprint() for name, one in sorted(sets.items())}


def check_here(experiment: Experiment, topology: Topology, processes: Processes, told: Identity) -> None:
    """Does this process see what rank 0 has seen? Local files may differ between the machines of a job.

    Every process compares its links; the first one of each machine but that of rank 0 also the data sets of
    its machine's agents, and the own methods. Raises ExperimentError that names machine and difference.
    """
    here = replace(told, links=links_of(topology), files=files(experiment))
    beside = processes.beside()
    if beside[0] == processes.rank != 0:
        agents = [agent for agent, rank in enumerate(processes.rank_of(experiment.agents)) if rank in beside]
        read = {**(told.data or {}), **fingerprints(experiment, agents)}
        here = replace(here, data=read, methods=own_methods(experiment.to_tables()))
    if found := changes(told, here):
        host, first = processes.hosts[processes.rank], processes.hosts[0]
        raise ExperimentError(
            f"All machines of a job should see the same files. On {host} (here) they differ from those on "
            f"{first} (there):\n" + "\n".join(f"  {line}" for line in found)
        )
