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


def job(environment: dict[str, str], *program: str) -> subprocess.Popen[str]:
    """A program of Python on two ranks, which ends in time."""
    pytest.importorskip("mpi4py")
    command = [
        sys.executable,
        "-m",
        "mpidcl.launch",
        "2",
        "280",
        "--",
        sys.executable,
        "-m",
        "mpi4py",
        *program,
    ]
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def printed(job: subprocess.Popen[str]) -> str:
    out, errors = job.communicate()
    assert job.returncode == 0, errors
    return out


def example(name: str) -> str:
    return str(ROOT / "examples" / "replay" / name)


@pytest.mark.timeout(300)
def test_the_example_keeps_the_old_digits(job_free_environment: dict[str, str]) -> None:
    out = printed(job(job_free_environment, example("in_your_loop.py"), "der"))
    (known,) = re.findall(r"der: ([\d.]+) % of all digits, with 200 rows on ranks: \[100 100\]", out)
    assert float(known) > 75


@pytest.mark.timeout(300)
def test_the_buffer_works_beside_ddp_and_two_such_jobs_do_not_meet(
    job_free_environment: dict[str, str],
) -> None:
    jobs = [job(job_free_environment, example("beside_ddp.py"), word) for word in ("er", "none")]
    outs = [printed(each) for each in jobs]  # both at the same time on one machine
    known = [float(*re.findall(r": ([\d.]+) % of all digits", out)) for out in outs]
    assert known[0] > 75 and known[1] < 40
    assert all(int(*re.findall(r"sent (\d+) rows", out)) > 2000 for out in outs)


ALL_METHODS = """
import runpy, sys
main = runpy.run_path(sys.argv[1])["main"]
for method in ("er", "der", "none"):
    main(method, 15, 0)
"""


@pytest.mark.timeout(300)
def test_a_language_model_keeps_its_old_texts_and_finds_them(job_free_environment: dict[str, str]) -> None:
    out = printed(job(job_free_environment, "-c", ALL_METHODS, example("language_model.py")))
    er, der, none = (float(bits) for bits in re.findall(r": ([\d.]+) bits per byte", out))
    assert er < none - 1 and der < none - 1
    found = re.findall(r"(\w+) (\d+) %(?! by)", out)[:4]
    assert [name for name, _ in found] == ["English", "Python", "C", "numbers"]
    assert all(int(share) > 25 for _, share in found) and sum(int(share) for _, share in found) > 180
