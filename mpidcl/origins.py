"""Where the data of a run come from: for `environment.json`, and a line for the user when it matters."""

from __future__ import annotations

from mpidcl.errors import DataError
from mpidcl.experiment import Experiment
from mpidcl.stream.datasets.base import DataSet
from mpidcl.stream.datasets.catalogue import make
from mpidcl.stream.datasets.origin import OWN


def origins(experiment: Experiment) -> dict[str, str]:
    """Name -> origin of every data set that the agents read; for a wrong or missing one, what is wrong."""
    return {name: _told(dataset) for name, dataset in _data_sets(experiment).items()}


def origin_notes(experiment: Experiment) -> list[str]:
    """A line for each data set that is here in an own version. Raises DataError for another one's files."""
    here = {name: dataset for name, dataset in _data_sets(experiment).items() if dataset.present()}
    found = {name: dataset.origin() for name, dataset in here.items()}
    return [f"{name}: {origin}" for name, origin in found.items() if origin.startswith(OWN)]


def _data_sets(experiment: Experiment) -> dict[str, DataSet]:
    sets = {}
    for number in range(experiment.agents):
        stream = experiment.for_agent(number).stream
        dataset = make(stream.dataset, getattr(stream.options, "data", None)).for_agent(number)
        sets[dataset.info.name] = dataset
    return dict(sorted(sets.items()))


def _told(dataset: DataSet) -> str:
    try:
        return dataset.origin()
    except DataError as reason:
        return str(reason)
