"""The answer of a modules exchange: modules, heads and structures as bytes, and how many fit a room.

One message holds m modules, the best first:

    task, module [m]            which task added it, and its number, at the sender
    similarity [m]              as the sender ranks it; NaN where the receiver scores
    weights [m * floats]        the modules one after the other, in `precision`
    head [m * classes (w + 1)]  the heads of these tasks, in `precision`
    structure [m, basis + 1, depth]   logits of the basis modules' rows, then of the module's own row
    sources [m, C]              for each class of the question the row of `head` that it takes; -1: none
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from mpidcl.errors import FrameError
from mpidcl.exchange.modules.checks import array_of, check_finite, values_of
from mpidcl.exchange.modules.fits import Fit, ModuleShapes
from mpidcl.exchange.modules.leep import Sources
from mpidcl.exchange.modules.options import ModulesOptions, Precision
from mpidcl.exchange.packing.compression import Floats, Format, encode
from mpidcl.network.frames.frame import message_bytes
from mpidcl.network.frames.message import Array, Message, Scalar

MODULES = "modules"


@dataclass(frozen=True, slots=True)
class SentModule:
    """A module on its way, all of it in the sender's terms; `sources` [C] names rows of `head`."""

    task: int
    module: int
    similarity: float
    weights: Floats
    head: Floats | None = None
    structure: Floats | None = None
    sources: Sources | None = None


@dataclass(frozen=True, slots=True)
class Parts:
    """What of a module travels on one link; `classes` are those of the question."""

    shapes: ModuleShapes
    classes: int
    head: bool
    structure: bool
    sources: bool

    @classmethod
    def of(cls, options: ModulesOptions, shapes: ModuleShapes, classes: int, fit: Fit) -> Parts:
        """What the options want and the two agents' nets allow."""
        return cls(
            shapes,
            classes,
            head=options.sends_head and fit.heads,
            structure=options.sends_structure and fit.structures,
            sources=options.sends_sources and fit.heads,
        )

    def blank(self) -> SentModule:
        """A module of zeros."""
        shapes = self.shapes
        return SentModule(
            task=0,
            module=0,
            similarity=0.0,
            weights=np.zeros(shapes.module_floats, np.float32),
            head=np.zeros(shapes.head, np.float32) if self.head else None,
            structure=np.zeros(shapes.structure, np.float32) if self.structure else None,
            sources=np.zeros(self.classes, np.int16) if self.sources else None,
        )


def answer_message(modules: Sequence[SentModule], form: Format) -> Message:
    """Modules that all have the same parts, at least one. Charged the floats of the modules alone."""
    arrays: dict[str, Array] = {
        "task": np.array([m.task for m in modules], np.int32),
        "module": np.array([m.module for m in modules], np.int32),
        "similarity": np.array([m.similarity for m in modules], np.float32),
    }
    weights = np.concatenate([m.weights for m in modules])
    scalars: dict[str, Scalar] = {}
    for name, values in (("weights", weights), ("head", _joined([m.head for m in modules]))):
        if values is not None:
            more, about = encode(name, values, form)
            arrays |= more
            scalars |= about
    for name, rows in (
        ("structure", [m.structure for m in modules]),
        ("sources", [m.sources for m in modules]),
    ):
        if rows[0] is not None:
            arrays[name] = np.array(rows)
    return Message(MODULES, scalars, arrays, floats=weights.size)


def _joined(heads: list[Floats | None]) -> Floats | None:
    present = [head.ravel() for head in heads if head is not None]
    return np.concatenate(present) if present else None


@lru_cache(maxsize=256)
def answer_bytes(parts: Parts, form: Format, count: int) -> int:
    """Bytes of an answer with `count` modules."""
    return message_bytes(answer_message([parts.blank()] * count, form))


def forms(precision: Precision) -> tuple[Format, ...]:
    """The forms that modules may travel in, the best first."""
    return ("float32", "float16", "int8") if precision == "auto" else (precision,)


def plan(parts: Parts, precision: Precision, count: int, room: int) -> tuple[Format, int] | None:
    """The best form in which `count` modules take at most `room` bytes, else as many as fit in the last one.

    None when not one module fits.
    """
    if not count:
        return None
    for form in forms(precision):
        if answer_bytes(parts, form, count) <= room:
            return form, count
    last = forms(precision)[-1]
    fits = [n for n in range(count - 1, 0, -1) if answer_bytes(parts, last, n) <= room]
    return (last, fits[0]) if fits else None


def read_answer(message: Message, parts: Parts, most: int, scored: bool) -> list[SentModule]:
    """The modules of an answer, checked and copied; `scored`: each should come with a similarity.

    Heads, structures and sources are absent where the sender's nets do not fit. Raises FrameError for
    more than `most` modules, wrong shapes or numbers that are not finite or out of range.
    """
    count = len(array_of(message, "task", (np.int32,), (-1,)))
    if message.kind != MODULES or count > most:
        raise FrameError(f"an answer should bring at most {most} modules. Found {count} in {message.kind!r}.")
    task, module = _numbers(message, "task", count), _numbers(message, "module", count)
    similarity = array_of(message, "similarity", (np.float32,), (count,))
    if scored:
        check_finite(similarity, "similarity")
    weights = values_of(message, "weights", count * parts.shapes.module_floats)
    weights = weights.reshape(count, parts.shapes.module_floats)
    head = _head(message, parts, count)
    structure = _structure(message, parts, count)
    sources = _sources(message, parts, count)
    return [
        SentModule(
            int(task[i]),
            int(module[i]),
            float(similarity[i]),
            weights[i],
            None if head is None else head[i],
            None if structure is None else structure[i],
            None if sources is None else sources[i],
        )
        for i in range(count)
    ]


def _numbers(message: Message, name: str, count: int) -> NDArray[np.int32]:
    found: NDArray[np.int32] = array_of(message, name, (np.int32,), (count,))
    if (found < 0).any():
        raise FrameError(f"{name!r} of an answer should hold numbers from 0 on. Found {found.tolist()}.")
    return found


def _head(message: Message, parts: Parts, count: int) -> Floats | None:
    if not parts.head or "head" not in message.arrays:
        return None
    return values_of(message, "head", count * parts.shapes.head_floats).reshape(count, *parts.shapes.head)


def _structure(message: Message, parts: Parts, count: int) -> Floats | None:
    if not parts.structure or "structure" not in message.arrays:
        return None
    values: Floats = array_of(message, "structure", (np.float32,), (count, *parts.shapes.structure))
    check_finite(values, "structure")
    return values.copy()


def _sources(message: Message, parts: Parts, count: int) -> Sources | None:
    if not parts.sources or "sources" not in message.arrays:
        return None
    rows: Sources = array_of(message, "sources", (np.int16,), (count, parts.classes))
    if ((rows < -1) | (rows >= parts.shapes.head[0])).any():
        raise FrameError(
            f"'sources' of an answer should name rows of a head, -1 to {parts.shapes.head[0] - 1}. "
            f"Found {int(rows.min())} to {int(rows.max())}."
        )
    return rows.copy()
