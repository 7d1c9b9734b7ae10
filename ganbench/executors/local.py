"""Training on this machine: worker processes, or this very process."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ganbench.executors.blame import Failure, Schedule
from ganbench.executors.work import Job, perform
from ganbench.plan import Plan, Run
from ganbench.results.store import Store

Event = dict[str, Any]
Watch = Callable[[str, Event], None]

STARTS = 3
"""How often in a row a worker may end before it is ready, until nobody can be expected to start."""


def execute(
    store: Store, plan: Plan, todo: Mapping[str, Sequence[Run]], device: str, workers: int, watch: Watch
) -> None:
    """Train populations by name, the longest first; `watch(name, event)` is told of progress.

    With no workers the work is done in this process, else in processes of their own, one core each.
    """
    schedule = Schedule(store, plan, todo)
    if workers:
        _Pool(store, plan, device, schedule, watch).run(min(workers, len(todo)))
        return
    with _interrupts() as interrupted:
        while job := schedule.next():
            collector = _Collector(job, watch)
            perform(store, plan, job, device, collector.take)
            if interrupted():
                raise KeyboardInterrupt
            collector.tell_end(schedule)


@dataclass
class _Collector:
    """Passes the events of a job on, and keeps the one that ends it."""

    job: Job
    watch: Watch
    step: int = 0
    last: Event | None = None

    def take(self, event: Event) -> None:
        if event["event"] in ("finished", "failed"):
            self.last = event
        else:
            self.step = event.get("step", self.step)
            if not self.job.until:
                self.watch(self.job.name, event)

    def tell_end(self, schedule: Schedule) -> None:
        """Tell the schedule how the job ended, and the watcher what is final."""
        event = self.last or {"event": "failed", "error": "it ended without a word"}
        if event["event"] == "finished":
            schedule.ended(self.job, None)
            if not self.job.until:
                self.watch(self.job.name, event)
            return
        failure = Failure(event["error"], event.get("details", ""), self.step, tuple(event.get("guilty", ())))
        for name, error in schedule.ended(self.job, failure):
            self.watch(name, {"event": "failed", "error": error})


@contextmanager
def _interrupts() -> Iterator[Callable[[], bool]]:
    """Tell Ctrl-C from a KeyboardInterrupt that a plug-in raises: give what says whether the key was pressed."""
    pressed: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return

    def handle(number: int, frame: Any) -> None:
        pressed.append(number)
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, handle)
    try:
        yield lambda: bool(pressed)
    finally:
        signal.signal(signal.SIGINT, before)


@dataclass
class _Worker:
    process: subprocess.Popen[str]
    work: _Collector | None = None
    ready: bool = False


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
    """Worker processes that take the next job as soon as they are free."""

    def __init__(self, store: Store, plan: Plan, device: str, schedule: Schedule, watch: Watch) -> None:
        self.store, self.plan, self.device, self.schedule, self.watch = store, plan, device, schedule, watch
        self.events: queue.Queue[tuple[_Worker, Event | None]] = queue.Queue()
        self.workers: list[_Worker] = []
        self.dead = 0
        self.unfit = "no worker process could be started"

    def run(self, workers: int) -> None:
        """Do all jobs; a worker that dies costs the job that it was at."""
        try:
            for _ in range(workers):
                self._start()
            while self._goes_on():
                worker, event = self.events.get()
                if event is None:
                    self._gone(worker)
                elif event["event"] == "ready":
                    worker.ready, self.dead = True, 0
                elif event["event"] == "unfit":
                    self.unfit, self.dead = event["error"], STARTS
                elif worker.work:
                    worker.work.take(event)
                    if worker.work.last:
                        work, worker.work = worker.work, None
                        work.tell_end(self.schedule)
                self._hand_out()
            while job := self.schedule.next():
                self._give_up(job, self.unfit)
        finally:
            for worker in self.workers:
                _end(worker.process)

    def _goes_on(self) -> bool:
        busy = any(worker.work for worker in self.workers)
        return busy or (bool(self.schedule.waiting) and bool(self.workers))

    def _hand_out(self) -> None:
        for worker in self.workers:
            if worker.ready and not worker.work and (job := self.schedule.next()):
                worker.work = _Collector(job, self.watch)
                asked = {"name": job.name, "runs": [run.id for run in job.runs], "until": job.until}
                assert worker.process.stdin is not None
                # a worker that died in between is noticed by its listener
                with suppress(BrokenPipeError):
                    print(json.dumps(asked), file=worker.process.stdin, flush=True)

    def _gone(self, worker: _Worker) -> None:
        """Take a worker off the list, its job for failed, and start another where there is work for one."""
        self.workers.remove(worker)
        _end(worker.process)
        if worker.work:
            code = worker.process.returncode
            self._give_up(worker.work.job, f"the worker process ended with code {code} (out of memory?)")
        elif not worker.ready:
            self.dead += 1
        if self.schedule.waiting and self.dead < STARTS:
            self._start()

    def _give_up(self, job: Job, error: str) -> None:
        collector = _Collector(job, self.watch, last={"event": "failed", "error": error})
        collector.tell_end(self.schedule)

    def _start(self) -> None:
        # one core each: sums split over threads round differently on machines with other numbers of cores
        package = str(Path(__file__).parents[2])
        # the paths of this process and no other: the interpreter would put the working directory in front of them
        paths = [package, *(os.path.abspath(path) for path in sys.path if path)]
        arguments = [str(self.store.path.absolute()), self.device, *self.plan.plugin_files]
        with _interrupt_later():
            process = subprocess.Popen(  # noqa: S603 - this interpreter, our own module
                [sys.executable, "-P", "-m", "ganbench.executors.worker", *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                env={
                    **os.environ,
                    "PYTHONPATH": os.pathsep.join(dict.fromkeys(paths)),
                    "OMP_NUM_THREADS": "1",
                    "MKL_NUM_THREADS": "1",
                },
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
