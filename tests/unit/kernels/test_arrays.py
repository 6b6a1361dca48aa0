"""Arrays of three libraries are taken as they are: nothing is copied, nothing is imported."""

import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from mpidcl_kernels.base import arrays
from mpidcl_kernels.base.arrays import CPU, unwrap


def test_numpy_arrays_stay_themselves():
    x, out = np.ones(3), np.zeros(3)
    views, home = unwrap(x=x, nothing=None, out=out)
    assert views[0] is x
    assert views[1] is None
    assert views[2] is out
    assert home is CPU
    assert home.wrap(x) is x


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.int64, torch.bool])
def test_a_tensor_is_viewed_in_place_and_results_become_tensors(dtype):
    tensor = torch.zeros(4, 3, dtype=dtype)[:, 1:]
    (view,), home = unwrap(x=tensor)
    assert view.ctypes.data == tensor.data_ptr()
    assert view.strides == tuple(tensor.element_size() * step for step in tensor.stride())
    assert home.device is None
    result = np.arange(3.0)
    wrapped = home.wrap(result)
    assert isinstance(wrapped, torch.Tensor)
    assert wrapped.data_ptr() == result.ctypes.data


def test_the_first_argument_decides_what_results_are():
    _, home = unwrap(x=np.ones(2), y=torch.ones(2))
    assert isinstance(home.wrap(np.ones(2)), np.ndarray)


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ([1.0], "builtins.list"),
        (1.0, "builtins.float"),
        (np.float64(1), "numpy.float64"),
        (torch.ones(2, requires_grad=True), "requires grad"),
        (torch.ones(2, dtype=torch.bfloat16), "BFloat16"),
    ],
)
def test_what_is_no_array_is_named(value, found):
    with pytest.raises(TypeError, match=rf"^`x` should be .*{found}"):
        unwrap(x=value)


class _Attached:
    """A tensor on a GPU that requires a gradient: torch refuses to show its address."""

    @property
    def __cuda_array_interface__(self):
        raise RuntimeError("Can't get it on Variable that requires grad")


def test_a_gpu_tensor_that_requires_a_gradient_is_named():
    with pytest.raises(TypeError, match="^`x` should be an array that NumPy can view .* requires grad"):
        unwrap(x=_Attached())


def test_a_tensor_of_another_gpu_is_viewed_there(monkeypatch):
    current = []

    class Device:
        def __init__(self, index):
            self.index = index

        def __enter__(self):
            current.append(self.index)

        def __exit__(self, *_):
            current.pop()

    def asarray(tensor):
        assert current == [tensor.device.index], "cupy copies what is not on the current device"
        return "view"

    cupy = SimpleNamespace(ndarray=set, asarray=asarray, cuda=SimpleNamespace(Device=Device))
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    tensor = SimpleNamespace(device=SimpleNamespace(index=1), __cuda_array_interface__={})
    assert arrays.view(tensor, "x") == "view"


def test_arguments_on_two_devices_are_refused(monkeypatch):
    far = SimpleNamespace(device=SimpleNamespace(id=1), __array__=None)
    monkeypatch.setattr(arrays, "view", lambda array, name: array)
    with pytest.raises(TypeError, match=r"^`far` should be on the CPU, like `near`\. Found it on cuda:1\.$"):
        unwrap(near=np.ones(2), far=far)


def test_a_tensor_brings_no_torch_and_no_cupy_with_it():
    program = (
        "import sys, numpy as np\n"
        "from mpidcl_kernels.base.arrays import unwrap\n"
        "class Tensor:\n"
        "    def __init__(self): self.data = np.ones(2)\n"
        "    def __array__(self, dtype=None, copy=None): return self.data\n"
        "mine = Tensor()\n"
        "(view,), home = unwrap(x=mine)\n"
        "assert view is mine.data and home.device is None\n"
        "print(sorted({'torch', 'cupy', 'numba'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
