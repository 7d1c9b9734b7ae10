"""What the commands share: where they print, what several of them are asked for. Imports nothing heavy."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from ganbench.errors import Exit

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


def load_files(plugin: Sequence[Path] | None) -> None:
    """Load the plug-in files of a command."""
    if not plugin:
        return
    from ganbench import registry

    for file in plugin:
        registry.load_file(file)
