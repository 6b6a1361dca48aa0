"""What does not fit together where all agents train one model, or begin anew at each task."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from mpidcl.errors import ExperimentError
from mpidcl.experiment import kinds
from mpidcl.experiment.problems import Problem
from mpidcl.learning.gradient.options import GradientOptions
from mpidcl.memory.policies import Policy

if TYPE_CHECKING:
    from mpidcl.experiment.file import Experiment
    from mpidcl.experiment.part import Use
    from mpidcl.experiment.sections import Term as TermTable


def one_model_problems(whole: Experiment) -> Iterator[Problem]:
    """Exchanges, and agents whose steps or models would be others."""
    for number, _ in enumerate(whole.exchange):
        yield Problem(
            ("exchange", number),
            "should not be there, because learning.one_model is true: all agents have one model already."
            " Remove it, or set learning.one_model = false",
        )
    for number, rule in enumerate(whole.agent):
        if others := [name for name in rule.parts() if name != "memory"]:
            yield Problem(
                ("agent", number, others[0]),
                "should not be there, because learning.one_model is true: all agents take the same steps."
                ' Deal the rows unequally with stream.draw = "dirichlet" in place of it',
            )


def global_memory_problems(whole: Experiment) -> Iterator[Problem]:
    """Agents that would take other steps, draw other rows, or whose memory the others do not reach; no term
    that draws, where no exchange may bring one."""
    if not whole.exchange and not any(_draws(term) for term in whole.learning.terms):
        yield Problem(
            ("memory", "scope"),
            'should be "local", or [learning] terms have one that draws rows at each step, such as'
            ' { kind = "replay", mix = "batch" } or "der". Found "global", and no such term',
        )
    for number, rule in enumerate(whole.agent):
        if others := [name for name in rule.parts() if name not in ("memory", "model")]:
            yield Problem(
                ("agent", number, others[0]),
                'should not be there, because memory.scope is "global": all agents make the same draws in the'
                " same steps",
            )
        for name, why in (
            ("scope", "all agents draw from one memory, or each from its own"),
            ("progress", "it is the same for all agents"),
        ):
            if name in (rule.memory or {}):
                yield Problem(("agent", number, "memory", name), f"should stand in [memory]: {why}")


def _draws(term: TermTable | str) -> bool:
    kind = kinds.resolve("term", term if isinstance(term, str) else term.kind)
    found: bool = kind.drawing(kind.default_options() if isinstance(term, str) else term.options)
    return found


def memory_problems(use: Use) -> Iterator[Problem]:
    """A policy that wants other rows, whole tasks or classes; a share of the rows of one batch."""
    memory = use.mine.memory
    rule = kinds.resolve("policy", memory.policy)
    objective = kinds.resolve("objective", use.mine.learning.objective.kind)
    if rule.needs_classes and not objective.classes:
        yield Problem(
            ("memory", "policy"),
            f'should be one that needs no classes, such as "reservoir", with learning.objective ='
            f' "{use.mine.learning.objective.kind}". Found "{memory.policy}"',
        )
    if memory.draw == "class-balanced" and not objective.classes:
        yield Problem(
            ("memory", "draw"),
            f'should be "uniform" with learning.objective = "{use.mine.learning.objective.kind}", which knows'
            ' no classes. Found "class-balanced"',
        )
    if not issubclass(rule, Policy):
        yield Problem(
            ("memory", "policy"),
            f'should be one that takes {Policy.takes_rows}, such as "reservoir", with learning.kind ='
            f' "{use.mine.learning.kind}". Found "{memory.policy}", which takes {rule.takes_rows}',
        )
    elif rule.by_features and memory.insert == "each step":
        yield Problem(
            ("memory", "insert"),
            f'should be "task end" with memory.policy = "{memory.policy}", which chooses among all rows of a'
            ' task. Found "each step"',
        )
    if memory.insert == "each step" and memory.capacity.unit == "percent":
        yield Problem(
            ("memory", "capacity"),
            'should be in rows or bytes with insert = "each step", such as "500 rows" or "5 rows per class":'
            f' of how many rows a share would be is not known. Found "{memory.capacity}"',
        )


def measure_problems(use: Use) -> Iterator[Problem]:
    """A rule by which some agents measure something else: means over agents would mix it."""
    own, common = (_measured(one) for one in (use.mine, use.whole))
    if own != common:
        yield Problem(
            ("learning", "objective"),
            f"should have the measures of [learning] objective, {', '.join(common)}, in this order: one table"
            f" has all agents. Found {', '.join(own)}",
        )


def _measured(experiment: Experiment) -> list[str]:
    objective = experiment.learning.objective
    made = kinds.resolve("objective", objective.kind)(objective.options)
    return [measure.name for measure in made.measures]


def restart_problems(use: Use) -> Iterator[Problem]:
    """Old outputs of weights that mean nothing."""
    restarts = isinstance(use.options, GradientOptions) and use.options.restart
    for name in sorted({"lwf", "icarl"} & _terms(use)) if restarts else ():
        yield Problem(
            ("learning", "restart"),
            f'should be false with the term "{name}", which would keep the outputs of new random weights.'
            " Found true",
        )


def precision_problems(use: Use) -> Iterator[Problem]:
    """A model whose layers cannot compute in bfloat16."""
    kind = use.mine.model.kind
    if use.mine.learning.precision is not None and not kinds.resolve("model", kind).can_mix:
        yield Problem(
            ("learning", "precision"),
            f'should not be there with model.kind = "{kind}", whose layers compute in float32 alone: remove'
            f' it, or take "cnn", "resnet18" or "ptychonn". Found "{use.mine.learning.precision}"',
        )


def precision_notes(use: Use) -> Iterator[str]:
    """Half of the bits, and no gain."""
    if use.mine.learning.precision is not None and use.mine.learning.device == "cpu":
        yield (
            'note: learning.precision = "bfloat16" is meant for GPUs (learning.device = "cuda"): on most CPUs'
            " it is slower than float32, and less exact."
        )


def check_shared_joint_tasks(experiment: Experiment, ways: GradientOptions) -> None:
    """Raises ExperimentError for what makes no sense where all agents learn the same joint tasks."""
    if ways.restart:
        raise ExperimentError(
            "learning.restart should be false with stream.joint_shared = true: all agents leave the joint"
            " tasks with one model, which would be lost when the next task begins. Found true."
        )
    if experiment.learning.one_model:
        raise ExperimentError(
            "stream.joint_shared should be false with learning.one_model = true: all agents have one"
            " model already, and would only learn the same rows. Found true. Deal the rows with"
            ' stream.draw = "iid".'
        )
    if experiment.memory.scope == "global":
        raise ExperimentError(
            'memory.scope should be "local" with stream.joint_shared = true: agents that learn the same'
            ' rows have the same memory. Found "global".'
        )


def _terms(use: Use) -> set[str]:
    return {term if isinstance(term, str) else term.kind for term in use.mine.learning.terms}


def restart_notes(use: Use) -> Iterator[str]:
    """Terms that draw new weights to those of before."""
    kept = {"ewc", "si"} & _terms(use)
    if isinstance(use.options, GradientOptions) and use.options.restart and kept:
        names = " and ".join(f'"{name}"' for name in sorted(kept))
        yield f"note: learning.restart draws new weights at each task, and {names} pull them to the old ones."


def shuffled_notes(use: Use) -> Iterator[str]:
    """Joint tasks that are shuffled, where there are none."""
    stream = use.mine.stream
    joint = kinds.resolve("stream", stream.kind).planned(stream.options).joint
    if isinstance(use.options, GradientOptions) and use.options.joint == "shuffled" and joint < 2:
        yield (
            f'note: learning.joint = "shuffled" changes nothing with stream.joint_tasks = {joint}: no tasks'
            " are learned together."
        )
