"""The files of lines about a study as a whole: which commands worked on it, and what trained it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from ganbench.results import reading
from ganbench.results.reading import Damage, Unreadable, exists

Record = dict[str, Any]

RECORDS: dict[str, tuple[Callable[[Any], Record], str]] = {
    "sessions.jsonl": (reading.session, "a record of commands, versions and times is lost"),
    "environments.jsonl": (reading.environment, "which code, torch and device trained it is lost"),
}
"""What reads a line of each, and what is lost with one."""


def read_records(file: Path) -> tuple[list[Record], list[Damage]]:
    """Return the records of one of these files and what is damaged in it; nothing where there is none."""
    parse, lost = RECORDS[file.name]
    if not exists(file):
        return [], []
    try:
        records, bad = reading.read_lines(file, parse)
    except Unreadable as error:
        return [], [Damage(file, str(error), lost)]
    return records, [Damage(file, f"is no record in line {bad[0]}", lost)] if bad else []
