"""`mpidcl check --schema`: every table and every built-in kind's options, from their own descriptions."""

from __future__ import annotations

import textwrap
import types
import typing
from collections.abc import Iterator, Sequence
from dataclasses import fields as dataclass_fields
from typing import Literal, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from mpidcl.experiment import kinds
from mpidcl.experiment.file import Experiment
from mpidcl.experiment.part import OptionsClass
from mpidcl.experiment.sections import Combiner, Editor, NamedKind, Objective, Schedule, Term
from mpidcl.experiment.tables import KindTable, Table
from mpidcl.experiment.units import format_seconds

WIDTH = 100
_WORDS: dict[object, str] = {
    int: "whole number",
    float: "number",
    str: "text",
    bool: "true or false",
    type(None): "",
}
_UNITS = {
    "parse_bytes": 'a size, such as "96 KiB"',
    "parse_seconds": 'a time, such as "5 ms"',
    "parse_rate": 'a bandwidth, such as "1 GB/s"',
    "parse_share": '0.1 or "10 %"',
    "parse_epochs": '10 or "10 epochs"',
    "parse_test_every": '10, "10 epochs" or "100 s"',
    "parse_save_every": 'such as "1 task" or "10 min"',
}
_QUANTITIES = {"Cadence": 'such as "5 epochs"', "Capacity": 'such as "32 rows per task"'}


def reference() -> str:
    """The whole reference as text of at most 100 columns."""
    parts = [*_table(Experiment, "")]
    inside = [
        ("learning.objective", Objective),
        ("learning.schedule", Schedule),
        ("learning.terms", Term),
        ("learning.combiner", Combiner),
        ("learning.editing", Editor),
    ]
    tables: list[tuple[str, type[KindTable]]] = [*_kind_tables(), *inside]
    for room, table in tables:
        for kind in kinds.BUILT_IN[table.room]:
            parts += ["", *_kind(table, f"[{room}]" if room != "exchange" else "[[exchange]]", kind)]
    parts += ["", *_others()]
    return "\n".join(parts)


def _table(table: type[Table], path: str) -> Iterator[str]:
    yield from _heading(path, table)
    inner = []
    for key, field in _fields(table):
        nested = _nested(field.annotation)
        if nested is not None and not issubclass(nested, NamedKind):
            inner.append((key, nested, get_origin(field.annotation) is tuple))
        elif key != "options":
            yield from _line(key, field)
    for key, nested, many in inner:
        name = f"{path.strip('[]')}.{key}".lstrip(".")
        yield from ["", *_table(nested, f"[[{name}]]" if many else f"[{name}]")]


def _kind(table: type[KindTable], place: str, kind: str) -> Iterator[str]:
    described = kinds.resolve(table.room, kind)
    yield from _heading(f'{place} {table.kind_key} = "{kind}"', described)
    lines = [
        line for key, field in _fields(kinds.options_type(table.room, kind)) for line in _line(key, field)
    ]
    yield from lines or ["  (no options)"]


def _others() -> Iterator[str]:
    yield 'Own methods: every kind may be "package.module:Class", or an entry point of mpidcl.methods.'
    for table, room in (("learning", "optimizer"), ("stream", "dataset")):
        yield from textwrap.wrap(
            f"[{table}] {room}: {', '.join(kinds.known_kinds(room))}", WIDTH, subsequent_indent="    "
        )


def _kind_tables() -> Iterator[tuple[str, type[KindTable]]]:
    for key, field in _fields(Experiment):
        nested = _nested(field.annotation)
        if nested is not None and issubclass(nested, KindTable):
            yield key, nested


def _fields(options: OptionsClass) -> list[tuple[str, FieldInfo]]:
    if issubclass(options, BaseModel):
        return [(field.alias or name, field) for name, field in options.model_fields.items()]
    hints = typing.get_type_hints(options)
    return [(f.name, FieldInfo.from_annotation(hints[f.name])) for f in dataclass_fields(options)]


def _nested(annotation: object) -> type[Table] | None:
    inner = get_args(annotation)[0] if get_origin(annotation) is tuple else annotation
    return inner if isinstance(inner, type) and issubclass(inner, Table) else None


def _line(key: str, field: FieldInfo) -> list[str]:
    facts = [_type(field.annotation, field.metadata), _bounds(field.metadata)]
    required = "required" if field.is_required() else ""
    default = "" if field.is_required() else _default(field)
    head = f"  {key:<18} {default or required:<20} "
    text = "; ".join(part for part in (field.description, *facts) if part)
    return textwrap.wrap(text, WIDTH, initial_indent=head, subsequent_indent=" " * 42) or [head]


def _heading(name: str, described: type) -> list[str]:
    first = (described.__doc__ or "").strip().split("\n")[0]
    return textwrap.wrap(f"{name}  {first}".strip(), WIDTH, subsequent_indent="    ")


def _default(field: FieldInfo) -> str:
    value = field.get_default(call_default_factory=True)
    if "parse_seconds" in map(_reader, field.metadata) and value:
        return f'"{format_seconds(value)}"'
    if value is None:
        return "-"
    if isinstance(value, KindTable):
        return f'"{getattr(value, value.kind_key)}"'
    if isinstance(value, tuple) and any(isinstance(entry, KindTable) for entry in value):
        return str([entry.kind for entry in value]).replace("'", '"')
    text = {True: "true", False: "false"}.get(value) if isinstance(value, bool) else None
    return text or (f'"{value}"' if not isinstance(value, (int, float, tuple, dict)) else _plain(value))


def _plain(value: object) -> str:
    return str(list(value)) if isinstance(value, tuple) else str(value)


def _type(annotation: object, metadata: Sequence[object]) -> str:
    for part in metadata:
        if _reader(part) in _UNITS:
            return _UNITS[_reader(part)]
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return " | ".join(f'"{value}"' for value in arguments)
    if origin is typing.Annotated:
        return _type(arguments[0], list(arguments[1:]))
    if origin in (typing.Union, types.UnionType):
        return " or ".join(word for part in arguments if (word := _type(part, [])))
    if origin in (tuple, list) and not _nested(annotation):
        return f"list of {_type(arguments[0], [])}s"
    if annotation in _WORDS:
        return _WORDS[annotation]
    if _nested(annotation):
        many = origin is tuple
        return "names, or tables with a `kind`" if many else "a name, or a table with a `kind`"
    return _QUANTITIES.get(getattr(annotation, "__name__", ""), "table")


def _reader(part: object) -> str:
    return str(getattr(getattr(part, "func", None), "__name__", ""))


def _bounds(metadata: Sequence[object]) -> str:
    signs = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<"}
    pairs = [(part, name) for part in metadata for name in signs if hasattr(part, name)]
    return ", ".join(f"{signs[name]} {getattr(part, name)}" for part, name in pairs)
