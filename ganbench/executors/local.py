"""Training on this machine: worker processes, or this very process."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from ganbench import registry
from ganbench.errors import UserError, quoted
from ganbench.executing import LOCAL
from ganbench.executors import forked
from ganbench.executors.base import Executor, Task, Tasks
from ganbench.executors.isolate import Event
from ganbench.executors.serving import PACKAGE, worker_command
from ganbench.plan import Plan

STARTS = 3
"""How often in a row a worker may end before it is ready, until nobody can be expected to start."""


@dataclass(frozen=True)
class Local:
    """Trains on this machine: in `processes` of its own, one core each, or with none in this very process."""

    processes: int

    @property
    def workers(self) -> int:
        """How many jobs are performed at once."""
        return max(self.processes, 1)

    def run(self, tasks: Tasks) -> None:
        """Have every task performed and ended."""
        if self.processes:
            _Pool(tasks).run(min(self.processes, tasks.waiting))
            return
        while task := tasks.next():
            task.perform()
            task.end()


def choose(plan: Plan, device: str, workers: int | None = None, executor: Executor | None = None) -> Executor:
    """Return the executor that was given, else the plan's, else this machine with so many workers; UserError where an
    executor and workers are given."""
    if executor is not None and workers is not None:
        raise UserError("An executor has its own number of workers: give one of the two, executor or workers.")
    if executor is not None:
        return executor
    if plan.executor and workers is not None:
        raise UserError(f"The executor '{plan.executor['name']}' has its own workers: leave --workers out.")
    named = plan.executor.get("name", LOCAL)
    settings = {key: value for key, value in plan.executor.items() if key != "name"}
    if named == LOCAL:
        return Local(pick_workers(plan, device, settings.get("workers") or workers))
    made: Executor = registry.get("executor", named)(**settings)
    return made


def pick_workers(plan: Plan, device: str, workers: int | None) -> int:
    """Return the number of worker processes; 0 where the work is done in this process: where a plug-in lives in this
    session only, on a GPU unless workers are asked for, and for one worker that has this package's own plug-ins alone
    to run."""
    if workers is not None and (isinstance(workers, bool) or not isinstance(workers, int) or workers < 1):
        raise UserError(f"The number of workers must be at least 1, got {quoted(workers)}.")
    files = {registry.get(*key.split(".", 1)).source for key in plan.versions}
    package = str(PACKAGE)
    foreign = {file for file in files if not file or not file.startswith(package)}
    if not foreign <= set(plan.plugin_files) or (workers == 1 and not foreign):
        return 0
    if device != "cpu":
        return workers or 0
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return workers or cores


Process = subprocess.Popen[str] | forked.Forked


@dataclass
class _Worker:
    process: Process
    task: Task | None = None
    ready: bool = False


def _end(process: Process) -> None:
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

    def __init__(self, tasks: Tasks) -> None:
        self.tasks = tasks
        self.events: queue.Queue[tuple[_Worker, Event | None]] = queue.Queue()
        self.workers: list[_Worker] = []
        self.dead = 0
        self.unfit = "no worker process could be started"

    def run(self, workers: int) -> None:
        """Do all jobs; a worker that dies costs the job that it was at."""
        try:
            if forked.is_allowed(self.tasks.plan.plugin_files):
                self._split(workers)
            else:
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
                elif worker.task:
                    worker.task.take(event)
                    if worker.task.last:
                        task, worker.task = worker.task, None
                        task.end()
                self._hand_out()
            while left := self.tasks.next():
                left.end(self.unfit)
        finally:
            for worker in self.workers:
                _end(worker.process)

    def _goes_on(self) -> bool:
        busy = any(worker.task for worker in self.workers)
        return busy or bool(self.tasks.waiting and self.workers)

    def _hand_out(self) -> None:
        for worker in self.workers:
            if worker.ready and not worker.task and (task := self.tasks.next()):
                worker.task = task
                assert worker.process.stdin is not None
                # a worker that died in between is noticed by its listener
                with suppress(BrokenPipeError):
                    print(json.dumps(task.job.asked), file=worker.process.stdin, flush=True)

    def _gone(self, worker: _Worker) -> None:
        """Take a worker off the list, its job for failed, and start another where there is work for one."""
        self.workers.remove(worker)
        _end(worker.process)
        if worker.task:
            # as if it had said nothing: what it was about to say is lost
            code, task = worker.process.returncode, Task(worker.task.job, self.tasks)
            task.end(f"the worker process ended with code {code} (out of memory?)")
        elif not worker.ready:
            self.dead += 1
        if self.tasks.waiting and self.dead < STARTS:
            self._start()

    def _split(self, workers: int) -> None:
        """Split workers off from this process, before it has a thread for any."""
        # torch, which a process that only hands out work does not need
        from ganbench.executors.worker import serve

        tasks = self.tasks
        for _ in range(workers):
            process = forked.start(
                lambda events: serve(tasks.store, tasks.plan, tasks.device, events),
                [worker.process for worker in self.workers if isinstance(worker.process, forked.Forked)],
                tasks.store.lock_file,
            )
            self.workers.append(_Worker(process))
        for worker in self.workers:
            self._hear(worker)

    def _start(self) -> None:
        command, environment = worker_command(
            self.tasks.store.path.absolute(), self.tasks.device, self.tasks.plan.plugin_files
        )
        with _interrupt_later():
            process = subprocess.Popen(  # noqa: S603 - this interpreter, our own module
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
            )
            worker = _Worker(process)
            self.workers.append(worker)
        self._hear(worker)

    def _hear(self, worker: _Worker) -> None:
        threading.Thread(target=self._listen, args=(worker,), daemon=True).start()

    def _listen(self, worker: _Worker) -> None:
        assert worker.process.stdout is not None
        with worker.process.stdout as lines:
            for line in lines:
                self.events.put((worker, json.loads(line)))
        worker.process.wait()
        self.events.put((worker, None))
