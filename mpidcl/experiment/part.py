"""What every class has that an experiment names: options, and what it says of an experiment that uses it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, TypeAlias

from mpidcl.experiment.options import Options

if TYPE_CHECKING:
    from _typeshed import DataclassInstance
    from pydantic import BaseModel

    from mpidcl.experiment.file import Experiment
    from mpidcl.experiment.problems import Problem

OptionsClass: TypeAlias = "type[BaseModel] | type[DataclassInstance]"
"""What a class may have as its options."""


class Use(NamedTuple):
    """One use of a class: `key` of the table that names it, such as ("exchange", 0), and its `options`.

    `mine`: the experiment as the agent lives it that uses the class; `whole`: that of all agents.
    """

    key: tuple[str | int, ...]
    options: Any
    mine: Experiment
    whole: Experiment


class Named(NamedTuple):
    """A class that an experiment names, and where it does."""

    part: type[Part]
    use: Use


class Planned(NamedTuple):
    """Tasks of a stream, as far as its options tell: how many (None: they do not), and how many joint ones.

    `classes`: of each task, where all have as many. `unvalidated`: the option that leaves no validation rows.
    `ticks`: of each task, where they are no epochs.
    """

    tasks: int | None = None
    joint: int = 0
    classes: int | None = None
    unvalidated: str | None = None
    ticks: int | None = None


class Part:
    """Base of streams, models, learners, terms, policies, exchanges and all others that a `kind` names."""

    room: ClassVar[str]
    """Which of them it is: the name of the room in `experiment.kinds`."""
    Options: ClassVar[OptionsClass] = Options
    """What the experiment may choose, beside the keys of the table: a pydantic model or a dataclass."""
    kernels: ClassVar[tuple[str, ...]] = ()
    """Modules of `mpidcl_kernels` that it calls: compiled once per node before the run begins."""
    clocks: ClassVar[tuple[str, ...] | None] = None
    """Names of the clocks under which it can speak to other agents; None: it never does, and any will do."""
    reads_memory: ClassVar[bool] = True
    """Of a term or an exchange: whether it reads remembered rows. An agent where none does keeps no rows."""

    @classmethod
    def default_options(cls) -> Any:
        """Its options where a file says nothing of them."""
        return cls.Options()

    @classmethod
    def problems(cls, use: Use) -> Iterator[Problem]:
        """What does not fit together in an experiment that uses it; asked before anything is made."""
        yield from ()

    @classmethod
    def files(cls, use: Use) -> Mapping[str, str]:
        """sha256 of each file that it reads, by the key that names it: the run is bound to their content.

        Data sets have fingerprints of their own. Raises ExperimentError for a file that cannot be used.
        """
        return {}

    @classmethod
    def notes(cls, use: Use) -> Iterator[str]:
        """Sentences about settings that are allowed but hardly meant."""
        yield from ()
