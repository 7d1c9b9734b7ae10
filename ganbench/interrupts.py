"""Ctrl-C, told from a KeyboardInterrupt that a plug-in raises: only a signal that arrived interrupts a command."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

ONCE_SECONDS = 1.0
"""Signals within so many seconds are one: a key reaches the whole group, and the supervisor passes it on as well."""

_arrived: list[float] = []


def handle(number: int, frame: object) -> None:
    """Raise KeyboardInterrupt, once for signals that belong together."""
    now = time.monotonic()
    repeated = bool(_arrived) and now - _arrived[-1] < ONCE_SECONDS
    _arrived.append(now)
    if not repeated:
        raise KeyboardInterrupt


def install() -> None:
    """Handle the signal from now on, unless it is ignored, as in the background of a shell."""
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, handle)


@contextmanager
def watched() -> Iterator[Callable[[], bool]]:
    """Handle the signal in a block, and give what says whether one has arrived in it."""
    if threading.current_thread() is not threading.main_thread():
        # signals are the main thread's
        yield lambda: False
        return
    before, count = signal.getsignal(signal.SIGINT), len(_arrived)
    install()
    try:
        yield lambda: len(_arrived) > count
    finally:
        signal.signal(signal.SIGINT, before)


class TimeIsUpError(Exception):
    """A block has taken as long as it may."""


@contextmanager
def at_most(seconds: float | None) -> Iterator[None]:
    """End a block after so many seconds as Ctrl-C would, and raise TimeIsUpError; None: never.

    A study survives it as it survives the key. Only the main thread has signals: elsewhere nothing is ended.
    """
    if seconds is None or threading.current_thread() is not threading.main_thread():
        yield
        return
    fired: list[float] = []

    def ring(number: int, frame: object) -> None:
        fired.append(time.monotonic())
        handle(number, frame)

    before = signal.signal(signal.SIGALRM, ring)
    # 0 would switch it off
    signal.setitimer(signal.ITIMER_REAL, max(seconds, 0.001))
    try:
        yield
    except KeyboardInterrupt as error:
        if fired:
            raise TimeIsUpError from error
        raise
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def is_raised_by_code(error: BaseException) -> bool:
    """Tell whether an exception is a plug-in's own: any but an interruption by a signal.

    Where the signal is not handled here, nobody can tell, and a KeyboardInterrupt counts as the user's.
    """
    return not isinstance(error, KeyboardInterrupt) or (signal.getsignal(signal.SIGINT) is handle and not _arrived)
