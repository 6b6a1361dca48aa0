"""What must fit to the clock of an experiment: exchanges, learners, and the units of cadences."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from pydantic import BaseModel

from mpidcl.experiment import kinds
from mpidcl.experiment.problems import Problem
from mpidcl.experiment.units import Cadence, CadenceUnit, Period

if TYPE_CHECKING:
    from mpidcl.experiment.file import Experiment
    from mpidcl.experiment.sections import ExchangeTable

Key = tuple[str | int, ...]
EXAMPLES: dict[CadenceUnit, str] = {
    "task": '"1 task"',
    "epoch": '"5 epochs"',
    "tick": '"20 ticks"',
    "second": '"100 s"',
}


def problems(experiment: Experiment) -> Iterator[Problem]:
    """Everything that does not fit to `[clock]`."""
    clock = experiment.clock.kind
    found = kinds.resolve("clock", clock)
    if not found.units or (strange := [unit for unit in found.units if unit not in EXAMPLES]):
        yield Problem(("clock", "kind"), _units_of_a_clock(found, strange if found.units else ()))
        return
    yield from _not_by_mail(experiment, found.by_mail)
    if not (found.by_mail and "second" in found.units):
        yield from _links_that_come_and_go(experiment)
    name = found.name
    tables = [experiment.tables_of(group[0])[0] for group in experiment.alike()]
    different = [experiment, *(experiment.model_copy(update=changed) for changed in tables if changed)]
    for number, table in enumerate(experiment.exchange):
        known = kinds.resolve("exchange", table.kind).clocks
        if known is not None and name not in known:
            yield Problem(("exchange", number, "kind"), _stranger("an exchange", clock, table.kind, known))
        elif table.when not in found.moments:
            fit = " or ".join(f'"{moment}"' for moment in found.moments)
            text = f'should be {fit} where clock = "{clock}". Found "{table.when}"'
            yield Problem(("exchange", number, "when"), text)
        if table.share is not None and (text := _no_share(table, clock, found.draws)):
            yield Problem(("exchange", number, "share"), text)
    for kind in dict.fromkeys(one.learning.kind for one in different):
        known = kinds.resolve("learner", kind).clocks
        if known is not None and name not in known:
            yield Problem(("learning", "kind"), _stranger("a learner", clock, kind, known))
    units = units_of(experiment)
    if isinstance(every := experiment.evaluation.every, Period) and "second" not in units:
        text = f'should be in epochs, such as 10. Found "{every}", which needs a clock with virtual time'
        yield Problem(("evaluation", "every"), f'{text}: clock = "{clock}" is none')
    for key, cadence in dict.fromkeys(found for one in different for found in _cadences((), one)):
        if cadence.unit not in units:
            yield Problem(key, wrong_unit(cadence, units, clock))


def _no_share(table: ExchangeTable, clock: str, draws: bool) -> str:
    """Why an exchange cannot happen by chance; empty: it can."""
    if not draws:
        text = f'should be left out where clock = "{clock}", under which no exchange happens by chance: say'
        return f'{text} `every`, such as "5 epochs". Found {table.share}'
    if "every" in table.model_fields_set:
        return f'should stand in place of `every`. Found both, and every = "{table.every}": remove one'
    if table.when != "after":
        return f'should go with when = "after": it is a share of all ticks. Found when = "{table.when}"'
    return ""


def _not_by_mail(experiment: Experiment, by_mail: bool) -> Iterator[Problem]:
    """What has one time for all agents, which each having its own leaves no room for."""
    clock = experiment.clock.kind
    if by_mail and experiment.learning.one_model:
        text = f'should be false where clock = "{clock}": agents that train one model step together'
        yield Problem(("learning", "one_model"), f"{text}. Found true")
    if by_mail and experiment.memory.scope == "global":
        text = f'should be "local" where clock = "{clock}": all agents draw from one memory at one time'
        yield Problem(("memory", "scope"), f'{text}. Found "global"')
    for number, rule in enumerate(experiment.agent):
        kind = str((rule.clock or {}).get("kind", clock))
        # of a name that means nothing whoever reads it says so
        if kind != clock and (":" in kind or kind in kinds.known_kinds("clock")):
            text = f'should be that of [clock], for all agents have one: "{clock}". Found "{kind}"'
            yield Problem(("agent", number, "clock", "kind"), text)


def _links_that_come_and_go(experiment: Experiment) -> Iterator[Problem]:
    """What only a clock with virtual time, and mail, has room for."""
    clock, network = experiment.clock.kind, experiment.network
    text = f'should be left out where clock = "{clock}": links come and go in virtual time, which'
    text += ' clock = "virtual" has'
    for number, rule in enumerate(network.link):
        if rule.down:
            yield Problem(("network", "link", number, "down"), text)
    if network.changes is not None:
        yield Problem(("network", "changes"), text)


def _units_of_a_clock(clock: type, strange: Sequence[str]) -> str:
    known = ", ".join(f'"{unit}"' for unit in EXAMPLES)
    wrong = ", ".join(f'"{unit}"' for unit in strange) or "none"
    return f"names {clock.__name__}, whose `units` should be some of {known}. Found {wrong}"


def units_of(experiment: Experiment) -> tuple[CadenceUnit, ...]:
    """Units of a cadence that mean something to the clock of an experiment."""
    units: tuple[CadenceUnit, ...] = kinds.resolve("clock", experiment.clock.kind).units
    return units


def wrong_unit(cadence: Cadence, units: Sequence[CadenceUnit], clock: str) -> str:
    """What is wrong with a cadence in a unit that is not one of the clock's `units`."""
    fit = " or ".join(filter(None, [", ".join(f"{unit}s" for unit in units[:-1]), f"{units[-1]}s"]))
    examples = " or ".join(EXAMPLES[unit] for unit in units[:2])
    why = "a clock with virtual time" if cadence.unit == "second" else f"a clock that counts {cadence.unit}s"
    found = f'Found "{cadence}", which needs {why}: clock = "{clock}" is none'
    return f"should be in {fit}, such as {examples}. {found}"


def _stranger(what: str, clock: str, kind: str, known: Sequence[str]) -> str:
    names = ", ".join(f'"{name}"' for name in known) or "none"
    return f'should be {what} that knows clock = "{clock}". Found "{kind}", which knows: {names}'


def _cadences(key: Key, value: object) -> Iterator[tuple[Key, Cadence]]:
    """Every cadence in the tables and in the options of methods, and its key in the file."""
    if isinstance(value, Cadence):
        yield key, value
    elif isinstance(value, BaseModel):
        for name, child in value:
            yield from _cadences(key if name == "options" else (*key, name), child)
    elif isinstance(value, tuple):
        for number, child in enumerate(value):
            yield from _cadences((*key, number), child)
