"""What can travel between two agents whose nets differ: whole modules, heads, structures, or nothing."""

from __future__ import annotations

import math
from dataclasses import dataclass

from mpidcl.base.state import Facts
from mpidcl.exchange.modules.options import ModulesOptions


@dataclass(frozen=True, slots=True)
class ModuleShapes:
    """The shapes of one agent's modules, heads and structures, as `module_facts` of its learner tells them.

    `module` is [outputs, fan_in + 1], `head` [classes, width + 1], `structure` [basis + 1, depth].
    """

    layer: str
    module: tuple[int, ...]
    head: tuple[int, ...]
    structure: tuple[int, int]

    @classmethod
    def of(cls, facts: Facts) -> ModuleShapes:
        """From an agent's own facts, or a neighbour's."""
        structure = (int(facts["basis"]) + 1, int(facts["depth"]))
        return cls(str(facts.get("layer", "module")), tuple(facts["module"]), tuple(facts["head"]), structure)

    @property
    def module_floats(self) -> int:
        """Floats of one module."""
        return math.prod(self.module)

    @property
    def head_floats(self) -> int:
        """Floats of one head."""
        return math.prod(self.head)


@dataclass(frozen=True, slots=True)
class Fit:
    """What may travel between two agents."""

    modules: bool = True
    heads: bool = True
    structures: bool = True


def fit(options: ModulesOptions, mine: Facts, theirs: Facts) -> Fit:
    """What may travel between agents with these facts."""
    here, there = ModuleShapes.of(mine), ModuleShapes.of(theirs)
    same = (here.layer, here.module) == (there.layer, there.module) and _asks_alike(options, mine, theirs)
    return Fit(same, here.head == there.head, here.structure == there.structure)


def _asks_alike(options: ModulesOptions, mine: Facts, theirs: Facts) -> bool:
    """Whether the one's rows mean something to the other."""
    if not options.asks_with_rows:
        return True
    key = "input_shape" if options.query == "rows" else "input"
    return bool(mine[key] == theirs[key])


def misfit_note(options: ModulesOptions, mine: Facts, theirs: Facts) -> str | None:
    """A sentence about what does not fit between two agents, with both shapes; None if all does."""
    pair = f"agents {mine['agent']} and {theirs['agent']}"
    both = [(side["agent"], ModuleShapes.of(side)) for side in (mine, theirs)]
    found = fit(options, mine, theirs)
    if (shapes := {(shape.layer, shape.module) for _, shape in both}) and len(shapes) > 1:
        sides = " and ".join(f"{s.layer} {list(s.module)} at agent {agent}" for agent, s in both)
        return f"{pair} exchange no modules, their shapes differ: {sides}. Everything else goes on."
    if not found.modules:
        key = "input_shape" if options.query == "rows" else "input"
        sides = " and ".join(f"{side[key]} at agent {side['agent']}" for side in (mine, theirs))
        return (
            f"{pair} exchange no modules, the rows of a question would mean nothing to the other: {sides}. "
            'Everything else goes on; query = "none" asks without rows.'
        )
    parts = []
    if options.sends_head and not found.heads:
        parts.append("heads (" + " and ".join(f"{list(s.head)} at agent {agent}" for agent, s in both) + ")")
    if options.sends_structure and not found.structures:
        sides = " and ".join(f"{list(s.structure)} at agent {agent}" for agent, s in both)
        parts.append(f"structures ({sides})")
    return f"{pair} exchange modules without {' and '.join(parts)}." if parts else None
