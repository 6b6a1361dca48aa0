"""Pickles are read without being run: plain values come out, the rest is refused, nothing is called."""

from __future__ import annotations

import contextlib
import os
import pickle
import subprocess
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some

from mpidcl.stream.datasets import plain_pickle
from mpidcl.stream.datasets.plain_pickle import UnplainError, read_plain

PLAIN = some.recursive(
    some.none() | some.booleans() | some.integers(-(2**31), 2**31) | some.text() | some.binary(),
    lambda inner: some.lists(inner) | some.dictionaries(some.text(), inner) | some.tuples(inner, inner),
    max_leaves=20,
)


@given(PLAIN, some.sampled_from([3, 4]))
def test_plain_values_come_back(value: Any, protocol: int) -> None:
    assert read_plain(pickle.dumps(value, protocol)) == value


@given(some.binary(max_size=200))
def test_any_bytes_are_read_or_refused(content: bytes) -> None:
    with contextlib.suppress(UnplainError):
        read_plain(content)


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("protocol", [2, 3, 4])
def test_arrays_of_bytes_in_a_dictionary(order: Any, protocol: int) -> None:
    array = np.arange(24, dtype=np.uint8).reshape(4, 6, order=order)
    found = read_plain(pickle.dumps({"data": array}, protocol))["data"]
    assert found.dtype == np.uint8 and np.array_equal(found, array)


def python_2(labels: list[int], pixels: np.ndarray) -> bytes:
    """A file as the official ones are: instructions, in their order, that Python 2 wrote."""
    numbers = b"".join(b"K" + bytes([label]) for label in labels)
    rows, columns = (b"M" + each.to_bytes(2, "little") for each in pixels.shape)
    name = b"cnumpy\ndtype\nq\x0bU\x02u1q\x0cK\x00K\x01\x87Rq\r"
    dtype = name + b"(K\x03U\x01|NNN" + 2 * b"J\xff\xff\xff\xff" + b"K\x00tb"
    state = b"(K\x01" + rows + columns + b"\x86q\n" + dtype + b"\x89T" + pixels.nbytes.to_bytes(4, "little")
    array = b"cnumpy.core.multiarray\n_reconstruct\nq\x07cnumpy\nndarray\nq\x08K\x00\x85U\x01b\x87Rq\x09"
    head = b"\x80\x02}q\x01(U\x0bbatch_labelq\x02U\x15training batch 1 of 1q\x03U\x0bfine_labelsq\x04]q\x05("
    return head + numbers + b"eU\x04dataq\x06" + array + state + pixels.tobytes() + b"tbu."


def test_a_file_that_python_2_wrote() -> None:
    pixels = np.arange(12, dtype=np.uint8).reshape(4, 3)
    content = python_2([3, 1, 2, 255], pixels)
    as_python_reads_it = pickle.loads(content, encoding="bytes")  # noqa: S301  # our own
    assert as_python_reads_it[b"fine_labels"] == [3, 1, 2, 255]
    found = read_plain(content)
    assert found[b"fine_labels"] == [3, 1, 2, 255] and np.array_equal(found[b"data"], pixels)
    assert found[b"batch_label"] == b"training batch 1 of 1"


class Evil:
    def __init__(self, function: Any, *arguments: Any) -> None:
        self.made = function, arguments

    def __reduce__(self) -> Any:
        return self.made


def evil_pickles(trace: Path) -> dict[str, bytes]:
    touch = f"touch {trace}"
    calls = {
        "system": Evil(os.system, touch),
        "popen": Evil(subprocess.Popen, touch, 0, None, None, None, None, None, True, True),
        "eval": Evil(eval, f"open({str(trace)!r}, 'w')"),
        "open": Evil(open, str(trace), "w"),
        "numpy load": Evil(np.load, str(trace)),
        "reconstruct": Evil(np.ndarray, (3,), "O"),
    }
    made = {}
    for protocol in (2, 3, 4, 5):
        for name, call in calls.items():
            made[f"{name} {protocol}"] = pickle.dumps(call, protocol)
            made[f"{name} in data {protocol}"] = pickle.dumps({"data": call, "fine_labels": [1]}, protocol)
            made[f"{name} as label {protocol}"] = pickle.dumps({"data": 1, "fine_labels": [call]}, protocol)
    made["text"] = f"cos\nsystem\n(S'{touch}'\ntR.".encode()
    imported = "c__builtin__\n__import__\n(S'os'\ntR"
    made["nested"] = f"c__builtin__\ngetattr\n({imported}S'system'\ntR(S'{touch}'\ntR.".encode()
    made["instance"] = f"(S'{touch}'\nios\nsystem\n.".encode()
    made["new object"] = b"\x80\x02csubprocess\nPopen\n(]q\x00U\x02lstR\x81."
    made["state"] = b"\x80\x02cbuiltins\nobject\n)R}U\x09__class__cos\nsystem\nsb."
    return made


def test_nothing_is_ever_called_or_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trace = tmp_path / "trace"
    files = evil_pickles(trace)

    def refuse(*_: object, **__: object) -> None:
        raise SystemError("a pickle was run")

    for name in ("load", "loads", "Unpickler", "_Unpickler"):
        monkeypatch.setattr(pickle, name, refuse)
    for name, content in files.items():
        try:
            found = read_plain(content)
        except UnplainError:
            continue
        assert "label" in name and isinstance(found["fine_labels"][0], plain_pickle.Made), name
    assert not trace.exists()


def test_what_is_left_of_a_call_is_no_label(tmp_path: Path) -> None:
    content = evil_pickles(tmp_path / "trace")["system as label 2"]
    with pytest.raises(TypeError):
        np.array(read_plain(content)["fine_labels"], dtype=np.int64)


def test_other_classes_are_refused() -> None:
    for value in (OrderedDict(a=1), {"data": np.zeros(3)}, {"data": np.array([object()])}, {1, 2}, 1j):
        with pytest.raises(UnplainError):
            read_plain(pickle.dumps(value, 2))


def test_cuts_and_flipped_bits_are_read_or_refused() -> None:
    array = np.arange(12, dtype=np.uint8).reshape(4, 3)
    good = pickle.dumps({"data": array, "fine_labels": [1, 2, 3, 4]}, 2)
    for length in range(len(good)):
        with pytest.raises(UnplainError):
            read_plain(good[:length])
    for bit in range(8 * len(good)):
        damaged = bytearray(good)
        damaged[bit // 8] ^= 1 << bit % 8
        with contextlib.suppress(UnplainError):
            read_plain(bytes(damaged))


def test_a_huge_promise_takes_no_memory() -> None:
    with pytest.raises(UnplainError):
        read_plain(b"\x80\x03B\xff\xff\xff\x7fabc.")
    with pytest.raises(UnplainError):
        read_plain(b"\x80\x04\x8e\xff\xff\xff\xff\xff\xff\xff\x7fabc.")
