"""What can be chosen about sharing modules, and what follows from it for both ends of a link."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from mpidcl.exchange.packing.pixels import Pixels
from mpidcl.experiment.options import Options
from mpidcl.experiment.units import MOST_EPOCHS

Query = Literal["rows", "prepared", "class-means", "none"]
Precision = Literal["auto", "float32", "float16", "int8"]


class ModulesOptions(Options):
    """Options of `kind = "modules"`."""

    count: int = Field(1, ge=1, le=64, description="most modules that a neighbour sends per use (k)")
    rank_by: Literal["label", "leep"] = Field(
        "label",
        description="what makes a module fit. label: classes in common (oracle information); leep: LEEP",
    )
    query: Query = Field(
        "rows",
        description="leep: what the question shows: validation rows, prepared rows, one mean prepared row per"
        " class, or none (the neighbour sends its latest modules and the receiver scores them)",
    )
    query_rows: int = Field(
        40, ge=1, le=10_000, description="leep: validation rows per class that are scored"
    )
    pixels: Pixels = Field(
        "auto", description="query = rows: rows as float32 or uint8 on the link; auto: uint8 where lossless"
    )
    choose: Literal["trust", "try-out"] = Field(
        "trust", description="receiver's choice: by the similarity, or by a trial training of each module"
    )
    trial_epochs: int = Field(20, ge=1, le=MOST_EPOCHS, description="try-out: epochs of a trial training")
    together: int = Field(3, ge=1, le=64, description="try-out: modules trained in one trial")
    head: Literal["auto", "classes", "leep", "none"] = Field(
        "auto",
        description="head rows taken over: by class ids (oracle information), by LEEP's P(y|z), or none;"
        " auto: classes for label, leep for leep",
    )
    structure: bool = Field(True, description="take over the structure of the module's task")
    keep: int = Field(1, ge=1, le=64, description="received modules that become candidates")
    precision: Precision = Field(
        "auto", description="form of modules on the link; auto: the best in which `count` modules fit"
    )

    @property
    def head_by(self) -> Literal["classes", "leep", "none"]:
        """`head` without its `auto`."""
        if self.head != "auto":
            return self.head
        return "classes" if self.rank_by == "label" else "leep"

    @property
    def asks_with_classes(self) -> bool:
        """Whether the question carries class keys: oracle information."""
        return self.rank_by == "label" or self.head_by == "classes"

    @property
    def asks_with_rows(self) -> bool:
        """Whether the question carries rows, so that the sender computes LEEP."""
        return self.rank_by == "leep" and self.query != "none"

    @property
    def receiver_scores(self) -> bool:
        """Whether the receiver computes LEEP, on its own validation rows."""
        needed = self.rank_by == "leep" or self.head_by == "leep"
        return needed and not self.asks_with_rows

    @property
    def sends_sources(self) -> bool:
        """Whether the sender says which head row each of the asker's classes takes."""
        return self.head_by == "classes" or (self.head_by == "leep" and self.asks_with_rows)

    @property
    def sends_head(self) -> bool:
        """Whether heads travel: to be taken over, or because the receiver's LEEP needs the classifier."""
        return self.head_by != "none" or self.receiver_scores

    @property
    def sends_structure(self) -> bool:
        """Whether structures travel: to be taken over, or because the receiver's LEEP needs them."""
        return self.structure or self.receiver_scores

    @property
    def oracles(self) -> list[str]:
        """The oracle information in use."""
        used = {
            "class ids of tasks": self.rank_by == "label",
            "class ids of heads": self.head_by == "classes",
        }
        return [name for name, is_used in used.items() if is_used]
