"""Which arrays a kernel was given, and where they are: NumPy, CuPy, or torch tensors; never copied.

A torch tensor is recognised by what it offers (`__cuda_array_interface__` on a GPU, `__array__` on the
CPU), so torch is not imported here. Results come back as what the first argument was.

    arrays, home = unwrap(rows=rows, weights=weights)
    if home.device is None:        # NumPy arrays
        return home.wrap(...)
    with home.stream():            # CuPy arrays; work goes to the stream that their owner uses
        return home.wrap(...)
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import numpy as np

from mpidcl_kernels.base.errors import bad_type
from mpidcl_kernels.base.types import Array, ArrayModule, CudaArray, Given, View

if TYPE_CHECKING:
    from mpidcl_kernels.base.device import Device


def _unchanged(result: View) -> Array:
    return result


@dataclass(frozen=True, slots=True)
class Home:
    """Where the arguments live. `device` is None on the CPU; `wrap` turns results into the caller's type."""

    device: Device | None = None
    wrap: Callable[[View], Array] = _unchanged
    stream: Callable[[], AbstractContextManager[object]] = nullcontext

    @property
    def xp(self) -> ArrayModule:
        """The module of the arrays: NumPy, or CuPy."""
        return np if self.device is None else self.device.xp


CPU = Home()


def unwrap(**arguments: object) -> tuple[list[Given], Home]:
    """NumPy or CuPy views of the arguments, in order (None stays None), and their home.

    Raises TypeError for what is no array, for a tensor that cannot be viewed (it requires a gradient, or
    NumPy lacks its dtype), and for arguments on different devices.

    >>> unwrap(x=np.ones(2), out=None)
    ([array([1., 1.]), None], Home(device=None, wrap=<function _unchanged at ...>, stream=<class ...>))
    """
    found: list[Given] = list(arguments.values())
    if all(type(array) is np.ndarray or array is None for array in found):
        return found, CPU
    views: list[Given] = [None if a is None else view(a, name) for name, a in arguments.items()]
    given = [(name, a, v) for (name, a), v in zip(arguments.items(), views, strict=True) if a is not None]
    name, first, first_view = given[0]
    for other_name, _, other_view in given[1:]:
        if where(other_view) != where(first_view):
            raise bad_type(other_name, f"on {where(first_view)}, like `{name}`", f"it on {where(other_view)}")
    return views, _home(first, first_view)


def view(array: object, name: str) -> View:
    """`array` as a NumPy or CuPy array on the same memory. Raises TypeError as `unwrap`."""
    if isinstance(array, np.ndarray):
        return array
    try:
        # A torch tensor on a GPU that requires a gradient raises already when it is asked.
        if hasattr(array, "__cuda_array_interface__"):
            import cupy  # the owner of a CUDA array has a GPU; cupy is what runs our kernels there

            if isinstance(array, cupy.ndarray):
                return array  # type: ignore[no-any-return]
            # Else `asarray` would copy a tensor that is not on the current device.
            with cupy.cuda.Device(getattr(getattr(array, "device", None), "index", None)):
                found: View = cupy.asarray(array)
                return found
        if hasattr(array, "__array__") and not isinstance(array, np.generic):
            return np.asarray(array)
    except (TypeError, RuntimeError, ValueError) as error:
        raise bad_type(name, "an array that NumPy can view (detached, of a NumPy dtype)", error) from None
    raise bad_type(name, "a NumPy or CuPy array or a torch tensor", _type_name(array))


def address(array: View | CudaArray) -> int:
    """Where the first value of a NumPy or CuPy array is, in the memory of its device."""
    return int(array.ctypes.data if isinstance(array, np.ndarray) else array.data.ptr)


def where(array: View | CudaArray) -> str:
    """The device of a NumPy or CuPy array, in words: "the CPU", "cuda:0"."""
    return "the CPU" if isinstance(array, np.ndarray) else f"cuda:{array.device.id}"


def _type_name(array: object) -> str:
    return f"{type(array).__module__}.{type(array).__qualname__}"


def _home(first: object, first_view: View | CudaArray) -> Home:
    torch = sys.modules["torch"] if type(first).__module__.partition(".")[0] == "torch" else None
    if isinstance(first_view, np.ndarray):
        return CPU if torch is None else Home(wrap=torch.from_numpy)
    from mpidcl_kernels.base.device import Tensor, cupy_device, torch_stream

    device = cupy_device()
    if torch is None:
        return Home(device, stream=lambda: first_view.device)  # which need not be the current one
    tensor = cast(Tensor, first)
    # On torch's own stream nothing has to wait for anything: its work before and after is in order.
    return Home(device, torch.from_dlpack, lambda: torch_stream(torch, tensor.device))
