"""Decoded arrays are compared with what the data set says of itself; the message says what to change."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mpidcl.errors import DataError
from mpidcl.stream.datasets.base import Arrays, Info
from mpidcl.stream.datasets.catalogue import make
from mpidcl.stream.datasets.soundness import sound

INFO = Info("own", (1, 2, 3), 4, None, None, "here", "CC0")
X = np.arange(48, dtype=np.uint8).reshape(8, 1, 2, 3)
Y = np.arange(8) % 4


def arrays(**changed: Any) -> Arrays:
    return Arrays(**({"train_x": X, "train_y": Y, "test_x": X[:4], "test_y": Y[:4]} | changed))


def test_sound_arrays_pass_and_labels_become_int64() -> None:
    for kind in (np.int64, np.uint8, np.int32, np.uint64):
        passed = sound(INFO, arrays(train_y=Y.astype(kind)))
        assert passed.train_y.dtype == np.int64 and np.array_equal(passed.train_y, Y)
        assert passed.train_x is X


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "fractions": (
        {"train_x": (X / 48).astype(np.float32)},
        r"train_x should hold bytes \(uint8\) from 0 to 255. Found float32 from 0 to 0.979167. "
        r"Convert them: \(x \* 255\).round\(\).astype\(np.uint8\).",
    ),
    "floats": ({"test_x": X[:4].astype(float)}, r"test_x should hold bytes.*float64.*x.round\(\)"),
    "wide integers": ({"train_x": X.astype(np.int64)}, "train_x should hold bytes.*Found int64 from 0 to 47"),
    "objects": ({"train_x": X.astype(object)}, "train_x should hold bytes.*Found object"),
    "cut fractions": ({"train_x": X // 40}, "nothing but 0 and 1. Multiply fractions by 255"),
    "another shape": (
        {"train_x": X.reshape(8, 2, 3)}, r"shape \[n, 1, 2, 3\] that `info.shape` says. Found \[8, 2, 3\]"
    ),
    "channels last": ({"train_x": X.transpose(0, 2, 3, 1)}, r"Found \[8, 2, 3, 1\]. Reshape or transpose"),
    "no images": ({"test_x": X[:0], "test_y": Y[:0]}, "test_x should hold at least one image. Found 0"),
    "too few labels": ({"train_y": Y[:7]}, "one label for each of the 8 images of train_x. Found 7"),
    "one-hot": ({"train_y": np.eye(4)[Y]}, r"one class id per image. Found \[8, 4\]. Of one-hot rows take"),
    "labels as floats": ({"test_y": Y[:4] + 0.0}, "test_y should hold class ids as integers. Found float64"),
    "labels as text": ({"train_y": Y.astype(str)}, "integers. Found <U21"),
    "yes and no": ({"train_y": Y > 1}, "integers. Found bool"),
    "counted from 1": (
        {"train_y": Y + 1}, r"from 0 to 3 \(`info.classes` = 4\). Found 4 at row 3. Count classes from 0"
    ),
    "negative": ({"train_y": Y - 1}, "Found -1 at row 0"),
    "a list": ({"train_x": X.tolist()}, "train_x should be a NumPy array. Found list"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_wrong_arrays(case: str) -> None:
    changed, says = WRONG[case]
    with pytest.raises(DataError, match=f"The data set own: .*{says}"):
        sound(INFO, arrays(**changed))


def test_a_wrong_maximum_and_no_arrays_at_all() -> None:
    with pytest.raises(DataError, match="up to `info.maximum` = 16. Found 47. Change `info.maximum`"):
        sound(Info("own", (1, 2, 3), 4, None, None, "", "", maximum=16), arrays())
    with pytest.raises(DataError, match=r"`decode` of the data set own should return Arrays\(.*Found tuple"):
        sound(INFO, (X, Y, X, Y))
    with pytest.raises(DataError, match="info.maximum should be at most 255"):
        sound(Info("own", (1, 2, 3), 4, None, None, "", "", maximum=65535), arrays())


def test_two_levels_are_fine_when_the_data_set_says_so() -> None:
    info = Info("own", (1, 2, 3), 4, None, None, "", "", maximum=1)
    sound(info, arrays(train_x=X % 2, test_x=X[:4] % 2))


OWN = """
import numpy as np
from mpidcl.stream.datasets.base import Arrays, DataSet, Info
class Own(DataSet):
    info = Info("own", (1, 2, 2), 2, None, None, "", "")
    def decode(self):
        x = np.random.default_rng(0).random((4, 1, 2, 2), np.float32)
        return Arrays(x, np.array([0, 1, 0, 1]), x, np.array([0, 1, 0, 1]))
"""


def test_a_users_own_data_set_is_checked_before_it_is_kept(
    written: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own_floats.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(DataError, match="The data set own: train_x should hold bytes"):
        make("own_floats:Own").load()
    assert not list(tmp_path.rglob("*.npy"))
