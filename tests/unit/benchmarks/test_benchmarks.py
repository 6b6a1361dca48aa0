"""What `mpidcl bench` measures: cases that agree with their alternatives, and rows that can be read."""

import importlib
import json
import sys

import numpy as np
import pytest

from mpidcl.benchmarks import kernels
from mpidcl.benchmarks.case import Case
from mpidcl.benchmarks.devices import choose
from mpidcl.benchmarks.table import COLUMNS, cells, lines, markdown
from mpidcl.benchmarks.timing import in_turn, ratio
from mpidcl.cli import main
from mpidcl.errors import ExperimentError


@pytest.fixture
def tiny(monkeypatch):
    x = np.ones(1000, np.float32)

    class Module:
        @staticmethod
        def cases(place):
            yield Case(
                "twice", "1,000", lambda: 2 * place(x), {"add": lambda: x + x}, 4000, "read", threads=1
            )
            yield Case("half", "1,000 of |a|", lambda: x / 2, rows=1000, target="2 us")

    monkeypatch.setattr(kernels, "MODULES", ("tiny",))
    monkeypatch.setitem(sys.modules, "mpidcl.benchmarks.tiny", Module)


def test_rows_hold_what_a_reader_compares(tiny):
    rows = list(kernels.measure(choose("cpu"), "", rounds=2))
    twice, half = rows[0], rows[1]
    assert (twice["kernel"], twice["threads"]) == ("twice", 1)
    assert twice["GB_per_s"] == pytest.approx(4000 / twice["seconds"] / 1e9)
    assert 0 < twice["share_of_limit"] == pytest.approx(twice["GB_per_s"] / twice["limit_GB_per_s"], rel=0.9)
    assert set(twice["others"]) == {"add"}
    assert half["rows_per_s"] == pytest.approx(1000 / half["seconds"])
    assert {row["threads"] for row in rows[1:]} == {1, kernels.cores()}
    assert all(len(cells(row)) == len(COLUMNS) for row in rows)
    assert "add" in lines(twice)
    assert markdown(rows)[2].startswith("| twice | 1,000 | 1 | ")
    assert markdown(rows)[3].startswith(r"| half | 1,000 of \|a\| | 1 | ")
    json.dumps(rows)


def test_the_command_prints_and_appends(tiny, tmp_path, capsys):
    out = tmp_path / "lines"
    with pytest.raises(SystemExit) as end:
        main(["bench", "kernels", "--only", "twi", "--rounds", "1", "--json", str(out)])
    said = capsys.readouterr().out
    assert end.value.code == 0, said
    assert "twice" in said
    assert "half" not in said
    assert [json.loads(line)["kernel"] for line in out.read_text().splitlines()] == ["twice"]


def test_an_unknown_kernel_is_said(tiny):
    with pytest.raises(ExperimentError, match="No kernel is named like 'thrice'"):
        list(kernels.measure(choose("cpu"), "thrice"))


@pytest.mark.skipif("__import__('torch').cuda.is_available()", reason="there is a GPU here")
def test_a_missing_gpu_is_said():
    with pytest.raises(ExperimentError, match="needs an NVIDIA GPU"):
        choose("cuda")


def test_contestants_take_turns():
    calls = []
    seconds = in_turn({"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, rounds=3)
    assert {name: len(found) for name, found in seconds.items()} == {"a": 3, "b": 3}
    assert "".join(calls).rstrip("b").count("ab") >= 3
    assert ratio([2.0, 4.0, 9.0], [1.0, 1.0, 3.0]) == 3


@pytest.mark.parametrize("name", kernels.MODULES)
def test_every_module_of_cases_runs_its_first_case(name):
    case = next(iter(importlib.import_module(f"mpidcl.benchmarks.{name}").cases(lambda array: array)))
    case.work()
    for other in case.others.values():
        other()
