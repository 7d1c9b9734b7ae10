"""The command in a process of its own: whatever ends it from inside, its exit code says what happened.

A plug-in is somebody else's code in our process. If it calls `os._exit(0)` or is killed, the command must not end with
a code that means something else: the work is done in a child, which delivers its code by a pipe at its very end.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

from ganbench.errors import Exit
from ganbench.executors.isolate import die_with_parent


def main() -> None:
    """Run the command line in a child process and exit with the code that it delivers."""
    parent, (read, write) = os.getpid(), os.pipe()
    child = os.fork()
    if child == 0:
        os.close(read)
        die_with_parent(parent)
        _work(write)
        return
    os.close(write)
    # Ctrl-C reaches the whole group: the child answers it
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda got, _: os.kill(child, got))
    _, status = os.waitpid(child, 0)
    delivered = os.read(read, 1)
    if not delivered and os.WIFSIGNALED(status) and os.WTERMSIG(status) in (signal.SIGTERM, signal.SIGHUP):
        sys.exit(128 + os.WTERMSIG(status))
    if not delivered:
        print(f"Error: the program was ended from inside, {_words(status)}: a plug-in, or the system.", file=sys.stderr)
    sys.exit(delivered[0] if delivered else Exit.INTERNAL)


def _work(write: int) -> None:
    from ganbench import cli

    code: Any = Exit.INTERNAL
    try:
        cli.main()
        code = Exit.OK
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else Exit.OK if ended.code is None else Exit.INTERNAL
        raise
    finally:
        os.write(write, bytes([code & 255]))


def _words(status: int) -> str:
    if os.WIFSIGNALED(status):
        return f"by the signal {signal.Signals(os.WTERMSIG(status)).name}"
    return f"with exit status {os.waitstatus_to_exitcode(status)}"
