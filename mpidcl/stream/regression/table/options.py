"""Options of a table stream."""

from __future__ import annotations

from collections import Counter
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from mpidcl.stream.regression.options import SampleOptions

Names = Annotated[tuple[Annotated[str, Field(min_length=1)], ...], Field(strict=False)]
Files = str | dict[str, str]
FILE = "file"
"""Column that holds the names of named files."""


class TableOptions(SampleOptions):
    """Options of `[stream]` with `kind = "table"`."""

    files: Files = Field(
        description="path of a CSV file, or of several with the same columns, each by a name: the names are a"
        f" column `{FILE}`. A path that is not absolute starts in the current folder",
    )
    target: str = Field(min_length=1, description="column that is to be told from the others")
    group: Names = Field(
        default=(),
        description="columns whose combined values, sorted, are the groups of [network.groups]; [] for one"
        " group. They are no features",
    )
    drop: Names = Field(default=(), description="columns that are left out")
    categorical: Names = Field(
        default=(), description="columns that are categories although they are numbers"
    )
    separator: str | None = Field(
        default=None,
        description="character between the fields; not given: the one of ; , and tab that the first line has"
        " most of",
    )
    test_share: float = Field(
        default=0.2, ge=0, lt=1, description="share of the rows of each group that are for tests"
    )
    bias: bool = Field(default=True, description="whether the last feature is 1")
    standardise_target: bool = Field(
        default=True,
        description="whether y has mean 0 and deviation 1 over all training rows; errors then are in"
        " deviations",
    )
    bad_rows: Literal["refuse", "skip"] = Field(
        default="refuse",
        description="refuse: a row with a missing number or a wrong number of fields is an error; skip: it is"
        " left out and counted",
    )

    @field_validator("files", mode="before")
    @classmethod
    def _files(cls, value: object) -> object:
        named = value.values() if isinstance(value, dict) else [value]
        if value and all(isinstance(path, str) and path for path in named):
            return value
        raise ValueError(
            'should be a path, such as "grades.csv", or paths by names, such as { first = "a.csv", second ='
            ' "b.csv" }'
        )

    @field_validator("group", mode="before")
    @classmethod
    def _one_column(cls, value: object) -> object:
        # what has passed a function is no JSON any more, where a list would be a tuple
        return (value,) if isinstance(value, str) else tuple(value) if isinstance(value, list) else value

    @field_validator("separator")
    @classmethod
    def _separates(cls, value: str | None) -> str | None:
        if value is not None and (len(value) != 1 or value in '"\r\n'):
            raise ValueError('should be one character, such as ";", no quote and no end of a line')
        return value

    @model_validator(mode="after")
    def _columns_once(self) -> Self:
        if self.target == FILE and isinstance(self.files, dict):
            raise ValueError(f"should have another `target` than `{FILE}`, the names of the files")
        used = Counter((self.target, *self.group, *self.drop))
        twice = [name for name, times in used.items() if times > 1]
        if wrong := twice or [name for name in self.categorical if name in used]:
            raise ValueError(
                "should name a column once in `target`, `group`, `drop` and `categorical`. Found"
                f" `{wrong[0]}` twice"
            )
        return self

    def named(self) -> tuple[tuple[str | None, str], ...]:
        """The files: their names, None for a single path, and their paths."""
        return tuple(self.files.items()) if isinstance(self.files, dict) else ((None, self.files),)
