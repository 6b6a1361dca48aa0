"""EMNIST: letters and digits of NIST Special Database 19 (Cohen and others 2017), in six splits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, cast

import numpy as np
from pydantic import Field

from mpidcl.errors import DataError
from mpidcl.experiment.options import Options as Table
from mpidcl.stream.datasets import places
from mpidcl.stream.datasets.base import (
    Arrays,
    DataSet,
    Download,
    Info,
    Labels,
    Pixels,
    SourceFile,
    split_every_nth,
)
from mpidcl.stream.datasets.idx import read_images, read_labels

if TYPE_CHECKING:
    from pathlib import Path

Split = Literal["byclass", "bymerge", "balanced", "letters", "digits", "mnist"]
TEST_EVERY = 7
"""With `part = "test"` every seventh row of each class is a test row, the ratio of the official parts."""

ARCHIVE = Download(
    (
        "https://biometrics.nist.gov/cs_links/EMNIST/gzip.zip",
        "https://www.itl.nist.gov/iaui/vip/cs_links/EMNIST/gzip.zip",
    ),
    "sha256:fb9bb67e33772a9cc0b895e4ecf36d2cf35be8b709693c3564cea2a019fcda8e",
    561_753_746,
)


@dataclass(frozen=True, slots=True)
class _Facts:
    """Official counts of one split; sha256 of its train images, train labels, test images, test labels."""

    classes: int
    train: int
    test: int
    hashes: tuple[str, str, str, str]
    first: int = 0


FACTS: dict[Split, _Facts] = {
    "byclass": _Facts(62, 697_932, 116_323, (
        "9e21987f03a6eb8b870187e785883ddad96947299587908f1a7ec2ca0f4be5f0",
        "f7ef403d48dc18a89dae0d83d11ee69cecb6e1c12c3a961d03712e495c02a8fa",
        "5ec835bd5d5b1a66378a132e727fef20fe994b3cc666899befcca5ac766f50cd",
        "501e305eeeacb093b162592d80e8a2632040872360fa6d85cfcb2200d91ca92a",
    )),
    "bymerge": _Facts(47, 697_932, 116_323, (
        "39bf8c68037dad40db35348895f7e4e056e8c0a005ab78869c9fbc2c96e947be",
        "2c47293b9e62d6abf6ad05fbf67e40baa32adfd380b8d7b44dcc35534b64e1f1",
        "5e5815ec1b522089134435f7c55e75a00960b58414793593ffff23efc0821683",
        "8bda1516255683ba9071e141947ca0c91a911176065cdd6259b0b4d8dc5b5f35",
    )),
    "balanced": _Facts(47, 112_800, 18_800, (
        "74295e75e4e9fa2c102147460ee7eb763653d5132d883a84fb88932bfb8d2db4",
        "b46d41e5156a0a8aaaa4d18979fdd1588850fa8571018acffd5d93b325a7d6ed",
        "117fc12b015e37ea98bfb2cbba3f77c3782c056cdbd219b87abfc8661d7135db",
        "a67cac948379b67270b9a4d0a01c8ec661598accf2f2b1964340b7c83cb175cd",
    )),
    "letters": _Facts(26, 124_800, 20_800, (
        "6288f418a917e007bf5fddb823a2dc7a5c6a35031401b93292a539cb12bd881f",
        "9759af91ea6bccdf07a6040fd085861f2ec88e37f7c3f5760f6feb57106fbe5c",
        "50f0e93d75b99b463e9760b8345866f22587fa2c2fba472730a5ba09c693412d",
        "924955c31fe7fd809b7303b5c0141282955f4b8390c74cdfd5d80435e0f4b4cb",
    ), first=1),
    "digits": _Facts(10, 240_000, 40_000, (
        "f7c95004d14d81af89522e67d8f0c781dfb3bd544181c81bfe1eb6b41c35b726",
        "6638a6ff5fe2eefd9cca2471995b46c82986b8e4b2a70d2f5ce8e05d7edb319e",
        "20ebe43509264f7639d37c835a3f0b009e90b29e00a099a03101abe1644a3f63",
        "bad1834c45d5988e270b99d43b13edc3fd898f658ffbc2caf2846ef27f7b05b0",
    )),
    "mnist": _Facts(10, 60_000, 10_000, (
        "5f9942f441031c0f1f2e4d162059fd6e19ea808b34c328b6d16cab0ed24c78f2",
        "00c6d3c2342fdffb1711e0b5656cac4ce5862d2826399d383a9bac07d612e9f8",
        "b25640fa9e356c618132f5df347c95ef5bae6d9c2596be1de40f7e0ae1c3eac6",
        "bcc5385d38f083dba046f5f756e99b32f5ea7fad122c6243c71c2239873065ca",
    )),
}  # fmt: skip


class EMNISTOptions(Table):
    """Which of the six splits, and which of its files."""

    split: Split = Field("balanced", description="byclass, bymerge, balanced, letters, digits or mnist")
    part: Literal["both", "test"] = Field(
        "both",
        description="both: the official training and test files. test: only the test files are needed, and "
        "every seventh row of each class is a test row; results do not compare with the official split",
    )


class EMNIST(DataSet):
    """One split of EMNIST, upright: the official files hold every image transposed."""

    Options = EMNISTOptions

    def __init__(self, options: Table | None = None) -> None:
        super().__init__(options)
        chosen = cast(EMNISTOptions, self.options)
        self.split, self.part = chosen.split, chosen.part
        self.info = _info(self.split, self.part)

    def forms(self) -> tuple[DataSet, ...]:
        """All six splits."""
        return tuple(EMNIST(EMNISTOptions(split=split, part="both")) for split in FACTS)

    def present(self) -> tuple[DataSet, ...]:
        """Every split that is on this machine, with its test files alone where the others are missing."""
        forms = []
        for split in FACTS:
            both, test = (EMNIST(EMNISTOptions(split=split, part=part)) for part in ("both", "test"))
            if places.complete(both.info):
                forms.append(both)
            elif places.complete(test.info):
                forms.append(test)
        return tuple(forms)

    def found(self) -> list[tuple[SourceFile, Path]]:
        """The idx files of the split. Raises DataError, which says so when the test files alone are there."""
        try:
            return super().found()
        except DataError as reason:
            if self.part == "both" and places.complete(_info(self.split, "test")):
                hint = 'To deal tasks from the test files alone, set `stream.data.part = "test"`.'
                raise DataError(f"{reason} {hint}") from None
            raise

    def decode(self) -> Arrays:
        """Read the idx files of the split. Raises DataError."""
        if self.part == "test":
            return split_every_nth(*self._read(0), TEST_EVERY)
        return Arrays(*self._read(0), *self._read(2))

    def _read(self, position: int) -> tuple[Pixels, Labels]:
        facts = FACTS[self.split]
        images, labels = self.sources()[position : position + 2]
        pixels = np.ascontiguousarray(read_images(images, 28).swapaxes(2, 3))
        return pixels, read_labels(labels, len(pixels), facts.classes, facts.first)


def _info(split: Split, part: str) -> Info:
    facts = FACTS[split]
    files = tuple(
        SourceFile(f"emnist-{split}-{half}-{kind}-ubyte.gz", f"sha256:{value}")
        for (half, kind), value in zip(
            ((half, kind) for half in ("train", "test") for kind in ("images-idx3", "labels-idx1")),
            facts.hashes, strict=True,
        )
    )  # fmt: skip
    both = part == "both"
    return Info(
        name=f"emnist-{split}" if both else f"emnist-{split}-test",
        shape=(1, 28, 28), classes=facts.classes,
        train=facts.train if both else None, test=facts.test if both else None,
        home="https://www.nist.gov/itl/products-and-services/emnist-dataset",
        licence="derived from NIST Special Database 19; no licence file; cite Cohen and others 2017",
        folders=("emnist", "emnist/gzip", "EMNIST/raw"), downloads=(ARCHIVE,),
        files=files if both else files[2:],
    )  # fmt: skip
