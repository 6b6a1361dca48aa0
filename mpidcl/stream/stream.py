"""What a stream is: the tasks of one agent, and when they end."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from mpidcl.experiment.part import Part, Planned

if TYPE_CHECKING:
    from mpidcl.experiment.file import Experiment
    from mpidcl.stream.source import Source
    from mpidcl.stream.tasks import StreamShape


class Stream(Part, ABC):
    """Base of all streams. One is made per agent, `Stream(experiment, agent)`.

    Nothing may depend on what was learned: neighbours know each other's `ticks` before they begin.
    """

    room = "stream"
    online: ClassVar[bool] = False
    """Whether a tick is an optimiser step, and every row seen once; else it is an epoch of a finite task."""
    segment: ClassVar[str] = "segment"
    step: ClassVar[str] = "step"
    """Of an online stream: what people are told that a task of the timetable, and a tick, is called."""
    gives: ClassVar[type] = object
    """What `task` returns."""
    makes_data: ClassVar[bool] = False
    """Whether it reads no data set, but its own files or none: `stream.dataset` then stands in no file."""
    grows: ClassVar[tuple[str, ...]] = ()
    """Options of which a larger value adds to the end, and changes nothing of what was there before."""
    learners: ClassVar[tuple[str, ...]] = ()
    """Kinds of learners that learn it, for a message to who has chosen another one."""

    @property
    @abstractmethod
    def shape(self) -> StreamShape:
        """What a model must fit, known without any data file."""

    @property
    @abstractmethod
    def ticks(self) -> Sequence[int]:
        """Ticks of each task `[tasks]`."""

    @abstractmethod
    def task(self, index: int) -> Any:
        """Task `index`, counted from 0; what it is like is between the stream and the learner."""

    @classmethod
    def planned(cls, options: Any) -> Planned:
        """What is known of its tasks before it is made."""
        return Planned()

    def rows_of_task(self, agents: int) -> int:
        """Training rows of a task, as far as known without data and if all classes have as many; else 0."""
        return 0

    @staticmethod
    def data_set(experiment: Experiment, agent: int) -> Source | None:
        """What the stream of this agent reads, without making the stream; None: it makes its own data.

        A run is bound to its content.
        """
        return None
