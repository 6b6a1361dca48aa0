"""What neighbours must agree on before an exchange makes sense, and what to say when they do not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from mpidcl.base.shape import Meanings
from mpidcl.base.state import Facts
from mpidcl.exchange.capabilities import KnowsOutputs, SharesParameters

_TENSOR = "tensor "
_MEANINGS = "meanings"


def tensor_facts(agent: int, learner: SharesParameters, kinds: Sequence[str] = ("shared",)) -> Facts:
    """The agent, and the shape of each tensor of these kinds of the learner's model, in order."""
    shapes = {name: list(parameter.shape) for name, parameter in learner.model.named_parameters()}
    shared = (segment for segment in learner.parameters.segments if segment.kind in kinds)
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


def output_facts(learner: KnowsOutputs) -> Facts:
    """What each output of the learner's heads stands for; nothing where its stream does not say."""
    meanings = learner.shape.meanings
    return {} if meanings is None else {_MEANINGS: dict(meanings())}


def compare_outputs(
    mine: Facts,
    theirs: Facts,
    chosen: str,
    instead: str = 'Set parts = "shared"',
    purpose: str = "to average their heads",
) -> str | None:
    """Why the outputs of two agents cannot go together (the output, both classes), or None when they can.

    Outputs that only one of them uses contradict nothing. `chosen` is what brings them together, and
    `instead` what to do in place of it.
    """
    here, there = (cast("Meanings", side.get(_MEANINGS, {})) for side in (mine, theirs))
    for output, meant in here.items():
        if there.get(output, meant) != meant:
            return (
                f"agents {mine['agent']} and {theirs['agent']} should have outputs that stand for the same"
                f" classes, {purpose} with {chosen}. Found {output}: {meant} at agent"
                f" {mine['agent']}, {there[output]} at agent {theirs['agent']}. {instead}, or"
                ' give all agents the same classes in the same tasks: stream.draw = "shared" or "iid", say.'
            )
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
