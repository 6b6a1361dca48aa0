"""How a table of the experiment file is read: unknown keys, kinds with their own options, plain errors."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields as dataclass_fields
from typing import Any, ClassVar, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    SerializerFunctionWrapHandler,
    TypeAdapter,
    ValidationError,
    model_serializer,
    model_validator,
)
from pydantic_core import InitErrorDetails

from mpidcl.errors import ExperimentError
from mpidcl.experiment import kinds, problems
from mpidcl.experiment.options import Options
from mpidcl.experiment.part import OptionsClass


def field_names(options: OptionsClass) -> list[str]:
    """Keys that a file may use for the fields of an options class."""
    if issubclass(options, BaseModel):
        return [field.alias or name for name, field in options.model_fields.items()]
    return [field.name for field in dataclass_fields(options)]


class Table(Options):
    """A table of the experiment file. Types are not converted: "3" is not 3, true is not 1."""

    model_config = ConfigDict(strict=True)

    @classmethod
    def known_keys(cls) -> list[str]:
        """Keys of this table in a file."""
        return field_names(cls)

    @model_validator(mode="wrap")
    @classmethod
    def _read(cls, data: object, handler: ModelWrapValidatorHandler[Self]) -> Self:
        if isinstance(data, cls):
            return data
        if not isinstance(data, Mapping):
            data = cls.from_word(data)
        return cls.read(data, handler)

    @classmethod
    def from_word(cls, data: object) -> object:
        """What a plain value in place of the table stands for; nothing by default."""
        return data

    @classmethod
    def read(cls, data: object, handler: ModelWrapValidatorHandler[Self]) -> Self:
        """The table of `data`. Raises a ValidationError whose errors all are our own sentences."""
        errors: list[InitErrorDetails] = []
        if isinstance(data, Mapping):
            known = {*cls.known_keys(), *cls.model_fields}
            unknown = [key for key in data if key not in known]
            errors = [
                problems.explained((key,), problems.unknown_key(key, cls.known_keys())) for key in unknown
            ]
            data = {key: value for key, value in data.items() if key in known}
        return cls._finish(data, handler, errors)

    @classmethod
    def _finish(
        cls, data: object, handler: ModelWrapValidatorHandler[Self], errors: list[InitErrorDetails]
    ) -> Self:
        try:
            table = handler(data)
        except ValidationError as error:
            errors = [*errors, *problems.explain(error, cls)]
        if errors:
            raise ValidationError.from_exception_data(cls.__name__, errors)
        return table


UNUSED = "(unused)"
"""Kind of a table that nothing uses."""


class KindTable(Table):
    """A table with a kind: its own keys, and beside them the options of the class that the kind names.

    `options` is an object of that class's `Options`.
    """

    room: ClassVar[str]
    kind_key: ClassVar[str] = "kind"

    options: Any = Field(default=None, description="options of the kind, given beside the keys of this table")

    @classmethod
    def unused(cls) -> Self:
        """Stands where the learner has no use for the table: nothing is looked up for it."""
        return cls.model_construct(None, **{cls.kind_key: UNUSED})

    @property
    def used(self) -> bool:
        """Whether the experiment uses the table."""
        return bool(getattr(self, self.kind_key) != UNUSED)

    @classmethod
    def known_keys(cls) -> list[str]:
        """Keys of this table in a file, without those of the kind."""
        return [name for name in field_names(cls) if name != "options"]

    @classmethod
    def read(cls, data: object, handler: ModelWrapValidatorHandler[Self]) -> Self:
        """The table of `data`, with the options of its kind."""
        if not isinstance(data, Mapping):
            return cls._finish(data, handler, [])
        known = {*cls.known_keys(), *cls.model_fields} - {"options"}
        common = {key: value for key, value in data.items() if key in known}
        own = {key: value for key, value in data.items() if key not in known}
        kind = common.get(cls.kind_key, cls.model_fields[cls.kind_key].default)
        options, errors = cls._options(kind, own) if isinstance(kind, str) else (None, [])
        return cls._finish({**common, "options": options}, handler, errors)

    @classmethod
    def _options(cls, kind: str, own: dict[str, object]) -> tuple[object, list[InitErrorDetails]]:
        try:
            options = kinds.options_type(cls.room, kind)
        except ExperimentError as error:
            return None, [problems.explained((cls.kind_key,), str(error))]
        known = field_names(options)
        if clash := sorted({*known} & {*cls.known_keys()}):
            text = f'"{kind}" has the option `{clash[0]}`, which is a key of this table: rename the option'
            return None, [problems.explained((cls.kind_key,), text)]
        errors = []
        for key in [] if _open(options) else own.keys() - known - set(getattr(options, "model_fields", ())):
            unknown = problems.unknown_key(key, [*cls.known_keys(), *known])
            errors.append(problems.explained((key,), f'{unknown} ({cls.kind_key} is "{kind}")'))
            own = {name: value for name, value in own.items() if name != key}
        try:
            # Through JSON, because only there "strict" takes a list for a tuple but no text for a number.
            text = json.dumps(own, default=str)
            return TypeAdapter(options).validate_json(text, strict=True), errors
        except ValidationError as error:
            return None, [*errors, *problems.explain(error, options)]

    @model_serializer(mode="wrap")
    def _flat(self, handler: SerializerFunctionWrapHandler) -> object:
        values = handler(self)
        options = values.pop("options", None) or {}
        return self.written({**values, **options})

    def written(self, values: dict[str, object]) -> object:
        """How the table stands in a file that is written back."""
        return values


def _open(options: OptionsClass) -> bool:
    return issubclass(options, BaseModel) and options.model_config.get("extra") == "allow"
