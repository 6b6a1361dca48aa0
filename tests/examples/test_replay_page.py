"""docs/replay.md, and the example that it points to, run as they are."""

from __future__ import annotations

import doctest
import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

from mpidcl.replay import GlobalReplay

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "replay.md"


def test_the_page_runs() -> None:
    done = doctest.testfile(str(PAGE), module_relative=False)
    assert done.attempted >= 6 and done.failed == 0


def test_the_page_names_every_parameter() -> None:
    named = re.findall(r"`(\w+)`", PAGE.read_text().split("## Parameters")[1].split("| policy |")[0])
    known = [name for name in inspect.signature(GlobalReplay).parameters if name not in ("comm", "options")]
    assert set(known) <= set(named)


def test_the_example_keeps_the_old_digits(job_free_environment: dict[str, str]) -> None:
    pytest.importorskip("mpi4py")
    example = ROOT / "examples" / "replay" / "in_your_loop.py"
    command = [sys.executable, "-m", "mpidcl.launch", "2", "100", "--", sys.executable, str(example), "der"]
    done = subprocess.run(command, env=job_free_environment, capture_output=True, text=True, timeout=110)
    assert done.returncode == 0, done.stderr
    (known,) = re.findall(r"der: ([\d.]+) % of all digits, with 200 rows on ranks: \[100 100\]", done.stdout)
    assert float(known) > 75
