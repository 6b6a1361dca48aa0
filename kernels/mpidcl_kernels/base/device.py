"""Where CUDA kernels run: CuPy on a GPU. Tests pass a device that runs the same sources on the CPU."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Protocol, TypeVar

from mpidcl_kernels.base.types import ArrayModule, View

T = TypeVar("T")

SOURCES = Path(__file__).parents[1]
C_NAMES = {"float32": "float", "float64": "double"}
"""What the sources call the types of our arrays."""
OPTIONS = ("--std=c++17", "--fmad=true")

Arguments = tuple[View | float, ...]
"""Of a kernel: Python ints are `long long` in the source, floats `double`, bools `bool`."""
Launch = Callable[[int | tuple[int, ...], int, Arguments], None]
"""(blocks, threads per block, arguments)."""


class Device(Protocol):
    """What the host code of a CUDA kernel needs. `xp` is the array module: `empty`, `asarray`, `astype`..."""

    @property
    def xp(self) -> ArrayModule: ...

    def kernel(self, source: str, name: str, **defines: str) -> Launch:
        """Function `name` of `SOURCE/SOURCE.cu`, compiled with -DKEY=VALUE for each of `defines`."""


class RawModule(Protocol):
    """CUDA sources that CuPy has compiled."""

    def get_function(self, name: str) -> Callable[[tuple[int, ...], tuple[int], Arguments], None]: ...


class TorchDevice(Protocol):
    """A GPU of torch."""

    @property
    def index(self) -> int: ...


class Tensor(Protocol):
    """A torch tensor on a GPU."""

    @property
    def device(self) -> TorchDevice: ...


class CupyDevice:
    """The GPU that is current in this process, through CuPy."""

    @property
    def xp(self) -> ArrayModule:
        import cupy

        module: ArrayModule = cupy
        return module

    def kernel(self, source: str, name: str, **defines: str) -> Launch:
        import cupy

        return _function(source, name, tuple(sorted(defines.items())), cupy.cuda.Device().id)


def host(array: T) -> T:
    """A NumPy array of a CuPy array's values; anything else as it is."""
    return array.get() if hasattr(array, "get") else array


def source_text(source: str) -> str:
    """The text of `SOURCE/SOURCE.cu`."""
    return (SOURCES / source / f"{source}.cu").read_text()


@functools.cache
def cupy_device() -> CupyDevice:
    """The one device object of this process."""
    return CupyDevice()


@functools.cache
def _module(source: str, defines: tuple[tuple[str, str], ...], device: int) -> RawModule:
    import cupy

    options = (*OPTIONS, *(f"-D{key}={value}" for key, value in defines))
    module: RawModule = cupy.RawModule(code=source_text(source), options=options)
    return module


@functools.cache
def _function(source: str, name: str, defines: tuple[tuple[str, str], ...], device: int) -> Launch:
    function = _module(source, defines, device).get_function(name)

    def launch(blocks: int | tuple[int, ...], threads: int, arguments: Arguments) -> None:
        function(blocks if isinstance(blocks, tuple) else (blocks,), (threads,), arguments)

    return launch


@dataclass(frozen=True)
class _Owned:
    """A stream of somebody else, in the form that CuPy takes (the CUDA stream protocol, version 0)."""

    handle: int

    def __cuda_stream__(self) -> tuple[int, int]:
        return 0, self.handle


@contextmanager
def torch_stream(torch: ModuleType, device: TorchDevice) -> Iterator[None]:
    """CuPy works on torch's current stream of `device`."""
    import cupy

    owned = _Owned(torch.cuda.current_stream(device).cuda_stream)
    with cupy.cuda.Device(device.index), cupy.cuda.Stream.from_external(owned):
        yield
