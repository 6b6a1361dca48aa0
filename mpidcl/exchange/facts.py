"""What neighbours must agree on before an exchange makes sense, and what to say when they do not."""

from __future__ import annotations

from mpidcl.base.state import Facts
from mpidcl.exchange.capabilities import SharesParameters

_TENSOR = "tensor "


def tensor_facts(agent: int, learner: SharesParameters) -> Facts:
    """The agent, and the shape of each shared tensor of the learner's model, in order."""
    shapes = {name: list(parameter.shape) for name, parameter in learner.model.named_parameters()}
    shared = (segment for segment in learner.parameters.segments if segment.kind == "shared")
    # A segment that is a piece of a tensor has no shape of its own: its length stands for it.
    return {"agent": agent} | {_TENSOR + s.name: shapes.get(s.name, [s.stop - s.start]) for s in shared}


def compare_tensors(mine: Facts, theirs: Facts) -> str | None:
    """Why two models cannot be averaged (both agents, the tensor, both shapes), or None when they can."""
    names = [key for key in (*mine, *theirs) if key.startswith(_TENSOR)]
    for name in dict.fromkeys(names):
        if mine.get(name) != theirs.get(name):
            return _message(mine, theirs, name)
    if [k for k in mine if k in names] != [k for k in theirs if k in names]:
        return _message(mine, theirs, "order of tensors")
    return None


def compare_inputs(mine: Facts, theirs: Facts) -> str | None:
    """Why two agents cannot share rows (both agents, both input shapes), or None when they can."""
    if mine["input_shape"] == theirs["input_shape"]:
        return None
    found = " and ".join(f"{side['input_shape']} at agent {side['agent']}" for side in (mine, theirs))
    return (
        f"agents {mine['agent']} and {theirs['agent']} should have inputs of one shape to share data. "
        f"Found {found}. "
        "Give them data sets of one shape, or no link for this exchange."
    )


def _message(mine: Facts, theirs: Facts, name: str) -> str:
    found = " and ".join(f"{side.get(name, 'none')} at agent {side['agent']}" for side in (mine, theirs))
    label = f"tensor `{name.removeprefix(_TENSOR)}`" if name.startswith(_TENSOR) else name
    return (
        f"agents {mine['agent']} and {theirs['agent']} should have the same shared tensors to average their "
        f"models. Found for {label}: {found}. Give them the same [model], or let them share data instead."
    )
