"""The protocol of executors: they see to it that the jobs of a study are performed somewhere.

An executor is one file. It asks for tasks, has each performed where it likes, passes on the events that come back, and
ends it. What is done next, what follows from a failure and what a study records is the same for all of them:

    class InOrder:
        workers = 1

        def run(self, tasks: Tasks) -> None:
            while task := tasks.next():
                task.perform()
                task.end()

    ganbench.run("smoke", executor=InOrder())

Another process or machine does a task by what names it there (`task.job.asked`, plain data) and the study's directory:
see `ganbench/executors/worker.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from ganbench import interrupts
from ganbench.executors.blame import Failure, Schedule
from ganbench.executors.board import Board
from ganbench.executors.isolate import Event
from ganbench.executors.work import Job, cost, perform
from ganbench.plan import Plan, Run
from ganbench.results.store import Store

Watch = Callable[[str, Event], None]

ENDS = ("finished", "failed")
"""The events of which each performed job has one, its last."""


class Executor(Protocol):
    """Where the jobs of a study are performed."""

    @property
    def workers(self) -> int:
        """How many jobs are performed at once, at least 1; the study records it."""

    def run(self, tasks: Tasks) -> None:
        """Have every task performed and ended; return when none waits and none is out.

        A task that ends may make others wait: those of a population that failed. What is raised here ends the command,
        and a task that was out then counts as not ended: repeating the command does it again.
        """


@dataclass
class Task:
    """A job that was handed out, until it is ended; `where` names what does it, for whoever asks for the status."""

    job: Job
    tasks: Tasks
    last: Event | None = None
    step: int = 0
    where: str = ""

    def perform(self) -> None:
        """Do the job in this very process. Nothing that a plug-in raises leaves it, only the user's own Ctrl-C."""
        with interrupts.watched() as interrupted:
            perform(self.tasks.store, self.tasks.plan, self.job, self.tasks.device, self.take)
            if interrupted():
                raise KeyboardInterrupt

    def take(self, event: Event) -> None:
        """Take an event of the job, as `perform` emits it wherever the job is done."""
        if event["event"] in ENDS:
            self.last = event
            return
        self.step = event.get("step", self.step)
        self.tasks.board.hear(self.job.name, self.step, self.where)
        if not self.job.until:
            self.tasks.watch(self.job.name, event)

    def end(self, lost: str = "it ended without a word") -> None:
        """Record how the job ended: as its last event says, else failed with the reason for which there is none."""
        event = self.last or {"event": "failed", "error": lost}
        self.tasks.board.end(self.job.name)
        if event["event"] == "finished":
            self.tasks.schedule.ended(self.job, None)
            if not self.job.until:
                self.tasks.watch(self.job.name, event)
            return
        told = {key: event[key] for key in ("details", "output", "memory", "killed") if key in event}
        failure = Failure(event["error"], step=self.step, guilty=tuple(event.get("guilty", ())), **told)
        for name, error in self.tasks.schedule.ended(self.job, failure):
            self.tasks.watch(name, {"event": "failed", "error": error})


class Tasks:
    """What is to be done for a study: populations by name, the longest first, and what follows from those that fail.

    `store`, `plan` and `device` are all that a job needs beside itself; `watch(name, event)` is told of progress.
    """

    def __init__(self, store: Store, plan: Plan, todo: Mapping[str, Sequence[Run]], device: str, watch: Watch) -> None:
        self.store, self.plan, self.device, self.watch = store, plan, device, watch
        self.schedule = Schedule(store, plan, todo, lambda name, text: watch(name, {"event": "told", "text": text}))
        self.board = Board(store, sum(cost(list(runs)) for runs in todo.values()))

    @property
    def waiting(self) -> int:
        """How many could be handed out now; more may follow when those that are out end."""
        return len(self.schedule.waiting)

    def next(self) -> Task | None:
        """Hand out the next task; None where none waits now."""
        job = self.schedule.next()
        if not job:
            return None
        # what is tried after a failure is no part of the work that was asked for
        weight = 0.0 if job.until else cost(list(job.runs))
        self.board.hand_out(job.name, len(job.runs), job.until or job.runs[0].variant.steps, weight)
        return Task(job, self)
