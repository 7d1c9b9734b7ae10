"""Slurm: the tasks of a study as jobs of a cluster, by submitit; what is preempted is queued again and goes on."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ganbench.errors import UserError, told
from ganbench.executors.base import Tasks
from ganbench.executors.remote import Answer, Engine, Letter, needs, pump, there

FOLDER = "slurm"
"""Where a study keeps what submitit writes: scripts, and what its jobs printed."""


@dataclass(frozen=True)
class Slurm:
    """Trains as Slurm jobs, `jobs` of them queued at once; the study's disk is shared by all nodes.

    cluster: "slurm", or "local" for submitit's own processes on this machine. seconds between two looks at the queue.
    """

    partition: str
    minutes: int
    memory_gb: int
    gpus: int
    jobs: int
    cluster: str
    seconds: float

    @property
    def workers(self) -> int:
        """How many jobs are queued at once, at most."""
        return self.jobs

    def run(self, tasks: Tasks) -> None:
        """Have every task performed and ended; UserError where submitit or Slurm is not there."""
        try:
            import submitit  # an extra, imported only where it is asked for
        except ImportError as error:
            raise needs("submitit", "slurm") from error
        try:
            executor = submitit.AutoExecutor(tasks.store.path.resolve() / FOLDER, cluster=self.cluster)
        except RuntimeError as error:
            raise UserError(f"There is no Slurm here: {told(error)}.") from error
        asked: dict[str, Any] = {"timeout_min": self.minutes, "cpus_per_task": 1, "mem_gb": self.memory_gb}
        asked |= {"gpus_per_node": self.gpus} if self.gpus else {}
        if self.cluster == "slurm":
            asked |= {"slurm_partition": self.partition} if self.partition else {}
            asked |= {"slurm_array_parallelism": self.jobs, "slurm_job_name": "ganbench"}
        executor.update_parameters(**asked)
        pump(tasks, _Queue(executor, self.jobs, self.seconds))


class Preemptible:
    """The job of a letter, which submitit queues again where it is preempted or out of time."""

    def __call__(self, letter: Letter) -> Answer:
        """Do the job."""
        return there(letter)

    def checkpoint(self, letter: Letter) -> Any:
        """Return what is queued in its place: the same job, whose next attempt begins at the last checkpoint."""
        from submitit.helpers import DelayedSubmission  # as above

        return DelayedSubmission(self, letter)


class _Queue(Engine):
    """A queue of jobs, of which several are handed over as one array."""

    def __init__(self, executor: Any, jobs: int, seconds: float) -> None:
        self.executor, self.jobs, self.seconds = executor, jobs, seconds

    def room(self) -> int:
        """As many as the user wants queued."""
        return self.jobs

    def submit(self, letters: list[Letter]) -> list[Any]:
        """Queue letters, as one array."""
        return list(self.executor.map_array(Preemptible(), letters))

    def ended(self, handles: list[Any]) -> Iterator[tuple[Any, Answer | str]]:
        """Yield what has ended since the last look."""
        done = [handle for handle in handles if handle.done()]
        if not done:
            time.sleep(self.seconds)
        for handle in done:
            try:
                yield handle, handle.result()
            except Exception as error:  # what submitit makes of a job that was killed, or of what it raised
                yield handle, f"its Slurm job {handle.job_id} did not end ({told(error)})"

    def cancel(self, handles: list[Any]) -> None:
        """Take jobs out of the queue."""
        for handle in handles:
            handle.cancel(check=False)
