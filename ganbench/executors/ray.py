"""Ray: the tasks of a study on a Ray cluster, or on one of this machine's own."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ganbench.errors import UserError, told
from ganbench.executors.base import Tasks
from ganbench.executors.remote import Answer, Engine, Letter, needs, pump, there

HEAD_SECONDS = 30.0
"""How long the head of a cluster may be gone: after a minute Ray itself ends every process that is connected to it."""


@dataclass(frozen=True)
class Ray:
    """Trains on a Ray cluster at an address ("auto" for the one that runs here), each task on a share of a GPU."""

    address: str
    gpus: float
    processes: int

    @property
    def workers(self) -> int:
        """How many jobs are performed at once as far as is known before the cluster is asked."""
        return self.processes

    def run(self, tasks: Tasks) -> None:
        """Have every task performed and ended; UserError where there is no such cluster, or none any more."""
        try:
            import ray  # an extra, imported only where it is asked for
        except ImportError as error:
            raise needs("Ray", "ray") from error
        try:
            # without an address Ray looks for a cluster that runs here, or did: one of its own is asked for by name
            own = {} if self.address else {"num_cpus": self.processes}
            ray.init(address=self.address or "local", log_to_driver=False, **own)
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise UserError(f"There is no Ray cluster at '{self.address}': {told(error)}.") from error
        try:
            head = getattr(ray.get_runtime_context(), "gcs_address", "")
            pump(tasks, _Cluster(ray, self.gpus, head))
        finally:
            ray.shutdown()


class _Cluster(Engine):
    """A cluster by its module; head: where the process of its head listens, "" where that is not known."""

    def __init__(self, ray: Any, gpus: float, head: str = "") -> None:
        self.ray, self.head, self.seen, self.processors = ray, head, time.monotonic(), 1
        self.function = ray.remote(num_cpus=1, num_gpus=gpus, max_retries=3)(there)

    def room(self) -> int:
        """Two tasks a processor, of as many as there were when the head answered last."""
        # Ray waits for a head that is gone
        if self._has_head():
            self.processors = int(self.ray.cluster_resources().get("CPU", 1))
        return 2 * self.processors

    def submit(self, letters: list[Letter]) -> list[Any]:
        """Send letters."""
        return [self.function.remote(letter) for letter in letters]

    def ended(self, handles: list[Any]) -> Iterator[tuple[Any, Answer | str]]:
        """Yield what has ended within a second; UserError where the head has been gone for long."""
        if not self._has_head():
            # whatever is lost now is lost with the head, and is no fault of a worker's
            time.sleep(1.0)
            return
        done, _ = self.ray.wait(handles, num_returns=1, timeout=1.0)
        for handle in done:
            try:
                yield handle, self.ray.get(handle)
            except Exception as error:  # the worker's, the network's, or the cluster's that gave up
                yield handle, f"the cluster lost it ({told(error)})"

    def _has_head(self) -> bool:
        """Tell whether the head of the cluster is there."""
        if not self.head:
            return True
        host, _, port = self.head.rpartition(":")
        try:
            socket.create_connection((host.strip("[]"), int(port)), timeout=2.0).close()
        except OSError as error:
            if time.monotonic() - self.seen > HEAD_SECONDS:
                why = "the head of the Ray cluster is gone; repeat the command when it is back"
                raise UserError(f"Cannot go on: {why} ({told(error)}).") from error
            return False
        self.seen = time.monotonic()
        return True

    def cancel(self, handles: list[Any]) -> None:
        """Give up what is out."""
        for handle in handles:
            self.ray.cancel(handle)
