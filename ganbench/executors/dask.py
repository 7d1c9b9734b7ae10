"""Dask: the tasks of a study on the workers of a cluster that runs already, or on one of this machine's own."""

from __future__ import annotations

import queue
from asyncio import CancelledError
from collections.abc import Iterator
from concurrent import futures
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import Any

from ganbench.errors import UserError, told
from ganbench.executors.base import Tasks
from ganbench.executors.remote import Answer, Engine, Letter, needs, pump, there

WAIT_SECONDS = 1.0
AHEAD = 2
"""Tasks that are out for each thread of the cluster: one that is done, and one that needs no waiting for the next."""


@dataclass(frozen=True)
class Dask:
    """Trains on a Dask cluster: at an address, after a scheduler's file, or on `processes` of this machine."""

    address: str
    scheduler_file: str
    processes: int

    @property
    def workers(self) -> int:
        """How many jobs are performed at once as far as is known before the cluster is asked."""
        return self.processes

    def run(self, tasks: Tasks) -> None:
        """Have every task performed and ended; UserError where there is no such cluster."""
        try:
            from distributed import Client, LocalCluster  # an extra, imported only where it is asked for
        except ImportError as error:
            raise needs("Dask", "dask") from error
        with ExitStack() as stack:
            try:
                if self.scheduler_file:
                    client = stack.enter_context(Client(scheduler_file=self.scheduler_file, timeout=30))
                elif self.address:
                    client = stack.enter_context(Client(self.address, timeout=30))
                else:
                    cluster = stack.enter_context(
                        LocalCluster(n_workers=self.workers, threads_per_worker=1, dashboard_address=None)
                    )
                    client = stack.enter_context(Client(cluster))
            except (OSError, ValueError, TimeoutError) as error:
                at = self.scheduler_file or self.address
                raise UserError(f"There is no Dask scheduler at '{at}': {told(error)}.") from error
            try:
                pump(tasks, _Cluster(client))
            except Exception as error:
                # what is asked of a client whose scheduler is gone for longer than it waits may raise anything
                if client.status in ("running", "connecting"):
                    raise
                why = "the Dask scheduler is gone; repeat the command when it is back"
                raise UserError(f"Cannot go on: {why} ({told(error)}).") from error


class _Cluster(Engine):
    """A cluster by its client."""

    def __init__(self, client: Any) -> None:
        self.client, self.told = client, queue.SimpleQueue[tuple[str, dict[str, Any]]]()
        self.sent, self.threads = 0, 1
        client.subscribe_topic(TOPIC, lambda event: self.told.put((event[1]["name"], event[1]["event"])))

    def room(self) -> int:
        """Two tasks a thread, of as many as there were when the scheduler answered last."""
        with suppress(OSError):
            self.threads = sum(self.client.nthreads().values())
        return AHEAD * self.threads

    def submit(self, letters: list[Letter]) -> list[Any]:
        """Send letters: the earlier one is sent, the earlier it is done; for a worker that dies another does it."""
        handles = []
        for letter in letters:
            self.sent += 1
            handles.append(self.client.submit(on_worker, letter, pure=False, priority=-self.sent))
        return handles

    def ended(self, handles: list[Any]) -> Iterator[tuple[Any, Answer | str]]:
        """Yield what has ended within a second."""
        from distributed import wait  # as above

        try:
            done = wait(handles, timeout=WAIT_SECONDS, return_when="FIRST_COMPLETED").done
        except (TimeoutError, CancelledError, futures.CancelledError):
            # of a future that is cancelled, as all are when the scheduler is gone, nothing waits
            done = {handle for handle in handles if handle.status in ("error", "cancelled", "lost", "finished")}
        for handle in done:
            yield handle, self._answer(handle)

    def _answer(self, handle: Any) -> Answer | str:
        try:
            answer: Answer = handle.result()
            return answer
        except (Exception, CancelledError) as error:  # the worker's, the network's, or the cluster's that gave up
            return f"the cluster lost it ({told(error)})"

    def heard(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield what workers have told."""
        while not self.told.empty():
            yield self.told.get()

    def cancel(self, handles: list[Any]) -> None:
        """Give up what is out; a worker that is at it finishes for nothing."""
        if handles:
            self.client.cancel(handles)


TOPIC = "ganbench"


def on_worker(letter: Letter) -> Answer:
    """Do the job of a letter on the worker of a cluster, which tells of its progress."""
    from distributed import get_worker  # as above

    worker, name = get_worker(), letter["asked"]["name"]
    return there(letter, lambda event: worker.log_event(TOPIC, {"name": name, "event": event}))
