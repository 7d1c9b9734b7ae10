"""The pages of `ganbench serve`, made of `serve.html`: the index of studies, and pages with one sentence."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from ganbench.results.reading import is_number, printable

REFRESH_SECONDS, IDLE_SECONDS = 5, 30
SENTENCES = 3
"""Of damage that a row of the index tells."""
SHOWN = 8
"""Populations at work that a row of the index tells of; `ganbench status` tells of all."""

FOLDER = Path(__file__).parent
STYLE = Markup((FOLDER / "serve.css").read_text(encoding="utf-8"))  # noqa: S704 - our own file
PAGE = Environment(
    loader=FileSystemLoader(FOLDER), autoescape=True, undefined=StrictUndefined, trim_blocks=True
).get_template("serve.html")


@dataclass(frozen=True)
class StudyProgress:
    """How far a study is: numbers of runs, the share [0, 1] of its steps, and the time of its last change."""

    name: str
    planned: int = 0
    done: int = 0
    diverged: int = 0
    failed: int = 0
    running: int = 0
    share: float = 0.0
    changed: float = 0.0
    error: str = ""
    damage: tuple[str, ...] = ()
    work: Mapping[str, Any] | None = None
    """What runs where, as the command that is at work tells it, `heard` seconds ago."""
    heard: float = 0.0

    @property
    def complete(self) -> bool:
        """Tell whether nothing is left to train."""
        return not self.error and self.done == self.planned

    @property
    def state(self) -> str:
        """Return one word for the whole."""
        if self.error:
            return "unreadable"
        if self.complete:
            return "complete"
        # a kill leaves begun runs behind, which look the same: the time of the last change tells them apart
        return "unfinished" if self.done + self.failed + self.running else "planned"


def index(folder: Path, studies: Mapping[str, tuple[StudyProgress, Sequence[str]]]) -> str:
    """Return the page that lists the studies of a folder; it loads itself again every few seconds.

    studies: by their path below the folder, how far each is, and its files that can be read beside the report.
    """
    waits = IDLE_SECONDS if studies and all(at.complete for at, _ in studies.values()) else REFRESH_SECONDS
    rows = [_row(path, at, files) for path, (at, files) in studies.items()]
    return _page("ganbench: studies", waits=waits, place=printable(folder), rows=rows)


def message(title: str, text: str) -> str:
    """Return a page with one sentence."""
    return _page(title, sentence=text)


def _page(title: str, *, sentence: str = "", waits: int = 0, **given: Any) -> str:
    return PAGE.render(title=title, sentence=sentence, waits=waits, style=STYLE, **given) + "\n"


def _row(path: str, at: StudyProgress, files: Sequence[str]) -> dict[str, Any]:
    shown = printable(path)
    return {
        # a name is bytes, and need not be text: the address holds them all
        "address": f"/study/{quote(os.fsencode(path))}",
        "name": printable(at.name),
        "place": shown if shown != at.name else "",
        "error": printable(at.error),
        "damage": at.damage[:SENTENCES],
        "work": _told(at),
        "progress": at,
        "files": files,
        "when": _ago(time.time() - at.changed),
        "exact": datetime.fromtimestamp(at.changed, UTC).strftime("%Y-%m-%d %H:%M:%S UTC"),
    }


def _told(at: StudyProgress) -> list[str]:
    """Return what runs where in sentences, that of the whole first; none where no command is at work."""
    if at.work is None:
        return []
    left, out = at.work.get("left_seconds"), at.work["out"]
    until = f", about {_span(float(left))} left" if left is not None and is_number(left) else ""
    of_all = f"At work on {at.work.get('host', '?')} for {_span(at.work['seconds'])}{until}, heard {_ago(at.heard)}."
    of_each = [
        f"{one.get('population', '?')} on {one.get('where', '?')}: step {one['step']} of {one['steps']}, "
        f"{one['runs']} runs, for {_span(one['seconds'])}, heard {_ago(one['heard_seconds'])}."
        for one in out[:SHOWN]
    ]
    more = [f"And {len(out) - SHOWN} more populations."] if len(out) > SHOWN else []
    return [printable(sentence) for sentence in (of_all, *of_each, *more)]


def _ago(passed: float) -> str:
    return f"{_span(passed)} ago"


def _span(passed: float) -> str:
    sizes = ((86400, "day"), (3600, "hour"), (60, "minute"))
    seconds, unit = next(((n, unit) for n, unit in sizes if passed >= n), (1, "second"))
    number = max(0, int(passed / seconds)) if math.isfinite(passed) else 0
    return f"{number} {unit}{'s' * (number != 1)}"
