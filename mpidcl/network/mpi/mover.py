"""A thread that looks at what is under way while its process computes.

It takes part only where MPI allows calls of several threads at once. It never outlives its owner's `close`,
the interpreter's last words or MPI_Finalize, whichever comes first.
"""

from __future__ import annotations

import atexit
import threading
import time
from collections.abc import Callable

from mpi4py import MPI

from mpidcl.errors import MpidclError
from mpidcl.network.polls import EVERY_S

LEVELS = {
    MPI.THREAD_SINGLE: "MPI_THREAD_SINGLE",
    MPI.THREAD_FUNNELED: "MPI_THREAD_FUNNELED",
    MPI.THREAD_SERIALIZED: "MPI_THREAD_SERIALIZED",
    MPI.THREAD_MULTIPLE: "MPI_THREAD_MULTIPLE",
}


def no_threads() -> str:
    """Why no thread of ours may call MPI; nothing where one may."""
    level = MPI.Query_thread()
    if level >= MPI.THREAD_MULTIPLE:
        return ""
    return (
        'progress = "thread" should go with an MPI that gives MPI_THREAD_MULTIPLE, as mpi4py asks for unless'
        f' mpi4py.rc.thread_level says otherwise. Found {LEVELS[level]}. Take "hooks" or "none".'
    )


def by_other_threads() -> bool:
    """Whether a thread that has not started MPI may call it while the others do not."""
    return MPI.Query_thread() >= MPI.THREAD_SERIALIZED


class Mover:
    """Calls `poll` in a thread for as long as `under_way()`, every EVERY_S; `begin` says that it may be so.

    `poll` must be safe in a thread. What it raises ends the thread and is kept in `error`.
    Raises MpidclError where MPI allows no threads.
    """

    def __init__(self, poll: Callable[[], object], under_way: Callable[[], bool]) -> None:
        if why := no_threads():
            raise MpidclError(why)
        self.error: BaseException | None = None
        self._poll, self._under_way = poll, under_way
        self._begun, self._ended = threading.Event(), threading.Event()
        self._key = MPI.Comm.Create_keyval(delete_fn=lambda *_: self._stop())
        MPI.COMM_SELF.Set_attr(self._key, True)  # MPI_Finalize deletes it before all else
        atexit.register(self._stop)
        self._thread = threading.Thread(target=self._run, name="mpidcl mover", daemon=True)
        self._thread.start()

    def begin(self) -> None:
        """Something may be under way from now on."""
        self._begun.set()

    def _run(self) -> None:
        try:
            while not self._ended.is_set():
                self._begun.wait()
                self._begun.clear()
                while self._under_way() and not self._ended.is_set():
                    self._poll()
                    time.sleep(EVERY_S)
        except BaseException as error:
            self.error = error

    def _stop(self) -> None:
        self._ended.set()
        self._begun.set()
        if self._thread is not threading.current_thread():
            self._thread.join()

    def close(self) -> None:
        """End the thread; returns when it has ended. A second call does nothing."""
        self._stop()
        atexit.unregister(self._stop)
        if self._key != MPI.KEYVAL_INVALID and not MPI.Is_finalized():
            MPI.COMM_SELF.Delete_attr(self._key)
            self._key = MPI.Comm.Free_keyval(self._key)
