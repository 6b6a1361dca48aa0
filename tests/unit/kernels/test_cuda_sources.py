"""Every CUDA source compiles to PTX, in every form that its first line declares. Needs no GPU."""

import re
from pathlib import Path

import pytest

from mpidcl_kernels.base import device

nvrtc = pytest.importorskip("cuda.bindings.nvrtc", reason="needs cuda-bindings and nvidia-cuda-nvrtc")
ARCHITECTURES = ("compute_75", "compute_90")


def forms():
    for path in sorted(Path(device.SOURCES).glob("*/*.cu")):
        first = path.read_text().splitlines()[0]
        declared = re.match(r"// defines: (.+)", first)
        assert declared, f"{path.name}: the first line should be `// defines: KEY=VALUE | ...`. Found {first}"
        for form in declared[1].split("|"):
            defines = [] if form.strip() == "none" else [part.strip() for part in form.split(";")]
            yield pytest.param(path.stem, defines, id=f"{path.stem}-{'-'.join(defines)}")


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize(("source", "defines"), list(forms()))
def test_compiles_to_ptx(source, defines, architecture):
    text = device.source_text(source)
    ptx = to_ptx(text, [*device.OPTIONS, *(f"-D{d}" for d in defines), f"--gpu-architecture={architecture}"])
    kernels = re.findall(r'extern\s+"C"\s+__global__\s+void\s+(?:__launch_bounds__\([^)]*\)\s+)?(\w+)', text)
    assert kernels
    for name in kernels:
        assert f".entry {name}(" in ptx


def test_a_wrong_source_is_refused():
    with pytest.raises(AssertionError, match="undefined"):
        to_ptx('extern "C" __global__ void f(float* x) { x[0] = nothing; }', list(device.OPTIONS))


def to_ptx(text, options):
    _, program = checked(nvrtc.nvrtcCreateProgram(text.encode(), b"source.cu", 0, [], []))
    done = nvrtc.nvrtcCompileProgram(program, len(options), [o.encode() for o in options])[0]
    assert done == nvrtc.nvrtcResult.NVRTC_SUCCESS, read(
        program, nvrtc.nvrtcGetProgramLogSize, nvrtc.nvrtcGetProgramLog
    )
    return read(program, nvrtc.nvrtcGetPTXSize, nvrtc.nvrtcGetPTX)


def read(program, size_of, get):
    _, size = checked(size_of(program))
    text = b" " * size
    checked(get(program, text))
    return text.decode()


def checked(result):
    assert result[0] == nvrtc.nvrtcResult.NVRTC_SUCCESS, result[0]
    return result
