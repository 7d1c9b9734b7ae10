"""Ray: the tasks of a study on a Ray cluster, or on one of this machine's own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ganbench.errors import UserError, told
from ganbench.executors.base import Tasks
from ganbench.executors.remote import Answer, Engine, Letter, needs, pump, there


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
        """Have every task performed and ended; UserError where there is no such cluster."""
        try:
            import ray  # an extra, imported only where it is asked for
        except ImportError as error:
            raise needs("Ray", "ray") from error
        try:
            own = {} if self.address else {"num_cpus": self.processes}
            ray.init(address=self.address or None, log_to_driver=False, **own)
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise UserError(f"There is no Ray cluster at '{self.address}': {told(error)}.") from error
        try:
            pump(tasks, _Cluster(ray, self.gpus))
        finally:
            ray.shutdown()


class _Cluster(Engine):
    """A cluster by its module."""

    def __init__(self, ray: Any, gpus: float) -> None:
        self.ray = ray
        self.function = ray.remote(num_cpus=1, num_gpus=gpus, max_retries=3)(there)

    def room(self) -> int:
        """Two tasks a processor."""
        return 2 * int(self.ray.cluster_resources().get("CPU", 1))

    def submit(self, letters: list[Letter]) -> list[Any]:
        """Send letters."""
        return [self.function.remote(letter) for letter in letters]

    def ended(self, handles: list[Any]) -> Iterator[tuple[Any, Answer | str]]:
        """Yield what has ended within a second."""
        done, _ = self.ray.wait(handles, num_returns=1, timeout=1.0)
        for handle in done:
            try:
                yield handle, self.ray.get(handle)
            except Exception as error:  # the worker's, the network's, or the cluster's that gave up
                yield handle, f"the cluster lost it ({told(error)})"

    def cancel(self, handles: list[Any]) -> None:
        """Give up what is out."""
        for handle in handles:
            self.ray.cancel(handle)
