"""The methods: which exchanges an experiment has, by name.

`local`, `group-only`, `consensus`, and FORM-STRENGTH of the relation, such as `logdet-0.03`; FORM-rule has no
strength, so that it follows the rule of docs/damtl.md: the least expected error.
"""

from __future__ import annotations

from typing import NamedTuple

GRID = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0)
"""Strengths of the relation between which a method is tuned."""
LINEAR = {
    "local": "local",
    "group-only": "group only",
    "consensus": "consensus",
}
"""Methods without a relation, in words."""
FORMS = {
    "logdet": "DAMTL, logdet",
    "trace-one": "DAMTL, trace-one",
    "laplacian": "DAMTL, Laplacian",
    "fixed": "fixed Laplacian",
    "identity": "hierarchical mean",
}
"""Forms of the relation; the last two learn none."""
CENTRAL = {
    "pooled": "central: one model",
    "ridge": "central: ridge per group",
    "mtrl": "central: MTRL, mean zero",
    "mtrl-mean": "central: MTRL, common mean",
}
"""Closed forms on the rows of all agents (`central.py`)."""
RULE = "rule"


class Method(NamedTuple):
    """`family`: of LINEAR, FORMS or CENTRAL. `strength`: of the relation, or of the penalty of a closed form.

    None: it has none, or follows the rule.
    """

    family: str
    strength: float | None = None

    @property
    def name(self) -> str:
        """`group-only`, `logdet-0.03`, `logdet-rule`, `ridge-0.1`."""
        if self.strength is not None:
            return f"{self.family}-{self.strength:g}"
        return f"{self.family}-{RULE}" if self.family in FORMS else self.family

    @classmethod
    def of(cls, name: str) -> Method | None:
        """The method of this name; None: there is none."""
        if name in LINEAR or name == "pooled":
            return cls(name)
        family, _, strength = name.rpartition("-")
        if strength == RULE and family in FORMS:
            return cls(family)
        try:
            found = cls(family, float(strength))
        except ValueError:
            return None
        return found if family in FORMS or family in CENTRAL else None


def words_of(family: str) -> str:
    """A family in words."""
    return (LINEAR | FORMS | CENTRAL)[family]


def exchanges(method: Method) -> str:
    """The value of `exchange` in the file."""
    nodes = 'kind = "nodes", when = "after", every = "1 tick"'
    if method.family == "local":
        return "[]"
    if method.family == "consensus":
        return f'[{{{nodes}, links = "all", how = "average"}}]'
    told = f'{{{nodes}, links = "members"}}'
    if method.family == "group-only":
        return f"[{told}]"
    strength = "" if method.strength is None else f", strength = {float(method.strength)!r}"
    return (
        f'[{told}, {{kind = "means", when = "after", every = "5 ticks", links = "between"}},'
        ' {kind = "relation", when = "after", every = "5 ticks", links = "messenger",'
        f' form = "{method.family}"{strength}}}]'
    )


def grid(forms: tuple[str, ...], strengths: tuple[float, ...]) -> list[Method]:
    """Each form by the rule, and at each strength."""
    return [Method(form, strength) for form in forms for strength in (None, *strengths)]
