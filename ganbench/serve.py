"""A small web server for studies: an index with their progress, and their reports, rebuilt while they run.

Standard library only. It answers GET and HEAD, and gives away report files of the studies it lists, nothing else.
"""

from __future__ import annotations

import errno
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socket import AF_INET6
from socketserver import TCPServer
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from ganbench.errors import UserError
from ganbench.plan import Plan
from ganbench.results.store import REPORT_FILES, PopulationFolder, Store

DEPTH = 3
"""How many directories below the served one are looked through for studies."""

REBUILD_SECONDS, REBUILD_SHARE = 30.0, 0.05
"""A report is rebuilt at most this often, and takes at most this share of the time: training needs the processor."""

REFRESH_SECONDS, IDLE_SECONDS = 5, 30
TYPES = {
    ".html": "text/html; charset=utf-8", ".md": "text/markdown; charset=utf-8", ".csv": "text/csv; charset=utf-8",
    ".json": "application/json", ".parquet": "application/vnd.apache.parquet", ".png": "image/png",
    ".svg": "image/svg+xml",
}  # fmt: skip
FIGURE = re.compile(r"figures/[A-Za-z0-9_-][A-Za-z0-9._-]*\.(png|svg)")


def serve(folder: Path, host: str, port: int, tell: Callable[[str], None] = print) -> None:
    """Serve the studies under a directory, or the one study that it is, until Ctrl-C.

    tell: called with the address once it listens. UserError where there is no such directory, or no such address.
    """
    if not folder.is_dir():
        raise UserError(f"There is no directory '{folder}' to serve studies from.")
    with listen(Site(folder), host, port) as server:
        tell(f"Serving {folder} at {server.address} (Ctrl-C ends it)")
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            tell("Stopped.")


def listen(site: Site, host: str, port: int) -> Server:
    """Return a server that listens; UserError where it cannot. Port 0 takes a free one."""
    if not 0 <= port <= 65535:
        raise UserError(f"The port must be between 0 and 65535, got {port}.")
    try:
        return Server(site, host, port)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise UserError(f"Port {port} of {host} is in use; choose another --port.") from error
        raise UserError(f"Cannot listen on port {port} of '{host}': {error.strerror or error}.") from error


@dataclass(frozen=True)
class Progress:
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


class StudyFolder:
    """One study as the server sees it: its progress, and its report, which it keeps up to date."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._store = Store(path)
        self._plan: tuple[int, Plan] | None = None
        self._lock = threading.Lock()
        self._built_of, self._pause_until = 0.0, 0.0
        self._problem = ""

    def progress(self) -> Progress:
        """Return how far the study is; never raises, for others may be at work on the files."""
        try:
            return self._progress(self._read_plan())
        except (UserError, OSError, ValueError, KeyError, TypeError) as error:
            return Progress(self.path.name, error=str(error))

    def _read_plan(self) -> Plan:
        stamp = self._store.plan_file.stat().st_mtime_ns
        if self._plan is None or self._plan[0] != stamp:
            self._plan = (stamp, self._store.read_plan())
        return self._plan[1]

    def _progress(self, plan: Plan) -> Progress:
        steps = {run.id: run.variant.steps for run in plan.runs}
        done = diverged = failed = running = 0
        share = 0.0
        for population in self._store.populations():
            runs = [run for run in population.runs() if run in steps]
            if ended := population.done():
                done, diverged = done + len(runs), diverged + sum(step >= 0 for step in ended["diverged_step"])
            elif population.failed():
                failed += len(runs)
            else:
                running, at = running + len(runs), last_step(population)
                share += sum(min(at / steps[run], 1.0) for run in runs if steps[run])
        share = (share + done) / len(steps) if steps else 1.0
        return Progress(plan.name, len(steps), done, diverged, failed, running, share, self.changed())

    def changed(self) -> float:
        """Return when the results changed last, in seconds since the epoch."""
        files = [self._store.plan_file, self.path / "sessions.jsonl"]
        files += self.path.glob("populations/*/*.json*")
        return max((stamp for file in files if (stamp := _stamp(file))), default=0.0)

    def fresh_report(self) -> str:
        """Rebuild the report where results are newer, and return why that failed, or nothing.

        Where another request is at it the report as it is will do; without one, it waits for it.
        """
        if self._stale() and self._lock.acquire(blocking=not self._report.exists()):
            try:
                if self._stale():
                    self._build()
            finally:
                self._lock.release()
        return self._problem

    @property
    def _report(self) -> Path:
        return self.path / "report.html"

    def _stale(self) -> bool:
        if time.monotonic() < self._pause_until:
            return False
        written, changed = _stamp(self._report), self.changed()
        # what changed while the last report was built is older than it, and not in it
        return changed > written or 0 < self._built_of < changed

    def _build(self) -> None:
        started, changed = time.monotonic(), self.changed()
        # in a process of its own: it computes for seconds, and the index must not wait for that
        command = [sys.executable, "-m", "ganbench", "report", str(self.path.resolve())]
        ended = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - our own program
        told = ended.stderr.strip().splitlines() or ["no reason was given"]
        self._problem = told[-1].removeprefix("Error: ") if ended.returncode else ""
        self._built_of, now = changed, time.monotonic()
        self._pause_until = now + max(REBUILD_SECONDS, (now - started) / REBUILD_SHARE)

    def file(self, name: str) -> Path | None:
        """Return a report file by its name within the study; None for anything else, and for a link that leads out."""
        if name not in REPORT_FILES and not FIGURE.fullmatch(name):
            return None
        file = self.path / name
        inside = file.resolve().is_relative_to(self.path.resolve())
        return file if inside and file.is_file() else None


def last_step(population: PopulationFolder) -> int:
    """Return the last step that a population has recorded, 0 where there is none yet."""
    try:
        lines = (population.path / "series.jsonl").read_bytes().splitlines()
    except OSError:
        return 0
    found = (re.match(rb'\{"step":(\d+),', line) for line in reversed(lines))
    return next((int(match[1]) for match in found if match), 0)


class Site:
    """The studies under a directory, found anew at every look, by the names that their addresses have."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._known: dict[Path, StudyFolder] = {}
        self._lock = threading.Lock()

    def studies(self) -> dict[str, StudyFolder]:
        """Return the studies by their path under the directory; its own name where it is a study itself."""
        if Store(self.folder).exists():
            found = {self.folder.resolve().name or "study": self.folder}
        else:
            found = {path.relative_to(self.folder).as_posix(): path for path in _find(self.folder, DEPTH)}
        with self._lock:
            return {name: self._known.setdefault(path, StudyFolder(path)) for name, path in sorted(found.items())}

    def locate(self, path: str) -> tuple[StudyFolder, str] | None:
        """Return the study and the file's name within it that a decoded address names; None for any other address."""
        for name, study in self.studies().items():
            prefix = f"/study/{name}/"
            if path.startswith(prefix):
                return study, path.removeprefix(prefix)
        return None


def _find(folder: Path, depth: int) -> Iterator[Path]:
    try:
        children = [path for path in folder.iterdir() if path.is_dir() and not path.is_symlink()]
    except OSError:
        return
    for path in children:
        if path.name.startswith("."):
            continue
        if Store(path).exists():
            yield path
        elif depth > 1:
            yield from _find(path, depth - 1)


def _stamp(file: Path) -> float:
    try:
        return file.stat().st_mtime
    except OSError:
        return 0.0


class Server(ThreadingHTTPServer):
    """Listens, and answers every request in a thread of its own that does not outlive it."""

    daemon_threads = True

    def __init__(self, site: Site, host: str, port: int) -> None:
        self.site = site
        if ":" in host:
            self.address_family = AF_INET6
        super().__init__((host, port), Handler)

    def server_bind(self) -> None:
        # HTTPServer would ask for the host's full name, which waits for the network and is never used
        TCPServer.server_bind(self)

    @property
    def address(self) -> str:
        """The address of the index page."""
        host, port = self.server_address[:2]
        name = str(host)
        return f"http://{f'[{name}]' if ':' in name else name}:{port}/"

    def handle_error(self, request: Any, client_address: Any) -> None:
        # a browser that left is no error
        if not isinstance(sys.exception(), (ConnectionError, TimeoutError)):
            super().handle_error(request, client_address)


class Handler(BaseHTTPRequestHandler):
    """Answers one request."""

    server: Server
    server_version, sys_version = "ganbench", ""
    timeout = 30

    def do_GET(self) -> None:
        """Answer with the index or a report file."""
        path = unquote(urlsplit(self.path).path)
        if path == "/":
            self._page(index(self.server.site))
            return
        found = self.server.site.locate(path)
        if found is None:
            self._missing()
            return
        study, name = found
        problem = study.fresh_report() if name == "report.html" else ""
        file = study.file(name)
        if file is not None:
            self._send(HTTPStatus.OK, file.suffix, file.read_bytes())
        elif problem:
            self._page(
                message("No report", f"The report could not be written: {problem}"), HTTPStatus.SERVICE_UNAVAILABLE
            )
        else:
            self._missing()

    do_HEAD = do_GET  # noqa: N815 - the name that http.server calls

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: the terminal belongs to the user."""

    def _missing(self) -> None:
        self._page(message("Not found", "There is no such page."), HTTPStatus.NOT_FOUND)

    def _page(self, html: str, status: HTTPStatus = HTTPStatus.OK) -> None:
        self._send(status, ".html", html.encode(), safe=True)

    def _send(self, status: HTTPStatus, suffix: str, content: bytes, *, safe: bool = False) -> None:
        self.send_response(status)
        self.send_header("Content-Type", TYPES[suffix])
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Cache-Control", "no-cache")
        self.send_header("X-Content-Type-Options", "nosniff")
        if safe or suffix != ".html":
            # a report has scripts, and a policy of its own that names them
            self.send_header("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)


STYLE = """
:root { color-scheme: light dark; --bg: #fff; --ink: #1b1d21; --soft: #5d636d; --line: #e2e4e8; --card: #f6f7f9;
  --accent: #0072b2; --bad: #c14a00; }
@media (prefers-color-scheme: dark) { :root { --bg: #15171b; --ink: #e6e8eb; --soft: #a0a6b0; --line: #30343b;
  --card: #1e2126; --accent: #62b5ea; --bad: #ee8850; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--bg); color: var(--ink); font: 15px/1.5 system-ui, -apple-system, "Segoe UI",
  Roboto, "Helvetica Neue", "Noto Sans", "Liberation Sans", sans-serif; font-variant-numeric: tabular-nums; }
main { max-width: 1080px; margin: 0 auto; padding: 1.2rem 1.25rem 3rem; }
a { color: var(--accent); text-decoration: none; } a:hover { text-decoration: underline; }
h1 { font-size: 1.65rem; line-height: 1.2; margin: 1rem 0 .2rem; letter-spacing: -.01em; }
p, footer { color: var(--soft); margin: .2rem 0 1.2rem; } footer { font-size: 13px; margin-top: 1.4rem; }
code { font: 13px ui-monospace, Menlo, Consolas, monospace; color: var(--ink); }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; padding: .6rem .7rem .6rem 0; border-bottom: 1px solid var(--line); vertical-align: top; }
th { color: var(--soft); font-size: 12.5px; font-weight: 600; padding-bottom: .3rem; vertical-align: bottom; }
td.n, th.n { text-align: right; padding-right: 1.2rem; } td:first-child { min-width: 13rem; overflow-wrap: anywhere; }
td:first-child a { font-weight: 600; }
small { display: block; color: var(--soft); font-size: 12.5px; } .bad { color: var(--bad); font-weight: 600; }
.zero { color: var(--soft); } td.when, td.files { white-space: nowrap; font-size: 13.5px; }
td.files a { margin-right: .6rem; }
progress { appearance: none; -webkit-appearance: none; width: 100%; min-width: 9rem; height: 7px; border: 0;
  display: block; border-radius: 4px; background: var(--line); overflow: hidden; margin: .5rem 0 .3rem; }
progress::-webkit-progress-bar { background: var(--line); }
progress::-webkit-progress-value { background: var(--accent); }
progress::-moz-progress-bar { background: var(--accent); }
.empty { background: var(--card); border-radius: 8px; padding: 1.2rem 1.4rem; }
"""


def index(site: Site) -> str:
    """Return the page that lists the studies; it loads itself again every few seconds."""
    progress = {name: (study, study.progress()) for name, study in site.studies().items()}
    waits = IDLE_SECONDS if progress and all(p.complete for _, p in progress.values()) else REFRESH_SECONDS
    place = escape(str(site.folder))
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
    base, title = f"/study/{quote(name)}", escape(at.name)
    place = f"<small>{escape(name)}</small>" if name != at.name else ""
    if at.error:
        return f"<tr><td>{title}{place}<td colspan=6><span class=bad>unreadable</span><small>{escape(at.error)}</small>"
    files = [f'<a href="{base}/{file}">{file.partition(".")[2]}</a>' for file in REPORT_FILES[1:] if study.file(file)]
    counts = "".join(
        _count(number, bad) for number, bad in ((at.running, False), (at.diverged, True), (at.failed, True))
    )
    return (
        f'<tr><td><a href="{base}/report.html">{title}</a>{place}'
        f'<td><progress value="{at.share:.4f}"></progress><small>{at.done} of {at.planned} runs, {at.state}</small>'
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
