"""Reads the numbers out of the Python files of CIFAR without unpickling them.

A pickle is a program, and running a stranger's program is what this library never does. The standard library
can list the instructions of a pickle without following them. Here a few of them, those that build
dictionaries, lists, tuples, texts and numbers, are followed. A name such as `numpy.ndarray` stays a text:
nothing is ever looked up, imported or called, whatever the file asks for. An array comes out because the
texts around its bytes are those that NumPy writes.
"""

from __future__ import annotations

import io
import math
import pickletools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

RECONSTRUCT = ("numpy.core.multiarray _reconstruct", "numpy._core.multiarray _reconstruct")
MOST_STEPS = 2_000_000
"""Instructions that are followed: the largest official file has 0.4 million."""


class UnplainError(ValueError):
    """The file holds more than plain values and arrays of bytes."""


@dataclass(frozen=True)
class Name:
    """The name of something in Python, as a text: "module name"."""

    text: str


@dataclass
class Made:
    """What a name would be called with, and the state that would be given to the result."""

    name: object
    arguments: Any
    state: Any = None


T = TypeVar("T")

MARK = object()
LATIN_1 = Name("_codecs encode")
"""How Python 3 writes bytes into files that Python 2 can read."""


def read_plain(content: bytes) -> Any:
    """The value that a pickle describes. Raises UnplainError.

    Texts of Python 2 come as bytes, arrays of bytes as uint8 arrays. Everything else that is not a
    dictionary, list, tuple, text, number, True, False or None is refused.
    """
    try:
        return _plain(_Machine().follow(content))
    except (
        IndexError,
        KeyError,
        TypeError,
        AttributeError,
        ValueError,
        MemoryError,
        RecursionError,
    ) as reason:
        raise UnplainError(str(reason) or type(reason).__name__) from reason


class _Machine:
    """A stack and a memo, as the format has them, and the few instructions that are followed."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.memo: dict[int, object] = {}

    def follow(self, content: bytes) -> object:
        for step, (opcode, argument, _) in enumerate(pickletools.genops(io.BytesIO(content))):
            if opcode.name == "STOP":
                return self.stack.pop()
            if opcode.name not in INSTRUCTIONS or step > MOST_STEPS:
                raise UnplainError(f"the instruction {opcode.name} is not followed")
            INSTRUCTIONS[opcode.name](self, argument)
        raise UnplainError("it has no end")

    def push(self, value: object) -> None:
        self.stack.append(value)

    def marked(self) -> list[object]:
        """What lies above the last mark, taken off together with it."""
        place = len(self.stack) - 1
        while self.stack[place] is not MARK:
            place -= 1
            if place < 0:
                raise UnplainError("a mark is missing")
        above = self.stack[place + 1 :]
        del self.stack[place:]
        return above

    def tuple_of(self, count: int) -> None:
        if len(self.stack) < count:
            raise UnplainError("a value is missing")
        taken = [self.stack.pop() for _ in range(count)]
        self.push(tuple(reversed(taken)))

    def append(self, values: list[object]) -> None:
        _expect(self.stack[-1], list).extend(values)

    def set_items(self, flat: list[object]) -> None:
        _expect(self.stack[-1], dict).update(zip(flat[::2], flat[1::2], strict=True))

    def two(self) -> list[Any]:
        second = self.stack.pop()
        return [self.stack.pop(), second]

    def make(self) -> None:
        name, arguments = self.two()
        if name == LATIN_1 and len(arguments) == 2 and arguments[1] == "latin1":
            self.push(_old_text(arguments[0]))
        else:
            self.push(Made(name, arguments))

    def build(self) -> None:
        state = self.stack.pop()
        _expect(self.stack[-1], Made).state = state


def _expect(value: object, kind: type[T]) -> T:
    if type(value) is not kind:
        raise UnplainError(f"a {kind.__name__} should be there. Found {type(value).__name__}")
    return value


def _old_text(text: str) -> bytes:
    return text.encode("latin-1")


INSTRUCTIONS: dict[str, Callable[[_Machine, Any], object]] = {
    "PROTO": lambda m, a: None,
    "FRAME": lambda m, a: None,
    "MARK": lambda m, a: m.push(MARK),
    "NONE": lambda m, a: m.push(None),
    "NEWTRUE": lambda m, a: m.push(True),
    "NEWFALSE": lambda m, a: m.push(False),
    "EMPTY_DICT": lambda m, a: m.push({}),
    "EMPTY_LIST": lambda m, a: m.push([]),
    "EMPTY_TUPLE": lambda m, a: m.push(()),
    "TUPLE1": lambda m, a: m.tuple_of(1),
    "TUPLE2": lambda m, a: m.tuple_of(2),
    "TUPLE3": lambda m, a: m.tuple_of(3),
    "TUPLE": lambda m, a: m.push(tuple(m.marked())),
    "APPEND": lambda m, a: m.append([m.stack.pop()]),
    "APPENDS": lambda m, a: m.append(m.marked()),
    "SETITEM": lambda m, a: m.set_items(m.two()),
    "SETITEMS": lambda m, a: m.set_items(m.marked()),
    "GLOBAL": lambda m, a: m.push(Name(a)),
    "STACK_GLOBAL": lambda m, a: m.push(Name(" ".join(m.two()))),
    "REDUCE": lambda m, a: m.make(),
    "BUILD": lambda m, a: m.build(),
    "MEMOIZE": lambda m, a: m.memo.__setitem__(len(m.memo), m.stack[-1]),
    "POP": lambda m, a: m.stack.pop(),
}
INSTRUCTIONS |= dict.fromkeys(("BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT"), _Machine.push)
INSTRUCTIONS |= dict.fromkeys(("BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"), _Machine.push)
INSTRUCTIONS |= dict.fromkeys(("BINBYTES", "SHORT_BINBYTES", "BINBYTES8"), _Machine.push)
INSTRUCTIONS |= dict.fromkeys(("BINSTRING", "SHORT_BINSTRING"), lambda m, a: m.push(_old_text(a)))
INSTRUCTIONS |= dict.fromkeys(("BINPUT", "LONG_BINPUT"), lambda m, a: m.memo.__setitem__(a, m.stack[-1]))
INSTRUCTIONS |= dict.fromkeys(("BINGET", "LONG_BINGET"), lambda m, a: m.push(m.memo[a]))


def _plain(value: object) -> object:
    """`value` with arrays in the place of what describes them, in a dictionary or alone."""
    if type(value) is dict:
        return {key: _array(each) if isinstance(each, Made) else each for key, each in value.items()}
    return _array(value) if isinstance(value, Made) else value


def _array(made: Made) -> NDArray[np.uint8]:
    if not (isinstance(made.name, Name) and made.name.text in RECONSTRUCT):
        raise UnplainError(f"{made.name} is not followed")
    _, shape, dtype, fortran, data = made.state
    kind = dtype.arguments[0] if isinstance(dtype, Made) and dtype.name == Name("numpy dtype") else None
    if kind not in ("u1", b"u1") or type(data) is not bytes:
        raise UnplainError("an array should hold bytes")
    if any(type(each) is not int or each < 0 for each in shape) or math.prod(shape) != len(data):
        raise UnplainError(f"an array of shape {shape} should have as many bytes. Found {len(data)}")
    return np.frombuffer(data, np.uint8).reshape(shape, order="F" if fortran else "C")
