"""Texts as GitHub markdown shows them as they are: nothing that a name holds becomes markup."""

from __future__ import annotations

import re
from collections.abc import Iterable


def text(value: object) -> str:
    """Return a text as one line that markdown shows as it is, in a table too; underscores in words are no markup."""
    return re.sub(r"([\\`*\[\]<>|&~])", r"\\\1", " ".join(str(value).split()))


def code(value: object) -> str:
    """Return a text as a code span, with a fence longer than any that it holds."""
    line = " ".join(str(value).split())
    fence = "`" * (1 + max((len(ticks) for ticks in re.findall("`+", line)), default=0))
    return f"{fence}{line}{fence}" if "`" not in line else f"{fence} {line} {fence}"


def row(cells: Iterable[str]) -> str:
    """Return a row of a table."""
    return f"| {' | '.join(cells)} |"
