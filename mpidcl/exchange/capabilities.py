"""What exchanges need of a learner, as narrow as their use. A learner that has it can share that way."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from inspect import getattr_static
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from mpidcl.base.arrays import Parts, Placed
from mpidcl.base.shape import Shape
from mpidcl.base.state import Facts
from mpidcl.errors import ExperimentError
from mpidcl.experiment.options import Options
from mpidcl_kernels.base.types import View

if TYPE_CHECKING:
    from mpidcl.learning.batches import Prepared
    from mpidcl.learning.compositional.candidates import Candidates
    from mpidcl.learning.compositional.modular import AddedModule, ForeignModule
    from mpidcl.learning.terms.base import Term
    from mpidcl.model.base import Model
    from mpidcl.model.flat import FlatParameters
    from mpidcl.stream.tasks import Task

Floats = NDArray[np.float32]
Labels = NDArray[np.int64]


class SharesParameters(Protocol):
    """A learner whose parameters lie in one flat tensor, by kinds."""

    @property
    def model(self) -> Model:
        """Its tensors by name: neighbours compare them."""
        ...

    @property
    def parameters(self) -> FlatParameters:
        """The flat tensor."""
        ...

    def host_view(self, kind: str) -> Floats:
        """The floats of one kind, or of "all" (`FlatParameters.span`) [n] in the host's memory."""
        ...

    def device_view(self, kind: str) -> Placed:
        """The same floats [n] themselves, where kernels find them."""
        ...

    def place(self, array: View) -> Placed:
        """`array` where kernels find the parameters."""
        ...


class KnowsFisher(Protocol):
    """A learner that can tell how much each parameter matters."""

    def fisher(self, parts: Parts = "shared") -> Floats:
        """Diagonal Fisher information [span]."""
        ...


class KnowsLabelFisher(Protocol):
    """A learner that can tell how much each parameter that learns matters, heads and experts, too."""

    def label_fisher(self, most: int) -> Floats:
        """Mean squared gradient [learning] of log p(label | row) over `most` rows, as parameters lie."""
        ...


class UsesModules(Protocol):
    """A learner some of whose modules may be out of use."""

    def used_modules(self) -> NDArray[np.bool_]:
        """Which of them are in use [N]."""
        ...


class HasProbe(Protocol):
    """A learner with rows on which its model can be looked at."""

    def probe(self, most: int) -> Prepared:
        """At most so many rows of its own, the same whenever it is asked in one task."""
        ...


class TakesTeachers(Protocol):
    """A learner that others can teach."""

    def take_teachers(self, models: Mapping[int, Mapping[str, Floats]]) -> None:
        """Floats of each kind of segments that travels, by the agent that sent them; copied if kept."""
        ...


class KnowsOutputs(Protocol):
    """A learner that can tell what the outputs of its heads stand for."""

    @property
    def shape(self) -> Shape:
        """Of rows and answers; its `meanings`."""
        ...


class TakesTerms(Protocol):
    """A learner whose loss takes one more term."""

    def add_term(self, term: Term) -> None:
        """Add a summand to the loss, before the first task."""
        ...


class SharesRows(Protocol):
    """A learner that gives rows of its tasks to others, and takes theirs."""

    @property
    def shape(self) -> Shape:
        """Of rows and answers."""
        ...

    @property
    def seen(self) -> Sequence[Task]:
        """All tasks begun, in order."""
        ...

    def pool(self, u: int) -> tuple[Floats, Labels]:
        """Rows of task u that may be shared: x [n, *input], y [n]."""
        ...

    def validation(self, u: int) -> tuple[Floats, Labels]:
        """Validation rows of task u."""
        ...

    def logits(self, x: Floats, u: int) -> Floats:
        """Logits [n, classes] of rows through the head of task u."""
        ...

    def features(self, x: Floats, u: int) -> Floats:
        """Encodings [n, width] of rows."""
        ...

    def encoder_of(self, u: int) -> int:
        """Number of the encoder of task u: one for tasks that share it."""
        ...

    def set_received_capacity(self, rows_per_task: int) -> None:
        """Make room for received rows."""
        ...

    def receive_rows(self, u: int, x: Floats, y: Labels, reject_duplicates: bool = False) -> int:
        """Offer rows of others for task u; how many it took."""
        ...

    def place(self, array: View) -> Placed:
        """`array` where kernels find the parameters."""
        ...

    def fetch(self, array: Placed) -> View:
        """What a kernel returned, in the host's memory."""
        ...


class AnswersRows(Protocol):
    """A learner that tells others what it answers to their rows, and is taught by their answers."""

    @property
    def shape(self) -> Shape:
        """Of rows and answers."""
        ...

    @property
    def seen(self) -> Sequence[Task]:
        """All tasks begun, in order."""
        ...

    @property
    def current(self) -> tuple[int, ...]:
        """Tasks in training."""
        ...

    def pool(self, u: int) -> tuple[Floats, Labels]:
        """Rows of task u that may be shared: x [n, *input], y [n]."""
        ...

    def logits(self, x: Floats, u: int) -> Floats:
        """Logits [n, classes] of rows through the head of task u."""
        ...

    def take_predictions(self, x: Floats, heads: Labels, outputs: Floats) -> None:
        """Outputs [n, classes] of others on rows x [n, *input], each through the head `heads[i]`."""
        ...


class SharesModules(SharesRows, Protocol):
    """A learner whose model grows by modules."""

    @property
    def candidates(self) -> Candidates:
        """Those of the current task."""
        ...

    @property
    def options(self) -> Options:
        """Its own."""
        ...

    @classmethod
    def candidates_of(cls, options: Options) -> int:
        """Candidates per task, at most, with these options."""
        ...

    def module_facts(self) -> Facts:
        """What neighbours compare before they give each other modules."""
        ...

    def added(self) -> list[AddedModule]:
        """The tasks that kept a module, and the numbers of these modules."""
        ...

    def module(self, number: int) -> Floats:
        """Copy of a module."""
        ...

    def head_of(self, u: int) -> Floats:
        """Copy of the head of task u."""
        ...

    def structure_of(self, u: int) -> Floats:
        """Logits of the structure of task u."""
        ...

    def take_candidates(self, modules: Sequence[ForeignModule]) -> None:
        """Let received modules be the current task's candidates."""
        ...

    def logits_with(self, module: ForeignModule, x: Floats) -> Floats:
        """Logits of rows under a neighbour's module."""
        ...

    def try_out(self, modules: Sequence[ForeignModule], epochs: int, together: int) -> list[float]:
        """Validation accuracy of each module after a trial."""
        ...

    def prepared(self, x: Floats) -> Floats:
        """Rows after the frozen input stage."""
        ...

    def logits_of_prepared(self, z: Floats, u: int) -> Floats:
        """Logits of prepared rows."""
        ...


class Needing(Protocol):
    """A class of exchanges."""

    @classmethod
    def needs(cls, options: Any) -> tuple[type, ...]:
        """The protocols that a learner must have."""
        ...


def needed(kind: type[Needing], options: object) -> tuple[type, ...]:
    """What a class of exchanges `needs`. Raises ExperimentError when these are no protocols."""
    said = f"{kind.__name__}.needs should be a classmethod that gives a tuple of protocols, (SharesRows,) say"
    if not isinstance(getattr_static(kind, "needs"), classmethod | staticmethod):
        raise ExperimentError(f"{said}. Found none: write @classmethod above it")
    found = kind.needs(options)
    if not isinstance(found, tuple) or not all(isinstance(one, type) for one in found):
        raise ExperimentError(f"{said}: a comma makes one protocol a tuple. Found {found!r:.80}")
    return found


def members(needed: type) -> Iterable[str]:
    """The names that a protocol asks for."""
    every = [name for one in needed.__mro__ if one not in (Protocol, object) for name in _own(one)]
    return sorted({name for name in every if not name.startswith("_")})


def _own(protocol: type) -> Mapping[str, object]:
    return {**vars(protocol), **vars(protocol).get("__annotations__", {})}


def missing(found: object, needed: Iterable[type]) -> list[str]:
    """The members of the protocols that an object lacks."""
    return sorted({name for one in needed for name in members(one) if not hasattr(found, name)})


def missing_methods(found: type, needed: Iterable[type]) -> list[str]:
    """The methods that a class lacks; what it makes in its constructor cannot be seen yet."""
    wanted = {name: one for one in needed for name in members(one)}
    return sorted(name for name, one in wanted.items() if _is_method(one, name) and not hasattr(found, name))


def _is_method(protocol: type, name: str) -> bool:
    return callable(getattr(protocol, name, None))


def named(names: Sequence[str]) -> str:
    """`one`, `two` and `three`; of many the first few."""
    shown = [f"`{name}`" for name in names[:4]]
    return ", ".join(shown) + (f" and {len(names) - 4} more" if names[4:] else "")
