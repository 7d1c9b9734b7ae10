"""Training on this machine: a worker process a core, or this very process."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ganbench.executors.work import cost, perform
from ganbench.plan import Plan, Run
from ganbench.results.store import Store

Watch = Callable[[str, dict[str, Any]], None]


def execute(store: Store, plan: Plan, todo: dict[str, list[Run]], device: str, workers: int, watch: Watch) -> None:
    """Train populations by name, the longest first; `watch(name, event)` is told of progress.

    With one worker the work is done in this process, with more in processes of their own, one core each.
    """
    order = sorted(todo, key=lambda name: cost(todo[name]), reverse=True)
    if workers <= 1:
        for name in order:
            perform(store, plan, name, todo[name], device, lambda event, name=name: watch(name, event))  # type: ignore[misc]
    else:
        _Pool(store, device, plan.plugin_files, watch).run(order, min(workers, len(order)))


@dataclass
class _Worker:
    process: subprocess.Popen[str]
    name: str = ""


def _end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.wait()
    assert process.stdin is not None
    with suppress(BrokenPipeError):
        process.stdin.close()


@contextmanager
def _interrupt_later() -> Iterator[None]:
    """Hold back Ctrl-C, and have processes that start meanwhile inherit it: they cannot ignore it before seconds."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class _Pool:
    """Worker processes that take the next population as soon as they are free."""

    def __init__(self, store: Store, device: str, plugin_files: Sequence[str], watch: Watch) -> None:
        self.store, self.device, self.watch = store, device, watch
        self.plugin_files = plugin_files
        self.events: queue.Queue[tuple[_Worker, dict[str, Any] | None]] = queue.Queue()
        self.workers: list[_Worker] = []

    def run(self, names: list[str], workers: int) -> None:
        """Train all named populations; a worker that dies costs its population only."""
        waiting = list(names)
        try:
            for _ in range(workers):
                self._start()
            busy = workers
            while busy:
                worker, event = self.events.get()
                if event is None:
                    busy -= 1
                    if self._died(worker) and waiting:
                        self._start()
                        busy += 1
                elif event["event"] not in ("ready", "finished", "failed"):
                    self.watch(worker.name, event)
                else:
                    if worker.name:
                        self.watch(worker.name, event)
                    worker.name = waiting.pop(0) if waiting else ""
                    self._send(worker)
            for name in waiting:
                self._fail(name, "no worker process could be started")
        finally:
            for worker in self.workers:
                _end(worker.process)

    def _start(self) -> None:
        # one core each: sums split over threads round differently on machines with other numbers of cores
        package = str(Path(__file__).parents[2])
        path = os.pathsep.join(filter(None, [package, os.environ.get("PYTHONPATH", "")]))
        with _interrupt_later():
            arguments = [str(self.store.path), self.device, *self.plugin_files]
            process = subprocess.Popen(  # noqa: S603 - this interpreter, our own module
                [sys.executable, "-m", "ganbench.executors.worker", *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"},
            )
            worker = _Worker(process)
            self.workers.append(worker)
        threading.Thread(target=self._listen, args=(worker,), daemon=True).start()

    def _listen(self, worker: _Worker) -> None:
        assert worker.process.stdout is not None
        with worker.process.stdout as lines:
            for line in lines:
                self.events.put((worker, json.loads(line)))
        worker.process.wait()
        self.events.put((worker, None))

    def _send(self, worker: _Worker) -> None:
        assert worker.process.stdin is not None
        # a worker that died in between is noticed by its listener
        with suppress(BrokenPipeError):
            if worker.name:
                print(worker.name, file=worker.process.stdin, flush=True)
            else:
                worker.process.stdin.close()

    def _died(self, worker: _Worker) -> bool:
        """Record the population of a worker that ended in the middle of it, and tell whether there was one."""
        if worker.name:
            self._fail(worker.name, f"the worker process ended with code {worker.process.returncode} (out of memory?)")
        return bool(worker.name)

    def _fail(self, name: str, error: str) -> None:
        self.store.population(name).fail(error)
        self.watch(name, {"event": "failed", "error": error})
