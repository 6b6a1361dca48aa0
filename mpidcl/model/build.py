"""Make the model of one agent, with its randomness and its flat parameters."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from importlib.util import find_spec
from typing import TYPE_CHECKING

import torch

from mpidcl.base.shape import Shape
from mpidcl.errors import ExperimentError
from mpidcl.experiment import kinds
from mpidcl.model.base import Chance, Model
from mpidcl.model.noise import Noise
from mpidcl.randomness import EVERYBODY, torch_generator

if TYPE_CHECKING:
    from mpidcl.experiment.file import Experiment


def choose_device(name: str) -> torch.device:
    """The device that `learning.device` names: of several GPUs the one that is current in this process.

    Raises ExperimentError when "cuda" is asked for and there is none, or no cupy: exchanges and memory
    use kernels that need it. "auto" takes the CPU then.
    """
    if name != "cpu" and torch.cuda.is_available() and find_spec("cupy"):
        return torch.device("cuda", torch.cuda.current_device())
    if name == "cuda":
        lack = "cupy (`pip install mpidcl[gpu]`)" if torch.cuda.is_available() else "a CUDA GPU"
        raise ExperimentError(
            f'learning.device should be "cpu" or "auto" on a machine without {lack}. Found "cuda".'
        )
    return torch.device("cpu")


def repeatable(device: torch.device) -> AbstractContextManager[None]:
    """Inside, convolutions on a GPU give the same bits each time; on the CPU they do anyway."""
    if device.type == "cpu":
        return nullcontext()
    flags: AbstractContextManager[None] = torch.backends.cudnn.flags(
        enabled=True, benchmark=False, deterministic=True
    )
    return flags


def build_model(
    experiment: Experiment,
    agent: int,
    shape: Shape,
    device: torch.device | str = "cpu",
    modules: int = 0,
    purpose: str = "first weights",
) -> Model:
    """The model that `experiment.model` describes, flattened on `device`.

    `modules`: room for so many modules beside the basis, in compositional models. `purpose`: of the agent's
    generator that draws the weights.

    First weights are drawn on the CPU whatever the device, so they are the same everywhere.
    """
    seed = experiment.seed
    chance = Chance(
        own=torch_generator(seed, agent, purpose),
        common=torch_generator(seed, EVERYBODY, "common weights"),
        noise=Noise(seed, agent, device),
    )
    kind = kinds.resolve("model", experiment.model.kind)
    model: Model = kind(experiment.model.options, shape, chance)
    if modules:
        model.reserve(modules)
    model.flatten(device)
    model.mixed = experiment.learning.precision is not None and mixes(torch.device(device))
    return model


def mixes(device: torch.device) -> bool:
    """True where a device computes in bfloat16. Raises ExperimentError for a GPU that cannot."""
    if device.type == "cuda" and not torch.cuda.is_bf16_supported():
        raise ExperimentError(
            'learning.precision should not be there on a GPU without bfloat16 (before NVIDIA\'s "Ampere").'
            f' Found "bfloat16" on {torch.cuda.get_device_name(device)}. Remove it.'
        )
    return True
