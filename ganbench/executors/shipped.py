"""The executors that a suite or a command can name; what each needs is imported when it is asked to work."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from annotated_types import Interval

from ganbench.registry import register

if TYPE_CHECKING:
    from ganbench.executors.base import Executor

Count = Annotated[int, Interval(ge=1, le=100_000)]


@register("executor")
def local(*, workers: Annotated[int, Interval(ge=0, le=100_000)] = 0) -> Executor:
    """This machine: processes of its own, one a core (0) or so many."""
    from ganbench.executors.local import Local  # all that trains takes seconds to import

    return Local(workers)


@register("executor")
def dask(*, address: str = "", scheduler_file: str = "", workers: Count = 1) -> Executor:
    """Dask (Rocklin 2015): a cluster by its address or its scheduler's file, else one of this machine's workers."""
    from ganbench.executors.dask import Dask  # as above

    return Dask(address, scheduler_file, workers)


@register("executor")
def slurm(
    *,
    partition: str = "",
    minutes: Count = 240,
    memory_gb: Count = 4,
    gpus: Annotated[int, Interval(ge=0, le=64)] = 0,
    jobs: Count = 500,
    cluster: str = "slurm",
    seconds: Annotated[float, Interval(ge=0.05, le=3600)] = 5.0,
) -> Executor:
    """Slurm (Yoo et al. 2003) by submitit: arrays of jobs, queued again where they are preempted."""
    from ganbench.executors.slurm import Slurm  # as above

    return Slurm(partition, minutes, memory_gb, gpus, jobs, cluster, seconds)


@register("executor")
def ray(*, address: str = "", gpus: Annotated[float, Interval(ge=0, le=64)] = 0.0, workers: Count = 1) -> Executor:
    """Ray (Moritz et al. 2018): a cluster by its address, else one of this machine's workers; a share of a GPU each."""
    from ganbench.executors.ray import Ray  # as above

    return Ray(address, gpus, workers)
