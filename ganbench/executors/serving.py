"""A process on this machine that trains for others, and stays for the next job of the plan: torch takes seconds."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ganbench.identity import contents

PACKAGE = Path(__file__).parents[1]


def worker_command(study: Path, device: str, files: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """Return the command of a worker process, and its environment."""
    # the paths of this process and no other: the interpreter would put the working directory in front of them
    paths = [os.path.abspath(path) for path in sys.path if path]
    # where it is installed beside a library, an installed copy of that must not come before the one in use
    paths = paths if str(PACKAGE.parent) in paths else [str(PACKAGE.parent), *paths]
    # one core each: sums split over threads round differently on machines with other numbers of cores
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(dict.fromkeys(paths)),
        "OMP_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
    }
    return [sys.executable, "-P", "-m", "ganbench.executors.worker", str(study), device, *files], environment


@dataclass
class _Process:
    process: subprocess.Popen[str]
    files: tuple[str, ...]


_idle: dict[str, list[_Process]] = {}
_guard = threading.Lock()


class Server:
    """Performs a job in a worker process: one that waits for the same plan, or a new one."""

    def __init__(self, study: Path, device: str, files: Sequence[str]) -> None:
        self.study, self.device, self.files = study, device, tuple(files)
        plan = (study / "plan.yaml").read_bytes() + (study / "environments.jsonl").read_bytes()
        texts = [Path(file).read_bytes() for file in files]
        self.key = contents.of_bytes(b"\0".join([plan, device.encode(), *texts]))

    def perform(self, asked: dict[str, Any], take: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
        """Have a job done; pass on what it tells and return its last event, "unfit" where the process refuses."""
        try:
            worker = self._take() or self._start()
        except _UnfitError as error:
            return {"event": "unfit", "error": str(error)}
        process = worker.process
        assert process.stdin is not None
        assert process.stdout is not None
        with suppress(BrokenPipeError):
            print(json.dumps({**asked, "into": str(self.study)}), file=process.stdin, flush=True)
        for line in process.stdout:
            event = json.loads(line)
            if event["event"] in ("finished", "failed"):
                with _guard:
                    _idle.setdefault(self.key, []).append(worker)
                return dict(event)
            take(event)
        code = process.wait()
        _end(process)
        return {"event": "failed", "error": f"the worker process ended with code {code} (out of memory?)"}

    def _take(self) -> _Process | None:
        with _guard:
            for key in [key for key in _idle if key != self.key]:
                for worker in _idle.pop(key):
                    _end(worker.process)
            waiting = _idle.get(self.key, [])
            while waiting:
                worker = waiting.pop()
                if worker.process.poll() is None:
                    return worker
                _end(worker.process)
        return None

    def _start(self) -> _Process:
        command, environment = worker_command(self.study, self.device, self.files)
        process = subprocess.Popen(  # noqa: S603 - this interpreter, our own module
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )
        assert process.stdout is not None
        said = json.loads(process.stdout.readline() or "{}")
        if said.get("event") == "ready":
            return _Process(process, self.files)
        _end(process)
        raise _UnfitError(said.get("error", "no worker process could be started"))


class _UnfitError(Exception):
    pass


def close() -> None:
    """End the processes that wait for more work."""
    with _guard:
        for workers in _idle.values():
            for worker in workers:
                _end(worker.process)
        _idle.clear()


def _end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.wait()
    for stream in (process.stdin, process.stdout):
        if stream:
            with suppress(BrokenPipeError):
                stream.close()
