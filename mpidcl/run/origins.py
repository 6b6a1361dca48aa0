"""Where the data of a run come from: for `environment.json`, and a line for the user when it matters."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from mpidcl.errors import DataError
from mpidcl.experiment import kinds
from mpidcl.experiment.file import Experiment
from mpidcl.stream.datasets.base import DataSet
from mpidcl.stream.datasets.origin import OWN


def origins(experiment: Experiment) -> dict[str, tuple[str, bool]]:
    """Name -> where every data set that the agents read comes from, and True; or what is wrong, and False."""
    return {name: _told(dataset) for name, dataset in _by_name(experiment).items()}


def origin_notes(experiment: Experiment) -> list[str]:
    """A line for each data set that is here in an own version. Raises DataError for another one's files."""
    here = {name: dataset for name, dataset in _by_name(experiment).items() if dataset.present()}
    found = {name: dataset.origin() for name, dataset in here.items()}
    return [f"{name}: {origin}" for name, origin in found.items() if origin.startswith(OWN)]


def data_sets(experiment: Experiment, agents: Iterable[int]) -> Iterator[DataSet]:
    """What each of these agents reads, as its stream says; a stream of a user's own need not say it."""
    wanted = set(agents)
    for alike in experiment.alike():
        mine = experiment.for_agent(alike[0])
        stream = kinds.resolve("stream", mine.stream.kind)
        found = (stream.data_set(mine, agent) for agent in alike if agent in wanted)
        yield from (one for one in found if one is not None)


def _by_name(experiment: Experiment) -> dict[str, DataSet]:
    found = {}
    for one in data_sets(experiment, range(experiment.agents)):
        own = one.options.model_dump(exclude_defaults=True) if one.options else {}
        found[" ".join([one.info.name, *(f"{key}={value}" for key, value in own.items())])] = one
    return dict(sorted(found.items()))


def _told(dataset: DataSet) -> tuple[str, bool]:
    try:
        return dataset.origin(), True
    except DataError as reason:
        return str(reason), False
