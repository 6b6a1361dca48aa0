#!/usr/bin/env python
"""The parts of scripts/gpu-check; see there. Exit status: 0 all passed, 1 something failed, 2 no GPU."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
EXAMPLE = ROOT / "examples" / "quickstart.toml"
SHARE = 0.70
"""Part of the GPU's copy bandwidth that kernels with a bandwidth limit should reach."""
NOISE = 0.02
"""Difference of final accuracies between CPU and GPU that seeds alone make."""


def tests() -> bool:
    """All tests that are marked `gpu`."""
    words = ["-m", "gpu", "-q", "-p", "no:cacheprovider", "tests/gpu", "tests/unit"]
    return subprocess.run([sys.executable, "-m", "pytest", *words], cwd=ROOT, check=False).returncode == 0


def kernels() -> bool:
    """`mpidcl bench kernels` on the GPU; every kernel with a limit should reach its share."""
    with tempfile.TemporaryDirectory() as folder:
        lines = Path(folder) / "lines"
        mpidcl("bench", "kernels", "--device", "cuda", "--json", str(lines))
        rows = [json.loads(line) for line in lines.read_text().splitlines()]
    slow = [row for row in rows if row.get("share_of_limit", 1) < SHARE]
    for row in slow:
        print(
            f"{row['kernel']}, {row['size']}: {100 * row['share_of_limit']:.0f} % of the copy bandwidth,"
            f" should be {100 * SHARE:.0f} % or more"
        )
    return not slow


def run() -> bool:
    """Four ranks on one GPU twice: one digest; and about the accuracy of the CPU."""
    with tempfile.TemporaryDirectory() as folder:
        first, second = (summary(Path(folder) / name, "cuda") for name in ("first", "second"))
        cpu = summary(Path(folder) / "cpu", "cpu")
    found, expected = (one["metrics"]["final_accuracy"] for one in (first, cpu))
    print(f"digests: {first['digest'][:16]} and {second['digest'][:16]} on the GPU")
    print(f"final accuracy: {100 * found:.2f} % on the GPU, {100 * expected:.2f} % on the CPU")
    return first["digest"] == second["digest"] and abs(found - expected) <= NOISE


def summary(out: Path, device: str) -> dict:  # type: ignore[type-arg]
    """What one run of the example left in its summary.json."""
    mpidcl("run", str(EXAMPLE), "-n", "4", "--out", str(out), "--quiet", "--set", f"learning.device={device}")
    return json.loads((out / "summary.json").read_text())


def mpidcl(*words: str) -> None:
    """Run a command of mpidcl; ends the check when it fails."""
    done = subprocess.run([sys.executable, "-m", "mpidcl", *words], cwd=ROOT, check=False)
    if done.returncode:
        raise SystemExit(f"mpidcl {' '.join(words)} ended with {done.returncode}")


PARTS: dict[str, Callable[[], bool]] = {"tests": tests, "kernels": kernels, "run": run}


def missing() -> str | None:
    """What this machine lacks, or None."""
    for name in ("torch", "cupy", "mpi4py", "pytest"):
        if importlib.util.find_spec(name) is None:
            return f"{name} cannot be imported by {sys.executable}"
    import torch

    if not torch.cuda.is_available():
        return f"torch {torch.__version__} finds no CUDA GPU (a CPU build of torch never does)"
    print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}")
    return None


def main(names: list[str]) -> int:
    if wrong := [name for name in names if name not in PARTS]:
        print(f"Parts are {', '.join(PARTS)}. Found {', '.join(wrong)}.", file=sys.stderr)
        return 2
    if lack := missing():
        print(f"gpu-check needs an NVIDIA GPU: {lack}. Nothing was checked.", file=sys.stderr)
        return 2
    failed = [name for name in names or PARTS if not PARTS[name]()]
    print(f"FAILED: {', '.join(failed)}" if failed else "passed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
