"""What every learner with a model has: flat parameters, an optimiser, and views of them for exchanges."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Hashable, Iterator
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch

from mpidcl.base.shape import Shape
from mpidcl.errors import ExperimentError
from mpidcl.experiment import kinds
from mpidcl.experiment.part import Use
from mpidcl.experiment.problems import Problem
from mpidcl.learning.flops import FlopMeter
from mpidcl.learning.learner import Learner
from mpidcl.learning.need import Need, batch_bytes, memory_bytes
from mpidcl.learning.optimizers import Optimizer
from mpidcl.model.base import Model
from mpidcl.model.build import build_model, choose_device
from mpidcl.model.compositional.base import Compositional
from mpidcl.model.experts.base import Experts
from mpidcl.model.flat import FlatParameters, writable
from mpidcl.model.polled import hang_in
from mpidcl.model.size import size_of

if TYPE_CHECKING:
    from mpidcl.experiment.file import Experiment
    from mpidcl.stream.stream import Stream

Floats = npt.NDArray[np.float32]


class ModelLearner(Learner):
    """Base: one model on one device, whose first weights agent `draws_as` draws, and its optimiser."""

    uses: ClassVar[tuple[str, ...]] = ("model", "memory", "terms")
    tick: ClassVar[str] = "epoch"
    of_experts: ClassVar[bool] = False
    """Whether its model is made of experts."""

    @classmethod
    def problems(cls, use: Use) -> Iterator[Problem]:
        """A model of experts with a learner that knows of none, and the other way round."""
        yield from super().problems(use)
        kind = use.mine.model.kind
        model = kinds.resolve("model", kind)
        if cls.of_experts and not issubclass(model, Experts):
            yield Problem(
                ("model", "kind"),
                'should be a model of experts, such as "experts-mlp" or "experts-cnn", with learning.kind ='
                f' "{use.mine.learning.kind}". Found "{kind}"',
            )
        if issubclass(model, Experts) and not cls.of_experts:
            yield Problem(
                (*use.key, "kind"),
                f'should be "experts" with a model of experts, model.kind = "{kind}": others would move those'
                f' that no row chose. Found "{use.mine.learning.kind}"',
            )

    def __init__(self, experiment: Experiment, agent: int, shape: Shape, draws_as: int) -> None:
        super().__init__(experiment, agent, shape)
        self.seed: int = experiment.seed
        self.batch: int = experiment.learning.batch
        self.device = choose_device(experiment.learning.device)
        self._draws_as = draws_as
        self.model: Model = self.build_model()
        self.parameters: FlatParameters = self.model.flat
        optimizer = kinds.resolve("optimizer", experiment.learning.optimizer)
        self.optimizer: Optimizer = optimizer(self.parameters, experiment.learning)
        self.meter = FlopMeter()

    @classmethod
    def modules_of(cls, experiment: Experiment, shape: Shape) -> int:
        """How many modules beside the basis there must be room for."""
        return 0

    @classmethod
    def model_bytes(cls, experiment: Experiment, shape: Shape) -> int:
        """Bytes of parameters, gradient and the optimiser's moments in the host's memory; 0 when unknown.

        Nothing is made. A model for a GPU is drawn on the host first.
        """
        size = size_of(experiment.model, shape, cls.modules_of(experiment, shape))
        if size is None:
            return 0
        if experiment.learning.device == "cuda":
            return 4 * size.parameters
        moments = len(kinds.resolve("optimizer", experiment.learning.optimizer).moment_names)
        return 4 * (size.parameters + size.trainable * (1 + moments))

    @classmethod
    def need(cls, mine: Experiment, stream: Stream) -> Need:
        """Model and optimiser, what the memory will hold, a batch."""
        held = memory_bytes(mine, stream) if cls.remembers(mine) else 0
        return Need(cls.model_bytes(mine, stream.shape), held, batch_bytes(mine, stream))

    @classmethod
    def remembers(cls, mine: Experiment) -> bool:
        """Whether every agent keeps rows in a memory: where a term or an exchange reads them.

        A learner of your own that reads them itself says True.
        """
        terms = (one if isinstance(one, str) else one.kind for one in mine.learning.terms)
        parts = [kinds.resolve("term", kind) for kind in terms]
        parts += [kinds.resolve("exchange", table.kind) for table in mine.exchange]
        return any(part.reads_memory for part in parts)

    def build_model(self) -> Model:
        """The model; one of another kind in a subclass. Called once, before anything else is made."""
        model = build_model(self.experiment, self._draws_as, self.shape, self.device)
        if isinstance(model, Experts):
            raise ExperimentError(
                'learning.kind should be "experts" with a model of experts, model.kind ='
                f' "{self.experiment.model.kind}". Found a learner that knows of none: {type(self).__name__}.'
            )
        if not isinstance(model, Compositional):
            return model
        raise ExperimentError(
            'learning.kind should be "compositional" with a model made of modules, model.kind ='
            f' "{self.experiment.model.kind}". Found a learner that knows of none: {type(self).__name__}.'
        )

    def counted(self, key: Hashable) -> AbstractContextManager[None]:
        """Count the operations of what is done inside; it costs the same for every use of `key`."""
        return self.meter.work(key)

    def poll_in_layers(self, poll: Callable[[], None]) -> None:
        hang_in(self.model, poll)

    # --- what others ask ------------------------------------------------------------------------

    def host_view(self, kind: str) -> Floats:
        """The floats of one kind [n]: the parameters themselves, or a pinned copy of those on a GPU."""
        if self.device.type == "cpu":
            return self.parameters.numpy(kind)
        copy = torch.empty_like(
            self.parameters.data[self.parameters.span(kind)], device="cpu", pin_memory=True
        )
        copy.copy_(self.parameters.data[self.parameters.span(kind)])
        found: Floats = copy.numpy()
        return found

    def device_view(self, kind: str) -> Any:
        """The floats of one kind [n] themselves, for kernels: as a NumPy array, or a tensor on a GPU."""
        if self.device.type == "cpu":
            return self.parameters.numpy(kind)
        return self.parameters.data[self.parameters.span(kind)]

    def host_gradient(self) -> Floats:
        """Host memory [p] for a gradient of everything that learns: on the CPU, the gradient itself."""
        if self.device.type == "cpu":
            found: Floats = self.parameters.grad.numpy()
            return found
        return np.zeros(len(self.parameters.grad), dtype=np.float32)

    def load_span(self, kind: str, values: Floats) -> None:
        """Replace the floats of one kind by `values [n]`. Raises ValueError for another length."""
        target = self.device_view(kind)
        if values.shape != tuple(target.shape):
            raise ValueError(f"`{kind}` should have {len(target)} floats. Found {values.shape}.")
        target[:] = values if self.device.type == "cpu" else writable(values)

    def place(self, array: npt.NDArray[Any]) -> Any:
        """`array` where kernels find the parameters: itself, or a tensor on the learner's GPU."""
        return array if self.device.type == "cpu" else writable(array).to(self.device)

    def fetch(self, array: Any) -> npt.NDArray[Any]:
        """What a kernel returned, as a NumPy array in the host's memory."""
        return np.asarray(array.cpu() if isinstance(array, torch.Tensor) else array)

    # --- record -------------------------------------------------------------------------------

    def finite(self) -> bool:
        """Whether all parameters are finite numbers."""
        return bool(torch.isfinite(self.parameters.data).all())

    def digest(self) -> str:
        """sha256 over all parameters and BatchNorm statistics."""
        state = self.parameters.state()
        return hashlib.sha256(state["parameters"].tobytes() + state["buffers"].tobytes()).hexdigest()

    def counters(self) -> dict[str, int]:
        """`flops`: floating-point operations of training and evaluation so far; `parameters`: floats of its
        model, with the room for modules to come."""
        return {"flops": self.meter.total, "parameters": len(self.parameters.data)}
