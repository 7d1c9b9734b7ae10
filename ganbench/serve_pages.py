"""The pages of `ganbench serve`: the index of studies, and pages with one sentence."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from ganbench.results.reading import printable
from ganbench.results.store import REPORT_FILES

if TYPE_CHECKING:
    from ganbench.serve import Progress, StudyFolder

REFRESH_SECONDS, IDLE_SECONDS = 5, 30
SENTENCES = 3
"""Of damage that a row of the index tells."""
STYLE = (Path(__file__).parent / "serve.css").read_text(encoding="utf-8")


def index(folder: Path, progress: Mapping[str, tuple[StudyFolder, Progress]]) -> str:
    """Return the page that lists the studies of a folder; it loads itself again every few seconds."""
    waits = IDLE_SECONDS if progress and all(p.complete for _, p in progress.values()) else REFRESH_SECONDS
    place = escape(printable(folder))
    if progress:
        rows = "".join(_row(name, *found) for name, found in progress.items())
        heads = "<th>study<th>progress<th class=n>running<th class=n>diverged<th class=n>failed<th>last change<th>files"
        body = f"<div class=scroll><table><thead><tr>{heads}</thead><tbody>{rows}</tbody></table></div>"
    else:
        body = (
            f"<div class=empty>There are no studies in <code>{place}</code> yet.<br>Start one with "
            f"<code>ganbench run suite=smoke --out {place}/smoke</code>; it appears here by itself.</div>"
        )
    footer = f"<footer>Loads itself again every {waits} seconds; a report is rebuilt when it is opened.</footer>"
    title = f"<h1>Studies</h1><p><code>{place}</code></p>"
    return page("ganbench: studies", title + body + footer, f'<meta http-equiv="refresh" content="{waits}">')


def message(title: str, text: str) -> str:
    """Return a page with one sentence."""
    return page(title, f'<h1>{escape(title)}</h1><p>{escape(text)}</p><p><a href="/">All studies</a></p>')


def page(title: str, body: str, head: str = "") -> str:
    """Return a whole page around a body."""
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>{head}'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{STYLE}</style></head>'
        f"<body><main>{body}</main></body></html>\n"
    )


def _row(name: str, study: StudyFolder, at: Progress) -> str:
    # a name is bytes, and need not be text: the address holds them all
    base, title, shown = f"/study/{quote(os.fsencode(name))}", escape(printable(at.name)), printable(name)
    place = f"<small>{escape(shown)}</small>" if shown != at.name else ""
    if at.error:
        told = f"<span class=bad>unreadable</span><small>{escape(printable(at.error))}</small>"
        return f"<tr><td>{title}{place}<td colspan=6>{told}"
    files = [f'<a href="{base}/{file}">{file.partition(".")[2]}</a>' for file in REPORT_FILES[1:] if study.file(file)]
    damage = "".join(f"<small class=bad>{escape(sentence)}</small>" for sentence in at.damage[:SENTENCES])
    counts = "".join(
        _count(number, bad) for number, bad in ((at.running, False), (at.diverged, True), (at.failed, True))
    )
    return (
        f'<tr><td><a href="{base}/report.html">{title}</a>{place}'
        f'<td><progress value="{at.share:.4f}"></progress><small>{at.done} of {at.planned} runs, {at.state}</small>'
        f"{damage}"
        f"{counts}<td class=when>{_when(at.changed)}<td class=files>{''.join(files) or '<span class=zero>-</span>'}"
    )


def _count(number: int, bad: bool) -> str:
    return f'<td class="n{" zero" if not number else " bad" if bad else ""}">{number}'


def _when(stamp: float) -> str:
    passed = max(0.0, time.time() - stamp)
    size = next(
        ((n, unit) for n, unit in ((86400, "day"), (3600, "hour"), (60, "minute")) if passed >= n), (1, "second")
    )
    number = int(passed / size[0])
    exact = datetime.fromtimestamp(stamp, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    return f'<span title="{exact}">{number} {size[1]}{"s" * (number != 1)} ago</span>'
