"""How a process of ours ends: done, stopped by a signal, wrong input, or failed; never without a word.

What nobody agreed on is a failure, whatever its type: `SystemExit`, `EOFError` and `KeyboardInterrupt` that
some code raises are no endings. Only a real signal stops a run, and only `Ended` leaves with its own status.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

from mpidcl.base.notices import say
from mpidcl.errors import EXIT_DONE, EXIT_FAILED, EXIT_RESUMABLE, MpidclError

STOP_SIGNALS = tuple(
    getattr(signal, name)
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGXCPU")
    if hasattr(signal, name)
)
"""Ctrl-C, kill, a closed terminal, and what batch systems send when the time is nearly over."""

AGAIN_S = 0.01
"""Seconds after which a signal comes again that Python has dropped."""

Ask = Callable[[int], bool]
"""Takes the number of a stop signal; False where what runs cannot stop in order, or was asked before."""
GOES_ON = "The same command goes on from the last checkpoint, if there is one."
"""What is said of a stopped run."""


class Stopped(KeyboardInterrupt):
    """A signal has come that ends the process; code that tidies up after Ctrl-C does so after any of them."""

    def __init__(self, number: int) -> None:
        super().__init__(f"stopped by {signal.Signals(number).name}")
        self.number = number


class Ended(SystemExit):
    """The process leaves with a status on which all processes of its job have agreed."""


@contextmanager
def on_stop_signals(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Call `handler` for every stop signal. One that was ignored before stays so for SIGHUP: that is `nohup`.

    Outside the main thread nothing changes: whoever owns that one takes care of signals.
    """
    before = {}
    with suppress(ValueError):
        for number in STOP_SIGNALS:
            if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
                before[number] = signal.signal(number, handler)
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, signal.SIG_DFL if old is None else old)


@contextmanager
def stops_raise(ask: Ask | None = None) -> Iterator[list[Stopped]]:
    """A stop signal raises Stopped in the main thread. Gives the list of those that did.

    Where `ask` takes a signal (True), the block ends by itself and in order. Code on the way may turn Stopped
    into another exception or lose it: what ends a block after it was raised is the stop.
    """
    came: list[Stopped] = []

    def stop(number: int, frame: FrameType | None) -> None:
        if ask is None or not ask(number):
            came.append(Stopped(number))
            raise came[-1]

    with on_stop_signals(stop), _none_is_lost():
        yield came


@contextmanager
def _none_is_lost() -> Iterator[None]:
    """Python drops what is raised while it removes an object; the signal comes again after that.

    Not from the hook itself: what is raised there is dropped, too.
    """
    before = sys.unraisablehook

    def hook(dropped: sys.UnraisableHookArgs) -> None:
        if isinstance(dropped.exc_value, Stopped):
            threading.Timer(AGAIN_S, os.kill, [os.getpid(), dropped.exc_value.number]).start()
        else:
            before(dropped)

    sys.unraisablehook = hook
    try:
        yield
    finally:
        sys.unraisablehook = before


def ignore_stops() -> None:
    """The process only has to leave, with the status that it has: another signal must not change that."""
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def guard(body: Callable[[], int | None], goes_on: str = "", ask: Ask | None = None) -> int:
    """Exit status of `body`. What a user can mend is one message; everything else shows a traceback.

    `goes_on`: what is said about going on after a signal; `ask`: as in `stops_raise`.
    """
    came: list[Stopped] = []
    try:
        with stops_raise(ask) as came:
            code = body() or EXIT_DONE
            sys.stdout.flush()
    except Ended:
        raise
    except BaseException as error:
        stop = came[0] if came else None
        say(f"mpidcl: {stop}.{goes_on}" if stop else describe(error))
        return EXIT_RESUMABLE if stop else status_of(error)
    if code != EXIT_DONE and came:
        say(f"mpidcl: {came[0]}.{goes_on}")
        return EXIT_RESUMABLE
    return code


def status_of(error: BaseException) -> int:
    """The exit status that an error gives."""
    if isinstance(error, Stopped):
        return EXIT_RESUMABLE
    return error.exit_status if isinstance(error, MpidclError) else EXIT_FAILED


def describe(error: BaseException, where: str = "") -> str:
    """The message about an error: one text for what was raised on purpose, else the traceback.

    `where` names the rank. Never raises, whatever the error does when it is shown.
    """
    try:
        if isinstance(error, MpidclError | Stopped):
            notes = getattr(error, "__notes__", ()) if where else ()
            return "\n".join([f"mpidcl: {where}{': ' if where else ''}{error}", *notes])
        text = "".join(traceback.format_exception(error)).rstrip()
    except BaseException as other:
        text = f"{type(error).__name__} (showing it gave {type(other).__name__})"
    return f"mpidcl: {where}{' ' if where else ''}failed:\n{text}"
