"""scripts/gpu-check says what is missing where there is no GPU; on a GPU machine people run it by hand."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

SCRIPT = Path(__file__).parents[2] / "scripts" / "gpu-check"


def check(*words):
    environment = {**os.environ, "PYTHON": sys.executable}
    return subprocess.run([SCRIPT, *words], capture_output=True, text=True, env=environment, check=False)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_without_a_gpu_nothing_is_claimed():
    done = check()
    assert done.returncode == 2
    assert "Nothing was checked" in done.stderr
    assert "passed" not in done.stdout


def test_unknown_parts_are_named():
    done = check("kernel")
    assert done.returncode == 2
    assert "Parts are tests, kernels, run. Found kernel." in done.stderr
