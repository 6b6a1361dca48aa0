"""How a file becomes an `Experiment`: read, changed by `--set`, checked (docs/experiment-file.md)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from pydantic import ValidationError

from mpidcl.base.files import UnreadableError, read_text
from mpidcl.errors import ExperimentError
from mpidcl.experiment import checks, overrides, plain, problems, toml
from mpidcl.experiment.file import Experiment


def load(path: str | Path, sets: Sequence[str] = ()) -> Experiment:
    """The experiment of a TOML file with every `key=value` of `sets` put in.

    Raises ExperimentError, with everything that is wrong, when the file cannot be used.
    """
    return from_toml(read(path), sets, str(path))


def read(path: str | Path) -> str:
    """Text of an experiment file. Raises ExperimentError when it cannot be read."""
    try:
        return read_text(path, encoding="utf-8-sig")
    except FileNotFoundError:
        raise ExperimentError(
            f"There is no file {path}. Should be the path of an experiment file (TOML)"
        ) from None
    except UnreadableError as error:
        raise ExperimentError(f"{path} cannot be read as an experiment file: {error}") from None


def from_toml(text: str, sets: Sequence[str] = (), source: str = "The experiment") -> Experiment:
    """The experiment of a TOML text with every `key=value` of `sets` put in.

    Raises ExperimentError that lists everything that is wrong; `source` names the text in it.

    >>> experiment = from_toml('name = "first"\\nagents = 4', ["learning.lr=0.01"])
    >>> experiment.learning.lr, experiment.learning.epochs, str(experiment.memory.capacity)
    (0.01, 20, '32 rows per task')
    """
    try:
        tables = toml.loads(text)
    except ValueError as error:
        quotes = ". Texts stand in quotes" if "Invalid value" in str(error) else ""
        raise ExperimentError(f"{source} is not valid TOML: {error}{quotes}") from None
    return from_tables(overrides.apply(tables, sets), source)


def from_tables(tables: Mapping[str, object], source: str = "The experiment") -> Experiment:
    """The experiment of nested dicts. Raises ExperimentError that lists everything that is wrong."""
    if impossible := list(plain.problems(dict(tables))):
        raise ExperimentError(problems.message(impossible, source))
    try:
        experiment = Experiment.model_validate(dict(tables))
    except ValidationError as error:
        raise ExperimentError(problems.message(problems.problems_of(error), source)) from None
    wrong = checks.problems_between(experiment)
    if wrong:
        raise ExperimentError(problems.message(wrong, source))
    return experiment
