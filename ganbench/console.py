"""What the commands share: where they print, what several of them are asked for. Imports nothing heavy."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from ganbench.errors import Exit, clean_lines, told

CODES = "Exit codes: " + "; ".join(f"{code.value} {code.meaning}" for code in Exit) + "."
# a file or a pipe has no width of its own; tables should not be cut for it
out = Console(highlight=False, width=None if sys.stdout.isatty() else 120)
err = Console(stderr=True, highlight=False)

Overrides = Annotated[list[str] | None, typer.Argument(metavar="[suite=NAME_OR_FILE] [KEY=VALUE | KEY=A,B,C]...")]
Margins = Annotated[
    list[str] | None, typer.Option("--margin", help="failure_rate=0.2 or score=0.1: how much worse does not matter.")
]
Plugins = Annotated[list[Path] | None, typer.Option("--plugin", help="Python file with plug-ins; may be repeated.")]
WorkersOption = Annotated[
    int | None, typer.Option("--workers", help="Worker processes (default: one a core; none on a GPU).")
]


FULL = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.EFBIG)
"""What the system answers where there is no room to write: no bug of ours, wherever it is met first."""


def say(text: str) -> None:
    """Print a line to the standard error; where that cannot be written, the exit code has to do."""
    with contextlib.suppress(OSError):
        err.print(text, soft_wrap=True)


def drop_output() -> None:
    """Let what is still to be flushed go nowhere: whoever reads it has gone, or there is no room for it."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def tell_bug(error: Exception) -> None:
    """Say in one sentence what went wrong in our own code, and leave the details in a file."""
    import tempfile
    import traceback

    if os.environ.get("GANBENCH_TRACEBACK"):
        traceback.print_exc()
    try:
        with tempfile.NamedTemporaryFile("w", prefix="ganbench-", suffix=".txt", delete=False) as file:
            file.write(clean_lines(traceback.format_exc()))
        where = f"the file {escape(file.name)}"
    except OSError:  # no folder for such files, or no room in it
        where = "what GANBENCH_TRACEBACK=1 prints"
    say(f"[red]Internal error:[/] {escape(told(error))}. This is a bug of ganbench: please report it with {where}.")


def load_files(plugin: Sequence[Path] | None) -> None:
    """Load the plug-in files of a command."""
    if not plugin:
        return
    from ganbench import registry

    for file in plugin:
        registry.load_file(file)
