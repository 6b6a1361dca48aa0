"""What is wrong with an experiment, in plain sentences: which key, what it should be, what was found."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from typing import NamedTuple

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails, InitErrorDetails, PydanticCustomError

EXPLAINED = "explained"
"""Type of the pydantic errors whose message already is one of our sentences."""

_SHOULD_BE = {
    "missing": "is missing",
    "int_type": "should be a whole number",
    "int_from_float": "should be a whole number",
    "float_type": "should be a number",
    "finite_number": "should be a finite number",
    "string_type": 'should be text in quotes, such as "name"',
    "bool_type": "should be true or false",
    "tuple_type": "should be a list, such as [1, 2]",
    "list_type": "should be a list, such as [1, 2]",
    "dict_type": "should be a table",
    "model_type": "should be a table",
    "model_attributes_type": "should be a table",
    "string_too_short": "should not be empty",
    "greater_than_equal": "should be at least {ge}",
    "greater_than": "should be more than {gt}",
    "less_than_equal": "should be at most {le}",
    "less_than": "should be less than {lt}",
    "too_short": "should have at least {min_length} entries",
    "too_long": "should have at most {max_length} entries",
    "literal_error": "should be one of {expected}",
    "string_pattern_mismatch": "should match {pattern}",
    "extra_forbidden": "is not a known key",
}
_SHOWN = 40
"""Problems in one message: nobody mends more before trying again."""
_LONGEST = 1200
_FOUND_SAYS_NOTHING = {"missing", "extra_forbidden", "unexpected_keyword_argument"}


class Problem(NamedTuple):
    """One thing to mend: the key (`("exchange", 0, "every")`) and a sentence about it."""

    key: tuple[str | int, ...]
    sentence: str

    def __str__(self) -> str:
        return f"{'.'.join(str(part) for part in self.key) or 'the experiment'}: {self.sentence}"


def found(value: object) -> str:
    """`value` as an experiment file would spell it, cut after 60 characters."""
    text = _spelling(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _spelling(value: object) -> str:
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(_spelling(entry) for entry in value)}]"
    if isinstance(value, dict):
        return f"a table with the keys {', '.join(map(str, value))}" if value else "an empty table"
    return str(value)


def sentence(error: ErrorDetails) -> str:
    """What the value should be and what was found, without a word of the validation library."""
    context = error.get("ctx", {})
    if error["type"] == EXPLAINED:
        return str(context["sentence"])
    if error["type"] in ("value_error", "assertion_error"):
        should_be = str(context["error"])
    elif error["type"] in _SHOULD_BE:
        should_be = _SHOULD_BE[error["type"]].format(**context).replace("'", '"')
    else:
        should_be = error["msg"].replace("Input should", "should")
    if error["type"] in _FOUND_SAYS_NOTHING or "Found " in should_be:
        return should_be
    return f"{should_be}. Found {found(error['input'])}"


def unknown_key(key: str, known: Iterable[str]) -> str:
    """Sentence about a key that nobody reads, with the nearest known name."""
    names = sorted(known)
    close = get_close_matches(key, names, n=1, cutoff=0.6)
    if close:
        return f"is not a known key. Did you mean `{close[0]}`?"
    return f"is not a known key. Known here: {', '.join(names)}"


def explained(key: tuple[str | int, ...], text: str, value: object = None) -> InitErrorDetails:
    """One of our sentences as an error that pydantic carries upwards with its place."""
    kind = PydanticCustomError(EXPLAINED, "{sentence}", {"sentence": text})
    return InitErrorDetails(type=kind, loc=key, input=value)


def explain(error: ValidationError, model: type | None = None) -> list[InitErrorDetails]:
    """Errors of `error` as our sentences; `model` gives the descriptions of its fields."""
    described = _descriptions(model)
    details = error.errors(include_url=False)
    places = {detail["loc"] for detail in details}
    # a list is also "too short" when its entries are wrong, because these are not counted
    kept = [d for d in details if d["type"] != "too_short" or (*d["loc"], 0) not in places]
    return [_explain_one(detail, described) for detail in kept]


def _explain_one(detail: ErrorDetails, described: dict[str, str]) -> InitErrorDetails:
    text = sentence(detail)
    description = described.get(str(detail["loc"][0])) if len(detail["loc"]) == 1 else None
    if description and detail["type"] not in (EXPLAINED, "value_error"):
        text = f"{text}. ({detail['loc'][0]}: {description})"
    return explained(detail["loc"], text, detail["input"])


def _descriptions(model: type | None) -> dict[str, str]:
    if model is None or not issubclass(model, BaseModel):
        return {}
    fields = model.model_fields.items()
    return {field.alias or name: field.description for name, field in fields if field.description}


def problems_of(error: ValidationError) -> list[Problem]:
    """Every error of `error`, each once."""
    return list(
        dict.fromkeys(Problem(item["loc"], sentence(item)) for item in error.errors(include_url=False))
    )


def _shortened(text: str) -> str:
    """A line that can be read: what to do stands at its end, so its middle is left out."""
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST // 2]} [...] {text[-_LONGEST // 2 :]}"


def message(problems: Sequence[Problem], source: str) -> str:
    """The text that a user sees: where, how many, then one line per problem."""
    count = "one thing needs" if len(problems) == 1 else f"{len(problems)} things need"
    shown = [f"  {_shortened(str(problem))}" for problem in problems[:_SHOWN]]
    more = [f"  ... and {len(problems) - _SHOWN} more"] if len(problems) > _SHOWN else []
    lines = [f"{source} cannot be used; {count} mending:", *shown, *more]
    return "\n".join(
        [*lines, 'Edit the file, or add e.g. --set learning.lr=0.01. All keys: "mpidcl check --schema".']
    )
