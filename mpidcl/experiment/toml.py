"""TOML: text to nested dicts, and back in the layout that people write by hand."""

from __future__ import annotations

import json
import sys
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from typing import TypeGuard

MOST_NESTED = 100
"""Tables and lists inside each other: few enough for every walk of ours."""


def loads(text: str) -> dict[str, object]:
    """Nested dicts of a TOML text. Raises ValueError that says what is wrong, whatever the text is."""
    try:
        tables = tomllib.loads(text)
        if not _deeper(tables, MOST_NESTED):
            return tables
        raise RecursionError
    except RecursionError:
        raise ValueError("its lists or tables are nested too deep") from None
    except tomllib.TOMLDecodeError:
        raise
    except ValueError as error:  # Python's own limit, whose text speaks of Python
        if len(text) > sys.get_int_max_str_digits() and "digits" in str(error):
            raise ValueError("it has a whole number of thousands of digits") from None
        raise


def _deeper(value: object, left: int) -> bool:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return left < 0 or any(_deeper(one, left - 1) for one in inner)


def dumps(tables: Mapping[str, object]) -> str:
    """TOML text of text, numbers, booleans, lists and dicts. Raises TypeError for anything else."""
    return "\n".join(_table(tables, "")).strip() + "\n"


def _table(table: Mapping[str, object], path: str) -> Iterator[str]:
    for key, value in table.items():
        if not (_is_table(value) or _is_tables(value)):
            yield f"{_key(key)} = {_value(value)}"
    for key, value in table.items():
        name = f"{path}{_key(key)}"
        if _is_table(value):
            yield f"\n[{name}]"
            yield from _table(value, f"{name}.")
        elif _is_tables(value):
            for entry in value:
                yield f"\n[[{name}]]"
                yield from _table(entry, f"{name}.")


def _is_table(value: object) -> TypeGuard[Mapping[str, object]]:
    return isinstance(value, Mapping)


def _is_tables(value: object) -> TypeGuard[Sequence[Mapping[str, object]]]:
    return isinstance(value, (list, tuple)) and bool(value) and all(map(_is_table, value))


def _key(key: str) -> str:
    bare = key.replace("_", "").replace("-", "")
    return key if bare.isascii() and bare.isalnum() else _text(key)


def _text(value: str) -> str:
    # JSON and TOML escape alike, but only TOML forbids a raw DEL.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _value(value: object) -> str:
    match value:
        case bool():
            return str(value).lower()
        case str():
            return _text(value)
        case int():
            return str(value)
        case float():
            return repr(value)
        case list() | tuple():
            return f"[{', '.join(map(_value, value))}]"
        case Mapping():
            return "{" + ", ".join(f"{_key(key)} = {_value(entry)}" for key, entry in value.items()) + "}"
        case _:
            raise TypeError(f"TOML has no value for {value!r}")
