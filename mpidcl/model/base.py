"""What every model has: a frozen input stage, an encoder, one head per task, and a place per parameter."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from pydantic import BaseModel, Field
from torch import Tensor, nn

from mpidcl.base.shape import Shape
from mpidcl.base.state import State
from mpidcl.errors import ExperimentError
from mpidcl.experiment.part import Part
from mpidcl.model.dense import DenseStack
from mpidcl.model.flat import FlatParameters, Placement
from mpidcl.model.layers import Heads
from mpidcl.model.noise import Noise
from mpidcl.model.one_head import Chosen
from mpidcl.model.permutations import Permutation

MOST_WIDTH = 10**9
"""Of a layer; what then fits into memory is counted before a model is made (`model.size`)."""
MOST_DEPTH = 1000
Width = Annotated[int, Field(ge=1, le=MOST_WIDTH)]
Mean = Annotated[float, Field(ge=-1e6, le=1e6)]
Deviation = Annotated[float, Field(ge=1e-6, le=1e6)]


@dataclass(frozen=True, slots=True)
class Chance:
    """Where a model's randomness comes from.

    `own`: first weights of this agent; `common`: what is drawn alike on all agents; `noise`: dropout.
    """

    own: torch.Generator
    common: torch.Generator
    noise: Noise


class Model(nn.Module, Part, ABC):
    """Network of one agent. Subclasses set `width` (floats of an encoding) and `heads`.

    One without heads of classes has `logits`, `outputs_of` and `outputs_beside` of its own, and refuses
    objectives with classes.

    `prepares` says that `prepare` changes rows, so that its result is worth keeping beside them.
    `rows_at_once` is how many rows an evaluation encodes together: activations should stay in cache.
    """

    room = "model"
    prepares: bool = False
    rows_at_once: int = 64
    can_mix: ClassVar[bool] = False
    """Whether its layers may compute in bfloat16 under torch's autocast."""
    mixed: bool = False
    """Whether they do now: `casting` says where."""
    width: int
    heads: Heads
    flat: FlatParameters
    noise: Noise

    def __init__(self, options: BaseModel, shape: Shape, chance: Chance) -> None:
        super().__init__()
        self.options, self.shape, self.noise = options, shape, chance.noise

    def prepare(self, x: Tensor) -> Tensor:
        """Frozen input stage, run once per row when it arrives: x [n, *input_shape] -> z [n, ...]."""
        return x

    @abstractmethod
    def encode(self, z: Tensor) -> Tensor:
        """Encodings [n, width] of prepared rows z."""

    def encode_rows(self, z: Tensor, heads: Tensor | int) -> Tensor:
        """Encodings [n, width] of prepared rows z, row i of the task with head `heads[i]`, or all of one."""
        if not self.mixed:
            return self.encode(z)
        with self.casting():
            return self.encode(z).float()

    def casting(self) -> AbstractContextManager[object]:
        """Inside, layers compute in bfloat16 if the model is `mixed`; weights and losses stay float32."""
        if not self.mixed:
            return nullcontext()
        return torch.autocast(self.flat.device.type, dtype=torch.bfloat16)

    def by_hand(self) -> DenseStack | None:
        """Its encoder as a chain of dense layers, whose gradients need no autograd; None: it is none."""
        return None

    def masks_and_scale(self, rows: int) -> tuple[list[Tensor], float]:
        """Of an encoder that is a chain: dropout masks [rows, size] of its layers, drawn now; their value."""
        return [], 1.0

    def encode_row(self, z: Tensor, head: Tensor) -> Tensor:
        """Encoding [width] of one prepared row z, by plain operations: for per-row gradients."""
        return self.encode(z.unsqueeze(0))[0]

    def logits(self, encoded: Tensor, heads: Tensor) -> Tensor:
        """Logits [n, classes_per_head] of encodings [n, width], row i through head `heads[i]`."""
        return self.heads(encoded, heads)  # type: ignore[no-any-return]

    def outputs_of(self, encoded: Tensor, head: int) -> Tensor:
        """The same with all rows through one head."""
        return self.heads.one(encoded, head)

    def outputs_beside(
        self, encoded: Tensor, first: int, heads: Tensor, chosen: Sequence[Chosen]
    ) -> tuple[Tensor, list[Tensor]]:
        """Encodings of the first rows as they are, and outputs [m, ...] of those chosen among the others.

        The others go through `heads [n - first]`.
        """
        return self.heads.answers(encoded, first, heads, chosen)

    def place(self, name: str) -> Placement:
        """Kind and pieces of the parameter `name`: heads are private, everything else is shared."""
        if name == "heads.block":
            return Placement("heads", len(self.heads.block))
        return Placement("shared")

    def reserve(self, modules: int) -> None:
        """Make room for `modules` more modules; before `flatten`. A model without modules needs none."""
        return

    @property
    def module_spans(self) -> tuple[slice, ...]:
        """Where each of its experts lies in the flat parameters; () in a model without experts."""
        return ()

    @property
    def specialised(self) -> Sequence[float]:
        """How specialised each of its experts is, 0 to 1; () in a model without experts."""
        return ()

    def permutations(self) -> tuple[Permutation, ...]:
        """Units that may change places, from the input to the output; () where none are known."""
        return ()

    def module_state(self) -> State:
        """What a checkpoint needs beside parameters and statistics."""
        return {}

    def load_module_state(self, state: State) -> None:
        """Put back what `module_state` returned."""
        return

    def flatten(self, device: torch.device | str = "cpu") -> FlatParameters:
        """Move all parameters into one flat tensor on `device`; to be called once."""
        self.flat = FlatParameters(self, self.place, device)
        return self.flat


def image_shape(input_shape: tuple[int, ...]) -> tuple[int, int, int]:
    """(channels, height, width) of a row; an image without a channel axis has one channel.

    Raises ExperimentError when rows are not images.
    """
    shape = (1, *input_shape) if len(input_shape) == 2 else input_shape
    if len(shape) != 3:
        raise ExperimentError(
            f"Rows of this model should be images [c, h, w] or [h, w]. Found shape {list(input_shape)}."
            ' Use model.kind = "mlp" for such rows.'
        )
    return shape[0], shape[1], shape[2]
