"""A piece of work in a process of its own: whatever it does to its process, and however it ends, is its own affair."""

from __future__ import annotations

import ctypes
import json
import os
import select
import signal
import sys
import time
import warnings
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, NoReturn

Event = dict[str, Any]
Emit = Callable[[Event], None]

OUTPUT_BYTES = 64 * 1024
"""What is kept of the work's output: the first and the last half of so much."""

HEARTBEAT_SECONDS = float(os.environ.get("GANBENCH_HEARTBEAT_SECONDS", 600.0))
"""A piece of work that says nothing for so long hangs: it speaks twice a second, or after every step."""

DRAINED = 64
"""Pieces of output and events that are read when the work is gone, each at most as large as a pipe."""

PR_SET_PDEATHSIG = 1


@dataclass
class Ending:
    """How a piece of work ended, in words, and its output; killed: by somebody else, as a system does that is out of
    memory."""

    reason: str
    output: bytes
    killed: bool = False


@dataclass
class _Tail:
    """The first and the last of much output."""

    head: bytes = b""
    tail: bytes = b""
    lost: int = field(default=0)

    def add(self, piece: bytes) -> None:
        room = OUTPUT_BYTES // 2 - len(self.head)
        self.head, piece = self.head + piece[:room], piece[room:]
        joined = self.tail + piece
        self.tail = joined[-(OUTPUT_BYTES // 2) :]
        self.lost += len(joined) - len(self.tail)

    def text(self) -> bytes:
        cut = f"\n... {self.lost} bytes left out ...\n".encode() if self.lost else b""
        return self.head + cut + self.tail


def die_with_parent(parent: int) -> None:
    """Have the system end this process when its parent ends, on Linux; `parent` is its id as the parent knew it."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(0)


def run(
    work: Callable[[Emit], None], emit: Emit, *, limit: float = 0.0, silence: float = 0.0, stop: int | None = None
) -> Ending:
    """Run `work` in a forked process, pass on what it emits, and say how it ended.

    limit: seconds that it may take in all, 0 for any number; silence: seconds without an event, 0 for the default;
    stop: a descriptor whose end of file ends the work and this process, for a worker whose own parent is gone.
    Work that came to its end has said so by an event.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    events, output = os.pipe(), os.pipe()
    parent = os.getpid()
    with warnings.catch_warnings():
        # a progress bar's thread is no danger to the child, which prints nothing
        warnings.simplefilter("ignore", DeprecationWarning)
        pid = os.fork()
    if pid == 0:
        _inside(work, events[1], output[1], parent)
    with suppress(OSError):
        # here too: whichever of the two comes first
        os.setpgid(pid, pid)
    os.close(events[1])
    os.close(output[1])
    try:
        watch = _Watch(pid, events[0], output[0], emit, limit, silence or HEARTBEAT_SECONDS)
        return watch.run(stop)
    finally:
        os.close(events[0])
        os.close(output[0])


def _inside(work: Callable[[Emit], None], events: int, output: int, parent: int) -> NoReturn:
    try:
        # a group of its own, so that what it starts can be ended with it
        os.setpgid(0, 0)
        die_with_parent(parent)
        os.dup2(output, 1)
        os.dup2(output, 2)
        nowhere = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nowhere, 0)

        def emit(event: Event) -> None:
            if os.getpid() != owner:
                os._exit(0)
            _write(events, (json.dumps(event) + "\n").encode())

        owner = os.getpid()
        work(emit)
        sys.stdout.flush()
        sys.stderr.flush()
    except BaseException:
        sys.excepthook(*sys.exc_info())
        os._exit(1)
    os._exit(0)


def _write(descriptor: int, content: bytes) -> None:
    while content:
        try:
            content = content[os.write(descriptor, content) :]
        except BrokenPipeError:
            os._exit(0)


def _kill(pid: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


class _Watch:
    """Listens to a piece of work until it ends, is late, or hangs."""

    def __init__(self, pid: int, events: int, output: int, emit: Emit, limit: float, silence: float) -> None:
        self.pid, self.events, self.output, self.emit = pid, events, output, emit
        self.limit, self.silence, self.started = limit, silence, time.monotonic()
        self.heard, self.tail, self.partial = self.started, _Tail(), b""

    def run(self, stop: int | None) -> Ending:
        """Return when the process is gone; what it had started, as far as it stayed in its group, is gone too."""
        reason = ""
        try:
            while not reason and not self._is_gone():
                reason = self._late()
                self._listen(0.25, stop)
        finally:
            _kill(self.pid)
            _, status = os.waitpid(self.pid, 0)
        # something that left the group may write for ever: no more than what the pipes held is read
        for _ in range(DRAINED):
            if not self._listen(0.0):
                break
        killed = not reason and os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
        return Ending(reason or _words(status), self.tail.text(), killed)

    def _is_gone(self) -> bool:
        """Tell whether the process has ended and is to be waited for: what it started may hold the pipes open."""
        return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None

    def _late(self) -> str:
        now = time.monotonic()
        if self.limit and now - self.started > self.limit:
            return f"it took longer than its time limit of {self.limit:g} seconds"
        if now - self.heard > self.silence:
            return f"it gave no sign of life for {self.silence:g} seconds"
        return ""

    def _listen(self, seconds: float, stop: int | None = None) -> bool:
        """Take what there is within some seconds, and tell whether there was anything."""
        watched = [d for d in (self.events, self.output, stop) if d is not None]
        ready, _, _ = select.select(watched, [], [], seconds)
        if stop in ready:
            _kill(self.pid)
            os._exit(0)
        took = False
        if self.output in ready and (piece := os.read(self.output, 65536)):
            self.tail.add(piece)
            took = True
        if self.events in ready and (piece := os.read(self.events, 65536)):
            self.heard, took = time.monotonic(), True
            *lines, self.partial = (self.partial + piece).split(b"\n")
            for line in lines:
                self.emit(json.loads(line))
        if not took and ready:
            # both ends are closed: nothing will come any more
            time.sleep(min(seconds, 0.02))
        return took


def _words(status: int) -> str:
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        name = signal.Signals(number).name if number in set(signal.Signals) else str(number)
        hint = " (out of memory?)" if number == signal.SIGKILL else ""
        return f"the process was ended by the signal {name}{hint}"
    return f"the process ended itself with exit status {os.waitstatus_to_exitcode(status)}"


def can_fork() -> bool:
    """Tell whether this process may be split: where there is a GPU, torch keeps threads that do not survive it."""
    torch = sys.modules.get("torch")
    return torch is None or not torch.cuda.is_available()
