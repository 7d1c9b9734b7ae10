"""A worker split off from the process that has read the plan: torch is there, which takes a new one seconds."""

from __future__ import annotations

import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, NoReturn

from ganbench.executors.isolate import can_fork, die_with_parent

KEPT = (signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD, signal.SIGALRM)
"""Signals that end or wake a worker as they do any process, whatever the process it comes from does at them."""

of_a_command: list[bool] = []
"""Not empty where this process is a command's own: nothing is in it but what the command has asked for."""


def is_allowed(plugin_files: Iterable[str]) -> bool:
    """Tell whether workers may be split off from this process.

    Other threads would leave their locks behind, and what somebody's file has left in a session is not the plan's. In
    a command's own process there is nothing but the command's, and its threads write to the terminal alone.
    """
    if sys.platform != "linux" or not can_fork() or threading.current_thread() is not threading.main_thread():
        return False
    return bool(of_a_command) or (not list(plugin_files) and threading.active_count() == 1)


@dataclass
class Forked:
    """A process that was split off, with what `subprocess.Popen` has of it: pipes to it, its end and its code."""

    pid: int
    stdin: IO[str]
    stdout: IO[str]
    returncode: int | None = None
    guard: threading.Lock = field(default_factory=threading.Lock)

    def kill(self) -> None:
        """End it, unless it has ended."""
        with self.guard:
            if self.returncode is None:
                with suppress(ProcessLookupError):
                    os.kill(self.pid, signal.SIGKILL)

    def wait(self) -> int:
        """Wait for its end and return its exit code, below 0 for a signal."""
        with suppress(ChildProcessError):
            # its number stays its own until somebody has asked for its code
            os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)
        with self.guard:
            if self.returncode is None:
                self.returncode = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return self.returncode


def start(work: Callable[[int], None], others: Iterable[Forked], lock: Path) -> Forked:
    """Split off a process that does `work(events)`: jobs come by its standard input, events go to that descriptor.

    It keeps nothing open of the `others` before it, nor the study's lock, which is the command's.
    """
    asked, told = os.pipe(), os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    parent = os.getpid()
    # a Ctrl-C amid the split would be raised in the child, before it can leave that to the parent
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, *KEPT})
    try:
        with warnings.catch_warnings():
            # the thread of a progress line is no danger to the child, which prints nothing by the same objects
            warnings.simplefilter("ignore", DeprecationWarning)
            pid = os.fork()
        if pid == 0:
            _inside(work, parent, asked, told, mask, [end for one in others for end in (one.stdin, one.stdout)], lock)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    os.close(asked[0])
    os.close(told[1])
    return Forked(pid, os.fdopen(asked[1], "w"), os.fdopen(told[0]))


def _inside(
    work: Callable[[int], None],
    parent: int,
    asked: tuple[int, int],
    told: tuple[int, int],
    mask: set[int | signal.Signals],
    foreign: list[IO[str]],
    lock: Path,
) -> NoReturn:
    try:
        # Ctrl-C reaches the whole group: the parent answers it and ends its workers
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        for number in KEPT:
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        die_with_parent(parent)
        for descriptor in (asked[1], told[0], *(end.fileno() for end in foreign), *_holding(lock)):
            os.close(descriptor)
        os.dup2(asked[0], 0)
        os.close(asked[0])
        os.dup2(2, 1)
        # the objects of the parent may be locked by a thread that is not here
        sys.stdin = os.fdopen(0, closefd=False)
        sys.stdout, sys.stderr = (os.fdopen(to, "w", buffering=1, closefd=False) for to in (1, 2))
        _take_one_core()
        work(told[1])
    except BaseException:
        sys.excepthook(*sys.exc_info())
        os._exit(1)
    os._exit(0)


def _holding(lock: Path) -> list[int]:
    """Return the descriptors of this process that are open on a lock file: closed here, it stays the parent's."""
    found = []
    for name in os.listdir("/proc/self/fd"):
        with suppress(OSError):
            if os.path.realpath(f"/proc/self/fd/{name}") == os.path.realpath(lock):
                found.append(int(name))
    return found


def _take_one_core() -> None:
    """Compute with one thread: sums split over threads round differently on machines with other numbers of cores."""
    # there already where somebody is split off; what only asks whether that is allowed imports nothing heavy
    import torch
    from threadpoolctl import threadpool_limits

    # the first for libraries that are loaded later
    os.environ |= {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    threadpool_limits(1)
    torch.set_num_threads(1)
