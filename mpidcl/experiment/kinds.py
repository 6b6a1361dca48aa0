"""Which class does a `kind` name? Ours by a short name, a user's own by its import path.

A user's own method is named `"package.module:Class"`, or by a short name that an installed package
declares as the entry point `room.kind` of the group `mpidcl.methods`. Nothing is imported before an
experiment uses it.
"""

from __future__ import annotations

import importlib
from dataclasses import is_dataclass
from difflib import get_close_matches
from functools import lru_cache
from importlib.metadata import entry_points
from types import ModuleType
from typing import Any

from pydantic import BaseModel

from mpidcl.errors import ExperimentError
from mpidcl.experiment.part import OptionsClass, Part

ENTRY_POINTS = "mpidcl.methods"

SORTS = {
    "stream": "a stream, a subclass of mpidcl.stream.stream:Stream",
    "model": "a model, a subclass of mpidcl.model.base:Model",
    "policy": "a policy, a subclass of mpidcl.memory.policies:Policy",
    "optimizer": "an optimiser, a subclass of mpidcl.learning.optimizers:Optimizer",
    "objective": "an objective, a subclass of mpidcl.learning.objectives.base:Objective",
    "schedule": "a schedule, a subclass of mpidcl.learning.schedules:Schedule",
    "term": "a term, a subclass of mpidcl.learning.terms.base:Term",
    "exchange": "an exchange, a subclass of mpidcl.exchange.base:Exchange",
    "learner": "a learner, a subclass of mpidcl.learning.learner:Learner",
    "editor": "an editor, a subclass of mpidcl.learning.editing.base:Editor",
    "combiner": "a combiner, a subclass of mpidcl.learning.combiners.base:Combiner",
    "clock": "a clock, a subclass of mpidcl.network.schedule.clock:Clock",
    "dataset": "a data set, a subclass of mpidcl.stream.datasets.base:DataSet",
    "view": "a view, a subclass of mpidcl.views.base:View",
}
"""What a class of each room is."""

BUILT_IN: dict[str, dict[str, str]] = {
    "clock": {
        "lockstep": "mpidcl.network.schedule.lockstep:Lockstep",
        "virtual": "mpidcl.network.schedule.virtual:Virtual",
        "free": "mpidcl.network.schedule.free:Free",
    },
    "stream": {
        "serial": "mpidcl.stream.serial.stream:SerialStream",
        "parallel": "mpidcl.stream.parallel.stream:ParallelStream",
        "ptychography": "mpidcl.stream.ptychography.stream:PtychographyStream",
        "linear-tasks": "mpidcl.stream.regression.linear:LinearTasksStream",
        "field": "mpidcl.stream.regression.field:FieldStream",
        "table": "mpidcl.stream.regression.table.stream:TableStream",
    },
    "model": {
        "mlp": "mpidcl.model.mlp:MLP",
        "cnn": "mpidcl.model.cnn:CNN",
        "resnet18": "mpidcl.model.resnet:ResNet18",
        "ptychonn": "mpidcl.model.ptychonn:PtychoNN",
        "compositional-mlp": "mpidcl.model.compositional.mlp:CompositionalMLP",
        "compositional-cnn": "mpidcl.model.compositional.cnn:CompositionalCNN",
        "experts-mlp": "mpidcl.model.experts.mlp:ExpertsMLP",
        "experts-cnn": "mpidcl.model.experts.cnn:ExpertsCNN",
    },
    "policy": {
        "reservoir": "mpidcl.memory.policies:Reservoir",
        "overwrite": "mpidcl.memory.policies:Overwrite",
        "candidate": "mpidcl.memory.policies:Candidate",
        "fifo": "mpidcl.memory.policies:Fifo",
        "class-balanced": "mpidcl.memory.balanced:ClassBalanced",
        "herding": "mpidcl.memory.herding:Herding",
        "class-quota": "mpidcl.memory.quota:ClassQuota",
    },
    "optimizer": {
        "sgd": "mpidcl.learning.optimizers:SGD",
        "adam": "mpidcl.learning.optimizers:Adam",
        "adamw": "mpidcl.learning.optimizers:AdamW",
    },
    "objective": {
        "classification": "mpidcl.learning.objectives.classification:Classification",
        "regression": "mpidcl.learning.objectives.regression:Regression",
        "images": "mpidcl.learning.objectives.images:Images",
        "one-vs-rest": "mpidcl.learning.objectives.classification:OneVsRest",
    },
    "schedule": {
        "constant": "mpidcl.learning.schedules:Constant",
        "steps": "mpidcl.learning.schedules:Steps",
        "cyclic": "mpidcl.learning.schedules:Cyclic",
    },
    "term": {
        "replay": "mpidcl.learning.terms.replay:Replay",
        "der": "mpidcl.learning.terms.der:DER",
        "er-ace": "mpidcl.learning.terms.er_ace:ERACE",
        "agem": "mpidcl.learning.terms.agem:AGEM",
        "gem": "mpidcl.learning.terms.gem:GEM",
        "ewc": "mpidcl.learning.terms.ewc:EWC",
        "si": "mpidcl.learning.terms.si:SI",
        "lwf": "mpidcl.learning.terms.lwf:LwF",
        "icarl": "mpidcl.learning.terms.icarl:ICaRL",
        "balance": "mpidcl.learning.terms.balance:Balance",
        "distillation": "mpidcl.learning.terms.distillation:Distillation",
        "preservation": "mpidcl.learning.terms.preservation:Preservation",
        "predictions": "mpidcl.learning.terms.predictions:Predictions",
    },
    "exchange": {
        "parameters": "mpidcl.exchange.parameters.exchange:ParametersExchange",
        "data": "mpidcl.exchange.data.exchange:DataExchange",
        "predictions": "mpidcl.exchange.predictions.exchange:PredictionsExchange",
        "modules": "mpidcl.exchange.modules.exchange:ModulesExchange",
        "experts": "mpidcl.exchange.experts.exchange:ExpertsExchange",
        "nodes": "mpidcl.exchange.estimates.nodes:NodesExchange",
        "means": "mpidcl.exchange.estimates.means:MeansExchange",
        "relation": "mpidcl.exchange.estimates.relation:RelationExchange",
    },
    "learner": {
        "gradient": "mpidcl.learning.gradient.learner:GradientLearner",
        "compositional": "mpidcl.learning.compositional.learner:CompositionalLearner",
        "experts": "mpidcl.learning.experts.learner:ExpertsLearner",
        "parallel": "mpidcl.learning.parallel.learner:ParallelLearner",
        "linear": "mpidcl.learning.linear.learner:LinearLearner",
    },
    "editor": {
        "align": "mpidcl.learning.editing.align:Align",
        "conflict": "mpidcl.learning.editing.conflict:Conflict",
        "negated": "mpidcl.learning.editing.align:Negated",
        "random": "mpidcl.learning.editing.align:Random",
    },
    "combiner": {
        "sum": "mpidcl.learning.combiners.constant:Sum",
        "mean": "mpidcl.learning.combiners.constant:Mean",
        "norm_grad": "mpidcl.learning.combiners.constant:NormGrad",
        "mgda": "mpidcl.learning.combiners.mgda:MGDA",
        "elastic": "mpidcl.learning.combiners.elastic:Elastic",
        "pcgrad": "mpidcl.learning.combiners.pcgrad:PCGrad",
        "upgrad": "mpidcl.learning.combiners.upgrad:UPGrad",
        "dualproj": "mpidcl.learning.combiners.upgrad:DualProj",
        "cagrad": "mpidcl.learning.combiners.cagrad:CAGrad",
        "imtl_g": "mpidcl.learning.combiners.imtl_g:IMTLG",
        "config": "mpidcl.learning.combiners.config:ConFIG",
        "nash_mtl": "mpidcl.learning.combiners.nash_mtl:NashMTL",
        "aligned_mtl": "mpidcl.learning.combiners.aligned_mtl:AlignedMTL",
        "gradvac": "mpidcl.learning.combiners.gradvac:GradVac",
        "graddrop": "mpidcl.learning.combiners.graddrop:GradDrop",
        "gradnorm": "mpidcl.learning.combiners.gradnorm:GradNorm",
        "dwa": "mpidcl.learning.combiners.dwa:DWA",
        "rlw": "mpidcl.learning.combiners.rlw:RLW",
        "uw": "mpidcl.learning.combiners.uw:UW",
        "famo": "mpidcl.learning.combiners.famo:FAMO",
        "maxdo": "mpidcl.learning.combiners.maxdo:MaxDO",
        "er": "mpidcl.learning.combiners.replayed:ER",
        "agem": "mpidcl.learning.combiners.replayed:AGEM",
        "mega": "mpidcl.learning.combiners.replayed:MEGA",
    },
    "dataset": {
        "digits": "mpidcl.stream.datasets.digits:Digits",
        "mnist": "mpidcl.stream.datasets.mnist:MNIST",
        "fashion-mnist": "mpidcl.stream.datasets.mnist:FashionMNIST",
        "kmnist": "mpidcl.stream.datasets.mnist:KMNIST",
        "emnist": "mpidcl.stream.datasets.emnist:EMNIST",
        "cifar10": "mpidcl.stream.datasets.cifar:CIFAR10",
        "cifar100": "mpidcl.stream.datasets.cifar:CIFAR100",
        "tiny-imagenet": "mpidcl.stream.datasets.tiny_imagenet:TinyImageNet",
        "folders": "mpidcl.stream.datasets.folders:Folders",
        "combined": "mpidcl.stream.datasets.combined:Combined",
    },
    "view": {
        "tasks": "mpidcl.views.tasks.view:TasksView",
        "parallel": "mpidcl.views.parallel.view:ParallelView",
        "regression": "mpidcl.views.regression.view:RegressionView",
        "field": "mpidcl.views.field.view:FieldView",
        "relation": "mpidcl.views.relation.view:RelationView",
        "modules": "mpidcl.views.modules.view:ModulesView",
        "experts": "mpidcl.views.experts.view:ExpertsView",
        "cost": "mpidcl.views.cost.view:CostView",
        "network": "mpidcl.views.network.view:NetworkView",
        "divergence": "mpidcl.views.divergence.view:DivergenceView",
        "mail": "mpidcl.views.mail.view:MailView",
        "replay": "mpidcl.views.replay.view:ReplayView",
        "time": "mpidcl.views.time.view:TimeView",
    },
}


@lru_cache(maxsize=1)
def _declared() -> dict[str, str]:
    """Import paths by "room.kind" that installed packages declare."""
    return {point.name: point.value for point in entry_points(group=ENTRY_POINTS)}


def known_kinds(room: str) -> dict[str, str]:
    """Import paths of all short names of `room`, ours first; ours cannot be replaced silently."""
    prefix = f"{room}."
    declared = {
        name.removeprefix(prefix): path for name, path in _declared().items() if name.startswith(prefix)
    }
    return {**declared, **BUILT_IN[room]}


def declared_paths(kind: str) -> list[str]:
    """Import paths that installed packages declare for a short name, in whatever room."""
    return [path for name, path in _declared().items() if name.partition(".")[2] == kind]


def import_path(room: str, kind: str) -> str:
    """`package.module:Class` of a kind, imported by nobody yet. Raises ExperimentError if unknown."""
    if ":" in kind:
        return kind
    known = known_kinds(room)
    if kind in known:
        return known[kind]
    names = ", ".join(f'"{name}"' for name in known)
    close = get_close_matches(kind, known, n=1)
    hint = f' Did you mean "{close[0]}"?' if close else ""
    raise ExperimentError(
        f'should be one of {names}, or your own "package.module:Class". Found "{kind}".{hint}'
    )


def resolve(room: str, kind: str) -> Any:
    """The class that `kind` names in `room` ("stream", "model", "policy", "exchange" ...).

    Raises ExperimentError when nothing of that name is known or its class cannot be imported.
    """
    path = import_path(room, kind)
    module_name, _, class_name = path.partition(":")
    found: object = _import(module_name, path)
    for part in class_name.split("."):
        if not hasattr(found, part):
            raise ExperimentError(f'names a class that is not there: "{module_name}" has no `{part}`')
        found = getattr(found, part)
    if not isinstance(found, type):
        raise ExperimentError(f'should name a class. "{path}" is a {type(found).__name__}')
    if ":" in kind:
        _check_sort(room, found, path)
    return found


TUPLES = {"clock": ("units",), "learner": ("uses", "inserts")}
"""Attributes that a class of one room has, tuples of words."""


def _check_sort(room: str, found: type, path: str) -> None:
    if not issubclass(found, Part) or found.room != room:
        raise ExperimentError(f'should name {SORTS[room]}. "{path}" is none')
    if unwritten := sorted(getattr(found, "__abstractmethods__", ())):
        names = ", ".join(f"`{name}`" for name in unwritten)
        raise ExperimentError(f'should name {SORTS[room]}, complete. "{path}" has no {names}: write it')
    for name in ("kernels", "clocks", *TUPLES.get(room, ())):
        value = getattr(found, name, None)
        if isinstance(value, str):  # which Python takes for its letters
            raise ExperimentError(f'`{name}` of "{path}" should be a tuple, ("{value}",). Found "{value}"')
        if value is not None and not (
            isinstance(value, tuple) and all(isinstance(one, str) for one in value)
        ):
            raise ExperimentError(f'`{name}` of "{path}" should be a tuple of words. Found {value!r:.80}')


def _import(module_name: str, path: str) -> ModuleType:
    if not all(part.isidentifier() for part in module_name.split(".")):
        raise ExperimentError(f'cannot import "{path}": "{module_name}" should be the name of a module')
    try:
        return importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise ExperimentError(
                f'"{path}" needs the package `{error.name}`, which is not installed here'
            ) from error
        raise ExperimentError(
            f'cannot import "{path}": there is no module `{error.name}`. A module is looked for beside the'
            " experiment file, in the current folder, in PYTHONPATH and among the installed packages"
        ) from error
    except SyntaxError as error:
        where = f"{error.filename}, line {error.lineno}"
        raise ExperimentError(f'cannot import "{path}": {where} is no Python: {error.msg}') from error
    except ImportError as error:
        raise ExperimentError(f'cannot import "{path}": {type(error).__name__}: {error}') from error
    except (ValueError, TypeError, AssertionError) as error:
        # of the module's own code; pydantic would take it for its verdict on a value
        raise RuntimeError(f'importing "{path}" failed') from error


def options_type(room: str, kind: str) -> OptionsClass:
    """The `Options` of the class that `kind` names: a pydantic model or a dataclass.

    A class without any has nothing to choose beside the keys of its table. Raises ExperimentError when its
    `Options` are something else.
    """
    found = resolve(room, kind).Options
    if isinstance(found, type) and (issubclass(found, BaseModel) or is_dataclass(found)):
        return found
    raise ExperimentError(
        f'names a class with wrong options: `Options` of "{kind}" should be a subclass of'
        f" mpidcl.experiment.options.Options, or a dataclass. Found {found!r}"
    )
