"""A device for the host code of CUDA kernels that runs their sources on the CPU, compiled by g++.

Arrays are NumPy's. What it cannot show: speed, and what only real hardware does with races between threads.
"""

from __future__ import annotations

import ctypes
import functools
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mpidcl_kernels.base.device import Launch, source_text

GUARD = 4096
"""Bytes before and after every array that a kernel must not touch."""
SHIM = Path(__file__).with_name("shim.h")
KERNEL = re.compile(
    r'extern\s+"C"\s+__global__\s+void\s+(?:__launch_bounds__\([^)]*\)\s+)?(\w+)\s*\(([^)]*)\)'
)
needs_compiler = pytest.mark.skipif(shutil.which("g++") is None, reason="needs g++ to run CUDA C on the CPU")


class EmulatedDevice:
    """Runs kernels block by block; `launches` counts them."""

    xp = np

    def __init__(self) -> None:
        self.launches = 0

    def kernel(self, source: str, name: str, **defines: str) -> Launch:
        function = getattr(_library(source, tuple(sorted(defines.items()))), f"run_{name}")

        def launch(blocks: int | tuple[int, ...], threads: int, arguments: tuple[Any, ...]) -> None:
            self.launches += 1
            grid = (*(blocks if isinstance(blocks, tuple) else (blocks,)), 1, 1)[:3]
            if min(grid) < 1 or not 1 <= threads <= 1024 or max(grid[1:]) > 65535 or grid[0] >= 2**31:
                raise ValueError(f"a GPU refuses a launch of {grid} blocks of {threads} threads")
            with _guarded(arguments) as guarded:
                function(*(ctypes.c_uint(size) for size in (*grid, threads)), *map(_c_value, guarded))

        return launch


@contextmanager
def _guarded(arguments: tuple[Any, ...]) -> Iterator[list[Any]]:
    """Arguments with their arrays moved between guards, which must be untouched afterwards.

    Arrays that share memory stay where they are: what is written to one must show in the other.
    """
    arrays = [a for a in arguments if isinstance(a, np.ndarray)]
    if any(np.shares_memory(a, b) for i, a in enumerate(arrays) for b in arrays[:i]):
        yield list(arguments)
        return
    moved, guards = [], []
    for number, argument in enumerate(arguments):
        if isinstance(argument, np.ndarray):
            _c_value(argument)
            block = np.full(argument.nbytes + 2 * GUARD, 0xA5, np.uint8)
            inside = block[GUARD : GUARD + argument.nbytes]
            inside[:] = argument.reshape(-1).view(np.uint8)
            guards.append((number, argument, block, inside))
            moved.append(inside.view(argument.dtype).reshape(argument.shape))
        else:
            moved.append(argument)
    yield moved
    for number, argument, block, inside in guards:
        if (block[:GUARD] != 0xA5).any() or (block[GUARD + argument.nbytes :] != 0xA5).any():
            raise IndexError(f"argument {number} was written outside of its {argument.nbytes} bytes")
        if (inside != argument.reshape(-1).view(np.uint8)).any():
            argument.reshape(-1).view(np.uint8)[:] = inside


def _c_value(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        if not value.flags.c_contiguous or value.ctypes.data % value.dtype.itemsize:
            raise ValueError("CUDA sources expect contiguous, aligned arrays")
        return ctypes.c_void_p(value.ctypes.data)
    if isinstance(value, bool):
        return ctypes.c_bool(value)
    if isinstance(value, int):
        return ctypes.c_longlong(value)
    if isinstance(value, float):
        return ctypes.c_double(value)
    raise TypeError(f"kernel arguments should be arrays, bool, int or float. Found {type(value)}.")


@functools.cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="cuda-on-cpu-")


@functools.cache
def _library(source: str, defines: tuple[tuple[str, str], ...]) -> ctypes.CDLL:
    text = source_text(source)
    # After the shim: a define such as T=float must not touch its templates.
    begin = [f'#include "{SHIM}"', *(f"#define {key} {value}" for key, value in defines)]
    code = [*begin, text, *(_wrapper(*found) for found in KERNEL.findall(text))]
    stem = Path(_folder().name) / "-".join([source, *(f"{k}={v}" for k, v in defines)]).replace(" ", "_")
    stem.with_suffix(".cpp").write_text("\n".join(code))
    command = ["g++", "-std=c++17", "-O1", "-shared", "-fPIC", "-w", "-o", f"{stem}.so", f"{stem}.cpp"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"g++ does not accept {source}.cu:\n{done.stderr}")
    return ctypes.CDLL(f"{stem}.so")


def _wrapper(name: str, parameters: str) -> str:
    """A C function `run_NAME(gx, gy, gz, threads, parameters...)`."""
    words = [" ".join(p.split()) for p in parameters.split(",")]
    for word in words:
        if "*" not in word and not re.match(r"(const )?(long long|double|bool) \w+$", word):
            raise TypeError(f"{name}: scalars should be long long, double or bool. Found `{word}`.")
    names = [re.findall(r"\w+", word)[-1] for word in words]
    grid = "unsigned gx, unsigned gy, unsigned gz, unsigned threads"
    return (
        f'extern "C" void run_{name}({grid}, {", ".join(words)}) '
        f"{{ fibers::launch(gx, gy, gz, threads, [=] {{ {name}({', '.join(names)}); }}); }}"
    )
