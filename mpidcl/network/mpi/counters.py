"""What MPI itself counted: bytes and messages that this rank sent, if the library can tell.

Open MPI counts when it was started with OMPI_MCA_pml_monitoring_enable=1 in the environment (then also what
collective calls send), and tells through the tools interface of MPI 3 (MPI_T, chapter 14.3 of the standard),
which mpi4py does not have.
"""

from __future__ import annotations

import ctypes
import os

from mpi4py import MPI

_NAMES = ("libmpi.so.40", "libmpi.so.12")
_CLASS_SIZE = 2
"""MPI_T_PVAR_CLASS_SIZE of Open MPI."""
_SIZE, _MESSAGES = b"pml_monitoring_messages_size", b"pml_monitoring_messages_count"


class SentCounter:
    """Counts from its construction on. `known` is False where MPI does not tell."""

    def __init__(self, comm: MPI.Intracomm) -> None:
        self._values = (ctypes.c_size_t * comm.size)()
        self._library = _loaded()
        self._session = ctypes.c_void_p()
        self._comm = ctypes.c_void_p.from_address(MPI._addressof(comm))
        self._handles = [] if self._library is None else [self._open(name) for name in (_SIZE, _MESSAGES)]
        self._start = [self._read(handle) for handle in self._handles]

    @property
    def known(self) -> bool:
        """Whether this MPI counts."""
        return bool(self._handles) and all(handle is not None for handle in self._handles)

    def sent(self) -> tuple[int, int]:
        """Bytes and messages to all other ranks, over all communicators."""
        size, messages = (
            self._read(handle) - start for handle, start in zip(self._handles, self._start, strict=True)
        )
        return size, messages

    def _open(self, name: bytes) -> ctypes.c_void_p | None:
        library, index, provided = self._library, ctypes.c_int(), ctypes.c_int()
        assert library is not None
        if library.MPI_T_init_thread(0, ctypes.byref(provided)):
            return None
        if library.MPI_T_pvar_get_index(name, _CLASS_SIZE, ctypes.byref(index)):
            return None
        if not self._session:
            library.MPI_T_pvar_session_create(ctypes.byref(self._session))
        handle, count = ctypes.c_void_p(), ctypes.c_int()
        targets = ctypes.byref(self._comm), ctypes.byref(handle), ctypes.byref(count)
        failed = library.MPI_T_pvar_handle_alloc(self._session, index, *targets)
        if failed or count.value != len(self._values):
            return None
        return None if library.MPI_T_pvar_start(self._session, handle) else handle

    def _read(self, handle: ctypes.c_void_p | None) -> int:
        if handle is None or self._library is None:
            return 0
        self._library.MPI_T_pvar_read(self._session, handle, self._values)
        return sum(self._values)


def _loaded() -> ctypes.CDLL | None:
    """The MPI library that mpi4py has loaded, and no other."""
    for name in _NAMES:
        try:
            library = ctypes.CDLL(name, mode=os.RTLD_NOW | os.RTLD_NOLOAD)
        except OSError:
            continue
        return library if hasattr(library, "MPI_T_pvar_get_index") else None
    return None
