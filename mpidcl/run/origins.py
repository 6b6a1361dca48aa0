"""Where the data of a run come from: for `environment.json`, and a line for the user when it matters."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from mpidcl.errors import DataError
from mpidcl.experiment import kinds
from mpidcl.experiment.file import Experiment
from mpidcl.stream.source import Source


def origins(experiment: Experiment) -> dict[str, tuple[str, bool]]:
    """Name -> where every data set that the agents read comes from, and True; or what is wrong, and False."""
    return {name: _told(dataset) for name, dataset in _by_name(experiment).items()}


def origin_notes(experiment: Experiment) -> list[str]:
    """A line for each data set that has something to say, such as that it is here in an own version.

    Raises DataError for another one's files.
    """
    found = {name: source.note() for name, source in _by_name(experiment).items() if source.here()}
    return [f"{name}: {note}" for name, note in found.items() if note]


def data_sets(experiment: Experiment, agents: Iterable[int]) -> Iterator[Source]:
    """What each of these agents reads, as its stream says; a stream of a user's own need not say it."""
    wanted = set(agents)
    for alike in experiment.alike():
        mine = experiment.for_agent(alike[0])
        stream = kinds.resolve("stream", mine.stream.kind)
        found = (stream.data_set(mine, agent) for agent in alike if agent in wanted)
        yield from (one for one in found if one is not None)


def _by_name(experiment: Experiment) -> dict[str, Source]:
    found = {one.label(defaults=False): one for one in data_sets(experiment, range(experiment.agents))}
    return dict(sorted(found.items()))


def _told(dataset: Source) -> tuple[str, bool]:
    try:
        return dataset.origin(), True
    except DataError as reason:
        return str(reason), False
