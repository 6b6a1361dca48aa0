"""What arrays are to a type checker, without importing the libraries that they come from.

| name | what it is |
|---|---|
| `Array` | what a public function is given: of NumPy or CuPy, or a torch tensor |
| `View` | the same memory as `unwrap` shows it: of NumPy or CuPy |
| `Floats`, `Doubles`, `Index`, `Integers` | NumPy arrays of a known dtype |
| `CudaArray` | what CuPy's arrays have beside the methods that they share with NumPy's |
| `ArrayModule` | NumPy or CuPy itself |
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any, Literal, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

Doubles = npt.NDArray[np.float64]
Floats = npt.NDArray[np.floating[Any]]
Index = npt.NDArray[np.int64]
Integers = npt.NDArray[np.integer[Any]]
Mask = npt.NDArray[np.bool_]
Bytes = npt.NDArray[np.uint8]

View = npt.NDArray[Any]
"""A NumPy array of a dtype that is checked when it runs; or a CuPy array, which has the same methods."""
Given = View | Any
"""The view of an argument that may have been None: who called `unwrap` knows which may, and need not ask."""

Shape = int | tuple[int, ...]


class Array(Protocol):
    """A NumPy or CuPy array, or a torch tensor on the CPU or a GPU."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    @property
    def dtype(self) -> object: ...

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[Array]: ...


ArrayT = TypeVar("ArrayT", bound=Array)
"""The kind of array that the caller has: results are of that kind, too."""
FloatT = TypeVar("FloatT", bound=np.floating[Any])
IntT = TypeVar("IntT", bound=np.integer[Any])
ScalarT = TypeVar("ScalarT", bound=np.generic)
"""The dtype of a NumPy array that the caller has, and of the result."""


Inlined = Callable[..., Any]
"""What compiled loops call. They are written without types, for numba finds these at each call."""


class Decorator(Protocol):
    """One of numba's, of which only new versions have types."""

    def __call__(self, function: Callable[..., object], /) -> Inlined: ...


class CudaDevice(AbstractContextManager[object], Protocol):
    """A GPU of CuPy; `with` makes it the current one."""

    @property
    def id(self) -> int: ...


class CudaMemory(Protocol):
    """Where a CuPy array begins."""

    @property
    def ptr(self) -> int: ...


class CudaArray(Protocol):
    """What a CuPy array has and a NumPy array has not."""

    @property
    def device(self) -> CudaDevice: ...

    @property
    def data(self) -> CudaMemory: ...

    @property
    def dtype(self) -> np.dtype[np.generic]: ...

    def get(self) -> View:
        """Its values as a NumPy array."""


class ArrayModule(Protocol):
    """What the host code of CUDA kernels calls of CuPy; NumPy has it, too."""

    @property
    def nan(self) -> float: ...

    def empty(self, shape: Shape, /, dtype: npt.DTypeLike = ...) -> View: ...

    def zeros(self, shape: Shape, /, dtype: npt.DTypeLike = ...) -> View: ...

    def eye(self, size: int, /, *, dtype: npt.DTypeLike = ...) -> View: ...

    def arange(self, stop: int, /) -> View: ...

    def array(self, values: View, /, dtype: npt.DTypeLike, *, order: Literal["K", "C"] = ...) -> View: ...

    def asarray(self, values: npt.ArrayLike, /, dtype: npt.DTypeLike = ...) -> View: ...

    def ascontiguousarray(self, values: View, /, dtype: npt.DTypeLike = ...) -> View: ...

    def concatenate(self, arrays: Sequence[View], /) -> View: ...

    def where(self, condition: View, yes: View | float, no: View | float, /) -> View: ...

    def clip(self, values: View, low: float, high: float, /) -> View: ...

    def sqrt(self, values: View, /) -> View: ...

    def isfinite(self, values: View, /) -> View: ...

    def diagonal(self, matrix: View, /) -> View: ...

    def cumsum(self, values: View, /, *, axis: int) -> View: ...

    def argsort(self, values: View, /, *, kind: Literal["stable"]) -> View: ...

    def may_share_memory(self, one: View, other: View, /) -> bool: ...
