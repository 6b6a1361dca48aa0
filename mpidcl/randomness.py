"""Random generators: one per (experiment seed, agent, purpose), never a global one."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch

EVERYBODY = 2**32 - 1
"""Agent number for draws that all agents share (topology, shared streams, common projection)."""


def _sequence(seed: int, agent: int, purpose: str, *numbers: int) -> np.random.SeedSequence:
    # crc32 and not hash(): Python's own string hash differs from process to process.
    return np.random.SeedSequence(seed, spawn_key=(agent, zlib.crc32(purpose.encode()), *numbers))


def numpy_generator(seed: int, agent: int, purpose: str, *numbers: int) -> np.random.Generator:
    """The generator of one agent for one purpose; the same arguments give the same stream everywhere.

    `numbers`, at least 0, tell several of one purpose apart: of each step its own, say.
    """
    return np.random.Generator(np.random.PCG64(_sequence(seed, agent, purpose, *numbers)))


def counter_key(seed: int, agent: int, purpose: str) -> NDArray[np.uint64]:
    """Two words for draws by counter (`mpidcl_kernels.draws`), for one purpose of an agent."""
    return _sequence(seed, agent, purpose).generate_state(2, np.uint64).astype(np.uint64, copy=False)


def torch_generator(seed: int, agent: int, purpose: str, device: str = "cpu") -> torch.Generator:
    """The torch twin of `numpy_generator`, on `device`."""
    import torch

    word = int(_sequence(seed, agent, purpose).generate_state(1, np.uint64)[0])
    return torch.Generator(device=device).manual_seed(word)


def generator_state(generator: np.random.Generator) -> dict[str, str | int]:
    """State of a PCG64 generator as plain values; its 128-bit words become hexadecimal text."""
    state = generator.bit_generator.state
    inner = state["state"]
    return {
        "algorithm": state["bit_generator"],
        "state": hex(inner["state"]),
        "increment": hex(inner["inc"]),
        "has_uint32": int(state["has_uint32"]),
        "uinteger": int(state["uinteger"]),
    }


def load_generator_state(generator: np.random.Generator, state: Mapping[str, str | int]) -> None:
    """Put a generator back to a state that `generator_state` returned.

    Raises ValueError when the state belongs to another algorithm.
    """
    generator.bit_generator.state = {
        "bit_generator": state["algorithm"],
        "state": {"state": int(str(state["state"]), 16), "inc": int(str(state["increment"]), 16)},
        "has_uint32": int(state["has_uint32"]),
        "uinteger": int(state["uinteger"]),
    }


def torch_generator_state(generator: torch.Generator) -> dict[str, NDArray[np.uint8]]:
    """State of a torch generator as a uint8 array."""
    return {"state": generator.get_state().numpy().copy()}


def load_torch_generator_state(generator: torch.Generator, state: Mapping[str, NDArray[np.uint8]]) -> None:
    """Put a torch generator back to a state that `torch_generator_state` returned."""
    import torch

    generator.set_state(torch.from_numpy(np.ascontiguousarray(state["state"], dtype=np.uint8)))


@lru_cache(maxsize=65536)
def counted_stream(seed: int, agent: int, purpose: str, *numbers: int) -> int:
    """The key of a stream of which any number is found without those before it, by `uniform`."""
    return int(_sequence(seed, agent, purpose, *numbers).generate_state(1, np.uint64)[0])


_GAMMA, _FIRST, _SECOND, _WORD = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB, 2**64 - 1


def uniform(key: int, number: int) -> float:
    """Number `number` of the stream `key`, uniform in [0, 1): SplitMix64 (Steele, Lea and Flood 2014)."""
    z = (key + (number + 1) * _GAMMA) & _WORD
    z = ((z ^ z >> 30) * _FIRST) & _WORD
    z = ((z ^ z >> 27) * _SECOND) & _WORD
    return ((z ^ z >> 31) >> 11) * 2.0**-53


def uniforms(key: int, first: int, count: int) -> NDArray[np.float64]:
    """`uniform` of `count` numbers from `first` on."""
    z = np.arange(first + 1, first + 1 + count, dtype=np.uint64) * np.uint64(_GAMMA) + np.uint64(key)
    z = (z ^ z >> np.uint64(30)) * np.uint64(_FIRST)
    z = (z ^ z >> np.uint64(27)) * np.uint64(_SECOND)
    return ((z ^ z >> np.uint64(31)) >> np.uint64(11)).astype(np.float64) * 2.0**-53
