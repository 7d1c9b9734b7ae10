"""A small web server for studies: an index with their progress, and their reports, rebuilt while they run.

Standard library only. It answers GET and HEAD, and gives away report files of the studies it lists, nothing else.
"""

from __future__ import annotations

import errno
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path
from socket import AF_INET6
from socketserver import TCPServer
from typing import Any
from urllib.parse import unquote_to_bytes, urlsplit

from ganbench.errors import UserError
from ganbench.plan import Plan
from ganbench.results.population import PopulationFolder
from ganbench.results.reading import Unreadable, printable, read_bytes
from ganbench.results.store import REPORT_FILES, Store
from ganbench.serve_pages import StudyProgress, index, message

DEPTH = 3
"""How many directories below the served one are looked through for studies."""

REBUILD_SECONDS, REBUILD_SHARE = 30.0, 0.05
"""A report is rebuilt at most this often, and takes at most this share of the time: training needs the processor."""

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


class StudyFolder:
    """One study as the server sees it: its progress, and its report, which it keeps up to date."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._store = Store(path)
        self._plan: tuple[int, Plan] | None = None
        self._verified: dict[str, tuple[float, PopulationFolder, bool]] = {}
        self._lock = threading.Lock()
        self._built_of, self._pause_until = 0.0, 0.0
        self._problem = ""

    def progress(self) -> StudyProgress:
        """Return how far the study is; never raises, for others may be at work on the files."""
        try:
            return self._progress(self._read_plan())
        except (UserError, OSError, ValueError, KeyError, TypeError) as error:
            return StudyProgress(self.path.name, error=str(error))

    def _read_plan(self) -> Plan:
        stamp = self._store.plan_file.stat().st_mtime_ns
        if self._plan is None or self._plan[0] != stamp:
            self._plan = (stamp, self._store.read_plan())
        return self._plan[1]

    def _seen(self, plan: Plan, population: PopulationFolder) -> tuple[PopulationFolder, bool]:
        """Return a population as it was verified last, and whether it is complete and whole."""
        stamp = max((_stamp(file) for file in population.path.glob("*")), default=0.0)
        if (known := self._verified.get(population.id)) is None or known[0] != stamp:
            self._verified[population.id] = known = (stamp, population, population.verify(plan))
        return known[1:]

    def _progress(self, plan: Plan) -> StudyProgress:
        steps, damage = plan.steps_of, self._store.damage()
        done = diverged = failed = running = 0
        share = 0.0
        for folder in self._store.populations():
            population, whole = self._seen(plan, folder)
            damage += population.damage
            runs = [run for run in population.runs() if run in steps]
            if whole and (ended := population.done()):
                done, diverged = done + len(runs), diverged + sum(step >= 0 for step in ended["diverged_step"])
            elif population.failed():
                failed += len(runs)
            else:
                running, at = running + len(runs), last_step(population)
                share += sum(min(at / steps[run], 1.0) for run in runs if steps[run])
        share = (share + done) / len(steps) if steps else 1.0
        work, heard = self._store.work()
        # who has told nothing is not asked for the lock, which a command that starts could find taken
        work = work if work and self._store.is_held() else None
        return StudyProgress(plan.name, len(steps), done, diverged, failed, running, share, self.changed(),
                        damage=tuple(map(str, damage)), work=work, heard=heard or 0.0)  # fmt: skip

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
        # and without the working directory on its path: what lies there is not ours to run
        command = [sys.executable, "-P", "-m", "ganbench", "report", str(self.path.resolve())]
        path = os.pathsep.join(filter(None, [str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")]))
        ended = subprocess.run(  # noqa: S603 - our own program
            command, capture_output=True, encoding="utf-8", errors="replace", check=False,
            env={**os.environ, "PYTHONPATH": path},
        )  # fmt: skip
        told = ended.stderr.strip().splitlines() or ["no reason was given"]
        self._problem = told[-1].removeprefix("Error: ") if ended.returncode else ""
        self._built_of, now = changed, time.monotonic()
        self._pause_until = now + max(REBUILD_SECONDS, (now - started) / REBUILD_SHARE)

    def files(self) -> list[str]:
        """Return which files there are beside the report."""
        return [name for name in REPORT_FILES[1:] if self.file(name)]

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
        lines = read_bytes(population.path / "series.jsonl").splitlines()
    except Unreadable:
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
        if _is_study(self.folder):
            found = {self.folder.resolve().name or "study": self.folder}
        else:
            found = {path.relative_to(self.folder).as_posix(): path for path in _find(self.folder, DEPTH)}
        with self._lock:
            return {name: self._known.setdefault(path, StudyFolder(path)) for name, path in sorted(found.items())}

    def page(self) -> str:
        """Return the page that lists the studies."""
        return index(self.folder, {name: (study.progress(), study.files()) for name, study in self.studies().items()})

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
        if _is_study(path):
            yield path
        elif depth > 1:
            yield from _find(path, depth - 1)


def _is_study(folder: Path) -> bool:
    try:
        return Store(folder).exists()
    except OSError:
        return False


def _stamp(file: Path) -> float:
    try:
        return file.stat().st_mtime
    except OSError:
        return 0.0


class Server(ThreadingHTTPServer):
    """Listens, and answers every request in a thread of its own that does not outlive it."""

    daemon_threads = True

    def __init__(self, site: Site, host: str, port: int) -> None:
        self.site, self.host = site, host
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

    def handle_error(self, request: object, client_address: object) -> None:
        # a browser that left is no error, and the terminal belongs to the user
        error = sys.exception()
        if not isinstance(error, (ConnectionError, TimeoutError)):
            print(printable(f"A request was not answered: {type(error).__name__}: {error}"), file=sys.stderr)


def is_ours(host: str, bound: str) -> bool:
    """Tell whether a Host header means this server: an IP address, localhost, or the name that it was bound to.

    Any other name may have been pointed here by whoever owns it (DNS rebinding).
    """
    try:
        name = (urlsplit(f"//{host}").hostname or "").rstrip(".")
        if name == "localhost" or name.endswith(".localhost") or name == bound.lower():
            return True
        ip_address(name)
    except ValueError:
        return False
    return True


def is_sound(target: str) -> bool:
    """Tell whether a request's target can be a page: a path from the root, whose escapes are whole and lead nowhere."""
    path = target.partition("?")[0].partition("#")[0]
    if not path.startswith("/") or re.search("%(?![0-9A-Fa-f]{2})", path) or not target.isascii():
        return False
    plain = unquote_to_bytes(path)
    return not re.search(rb"[\x00-\x1f\x7f]", plain) and b".." not in re.split(rb"[/\\]", plain)


class Handler(BaseHTTPRequestHandler):
    """Answers one request."""

    server: Server
    server_version, sys_version = "ganbench", ""
    timeout = 30

    def do_GET(self) -> None:
        """Answer with the index or a report file."""
        if refusal := self._refusal():
            self._page(message("Not answered", refusal[1]), refusal[0])
            return
        path = os.fsdecode(unquote_to_bytes(self.path.partition("?")[0].partition("#")[0]))
        if path == "/":
            self._page(self.server.site.page())
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

    def _refusal(self) -> tuple[HTTPStatus, str] | None:
        """Return why a request is not answered at all, None where it is."""
        hosts = self.headers.get_all("Host", [])
        if len(hosts) > 1:
            return HTTPStatus.BAD_REQUEST, "The request names several hosts."
        if hosts and not is_ours(hosts[0], self.server.host):
            # a page of another site whose name leads here could read what the browser's user may see
            return HTTPStatus.MISDIRECTED_REQUEST, "Ask for an IP address, for localhost, or for the name after --host."
        if not is_sound(self.path):
            return HTTPStatus.BAD_REQUEST, "The address is not one of a page."
        return None

    do_HEAD = do_GET  # noqa: N815 - the name that http.server calls

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: the terminal belongs to the user."""

    def _missing(self) -> None:
        self._page(message("Not found", "There is no such page."), HTTPStatus.NOT_FOUND)

    def _page(self, html: str, status: HTTPStatus = HTTPStatus.OK) -> None:
        self._send(status, ".html", html.encode("utf-8", "replace"), safe=True)

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
