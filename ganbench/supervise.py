"""The command in a process of its own: whatever ends it from inside, its exit code says what happened.

A plug-in is somebody else's code in our process. If it calls `os._exit(0)` or is killed, the command must not end with
a code that means something else: the work is done in a child, which delivers its code by a pipe at its very end.
"""

from __future__ import annotations

import io
import os
import signal
import sys
from collections.abc import Sequence

from ganbench import interrupts
from ganbench.errors import Exit
from ganbench.executors.isolate import die_with_parent
from ganbench.shells import COMMAND


def main() -> None:
    """Run the command line in a child process and exit with the code that it delivers."""
    _open_streams()
    if sys.argv[1:2] == [COMMAND]:
        # a key press waits for it, and nobody's code runs
        from ganbench import completing

        completing.answer(sys.argv[2:])
        return
    parent, (read, write) = os.getpid(), os.pipe()
    # what the plug-ins start may hold the other end open for ever
    os.set_blocking(read, False)
    # a signal in between would find neither the child's handler nor this process's
    signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    child = os.fork()
    if child == 0:
        os.close(read)
        die_with_parent(parent)
        interrupts.install()
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        _work(write)
        return
    os.close(write)
    passed_on: set[int] = set()

    def pass_on(number: int, frame: object) -> None:
        passed_on.add(number)
        os.kill(child, number)

    for number in signals:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, pass_on)
    signal.pthread_sigmask(signal.SIG_SETMASK, before)
    # it stays to be waited for until no signal is passed on any more: its number is still its own
    os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    _, status = os.waitpid(child, 0)
    sys.exit(bisected(_code(_delivered(read), status, passed_on), sys.argv))


def _open_streams() -> None:
    """Give what is closed a place, for the next file that is opened would be taken for the standard output, and what a
    stream's encoding does not have, in the name of a file perhaps, a spelling."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            # the lowest number that is free, and so this one
            os.open(os.devnull, os.O_RDWR)
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, "w" if number else "r", encoding="utf-8", closefd=False))  # noqa: SIM115 - for good
        stream = getattr(sys, name)
        if number and isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
            stream.reconfigure(errors="backslashreplace")


def bisected(code: int, words: Sequence[str]) -> int:
    """Return an exit code as `git bisect run` understands it, where the command has --bisect.

    To git 0 is good, 125 skips the revision, 128 and more end the search, and any other code is bad: here only a
    regression is (git-bisect(1), "bisect run").
    """
    told = code in (Exit.OK, Exit.REGRESSED) or code >= 128
    return code if told or "--bisect" not in words else Exit.UNTESTABLE


def _delivered(read: int) -> bytes:
    try:
        return os.read(read, 1)
    except BlockingIOError:
        return b""


def _code(delivered: bytes, status: int, passed_on: set[int]) -> int:
    if delivered:
        return delivered[0]
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) in passed_on:
        return 128 + os.WTERMSIG(status)
    print(f"Error: the program was ended from inside, {_words(status)}: a plug-in, or the system.", file=sys.stderr)
    return Exit.INTERNAL


def _work(write: int) -> None:
    # after the split: the process that waits needs none of it
    from ganbench import cli
    from ganbench.executors import forked

    forked.of_a_command.append(True)
    own = os.getpid()
    code: int = Exit.INTERNAL
    try:
        cli.main()
        code = Exit.OK
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else Exit.OK if ended.code is None else Exit.INTERNAL
        raise
    finally:
        # a process that a plug-in has split off does not speak for this one
        if os.getpid() == own:
            os.write(write, bytes([code & 255]))


def _words(status: int) -> str:
    if os.WIFSIGNALED(status):
        return f"by the signal {signal.Signals(os.WTERMSIG(status)).name}"
    return f"with exit status {os.waitstatus_to_exitcode(status)}"
