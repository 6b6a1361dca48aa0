"""What all tests share: one thread per library, no traces of the job they run in, and options."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

# Before the first array: thread pools of several libraries on few cores only wait for each other.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(_name, "1")
os.environ.setdefault("MPLBACKEND", "Agg")
# A test that ends a rank must not end the job that the tests themselves run in.
os.environ.pop("MPIDCL_STATUS_FILE", None)
# Under nohup SIGHUP is ignored, also by all that tests start; what is caught here, children do not inherit.
if signal.getsignal(signal.SIGHUP) == signal.SIG_IGN:
    signal.signal(signal.SIGHUP, lambda *_: None)

import hypothesis  # noqa: E402
import numpy as np  # noqa: E402
import pytest  # noqa: E402

# How long an example takes says how busy the machine is.
hypothesis.settings.register_profile("mpidcl", deadline=None)
hypothesis.settings.load_profile("mpidcl")

JOB_PREFIXES = ("OMPI_COMM", "PMI_", "PMIX_", "PALS_", "SLURM_", "PBS_", "PRTE_LAUNCHED", "MPIDCL_STATUS")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", help="also run the tests that take minutes")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    skips = {}
    if not config.getoption("--long"):
        skips["long"] = pytest.mark.skip(reason="takes minutes: scripts/test --long")
    if any("gpu" in item.keywords for item in items) and not _has_gpu():
        skips["gpu"] = pytest.mark.skip(reason="no CUDA GPU here")
    for item in items:
        for name, skip in skips.items():
            if name in item.keywords:
                item.add_marker(skip)


def _has_gpu() -> bool:
    import torch

    return torch.cuda.is_available()


@pytest.fixture
def run_folder(tmp_path: Path) -> Path:
    """A folder for one run; it does not exist yet."""
    return tmp_path / "runs" / "test"


@pytest.fixture
def job_free_environment() -> dict[str, str]:
    """The environment without what makes a process a rank of an MPI or batch job."""
    return {name: value for name, value in os.environ.items() if not name.startswith(JOB_PREFIXES)}


@pytest.fixture
def here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., subprocess.CompletedProcess[str]]:
    """`here("run", "x.toml", "--driver", "inprocess")`: the command line, in this process.

    Its folder is that of the test. A start costs seconds of imports: for those who show that one works.
    """
    from mpidcl import cli

    for name in list(os.environ):
        if name.startswith(JOB_PREFIXES):
            monkeypatch.delenv(name)
    monkeypatch.setattr(sys, "path", list(sys.path))

    def run(*words: str | Path) -> subprocess.CompletedProcess[str]:
        capsys.readouterr()
        with monkeypatch.context() as patch, pytest.raises(SystemExit) as end:
            patch.chdir(tmp_path)
            cli.main([str(word) for word in words])
        out, err = capsys.readouterr()
        status = end.value.code
        assert isinstance(status, int)
        return subprocess.CompletedProcess(words, status, out, err)

    return run


@pytest.fixture
def data_folder() -> Callable[[str], Path]:
    """`data_folder("mnist")`: the folder with that data set's real files, or the test is skipped."""

    def find(name: str) -> Path:
        root = os.environ.get("MPIDCL_DATA")
        if root is None or not (Path(root) / name).is_dir():
            pytest.skip(
                f"the real files of {name} are not here: set MPIDCL_DATA to a folder that has {name}/"
            )
        return Path(root) / name

    return find


@pytest.fixture
def untouched_global_generators() -> Iterator[None]:
    """Fail if anything draws from, or seeds, Python's, NumPy's or torch's global generator."""
    import torch

    before = random.getstate(), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002
    yield
    assert random.getstate() == before[0], "Python's global generator was used"
    after = np.random.get_state()  # noqa: NPY002
    assert all(np.array_equal(a, b) for a, b in zip(after, before[1], strict=True)), (
        "NumPy's global generator was used"
    )
    assert torch.equal(torch.get_rng_state(), before[2]), "torch's global generator was used"
