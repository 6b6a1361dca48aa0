"""Base of every table and of every method's options: frozen, documented fields, unknown keys refused."""

from pydantic import BaseModel, ConfigDict


class Options(BaseModel):
    """Options of one method or table of the experiment file.

    Subclasses declare typed fields with `Field(description=...)`; the description is what
    `mpidcl check --schema` prints. Unknown keys and wrong types are refused.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, allow_inf_nan=False)
