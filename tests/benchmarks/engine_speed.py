"""What an engine itself costs: shards a second where the work is empty.

    python tests/benchmarks/engine_speed.py [COUNT] [ENGINE ...]      by default 1000 through local and dask

local: the whole way of a task, by worker processes that split off a process for each, which does nothing. dask, slurm
(by submitit's own processes on this machine), ray: the way of a letter and its answer; the worker refuses it at once,
since it names another version. Time counts from the first answer to the last, so that no start is in it.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

EMPTY = (
    "from ganbench.executors import worker\n\n"
    "worker.perform = lambda store, plan, job, device, emit: emit({'event': 'finished'})\n"
)
WORKERS = 2


def local(count: int, folder: Path) -> list[float]:
    """Return when each task was ended by the pool of this machine."""
    from ganbench import api
    from ganbench.executors.base import Tasks
    from ganbench.executors.local import Local
    from ganbench.results.store import Store

    (folder / "empty.py").write_text(EMPTY)
    plan = api.make_plan(None, ["problem=ring8", f"seeds={count}", "steps=1"], [folder / "empty.py"])
    store, ended = Store(folder / "study"), []
    store.begin(plan)
    todo = {f"shard-{number}": [run] for number, run in enumerate(plan.runs)}
    told = []

    def watch(name: str, event: dict[str, Any]) -> None:
        told.append(event["event"])
        if event["event"] == "finished":
            ended.append(time.perf_counter())

    Local(WORKERS).run(Tasks(store, plan, todo, "cpu", watch))
    assert len(ended) == count, told
    return ended


@contextmanager
def _dask(folder: Path) -> Iterator[Any]:
    from distributed import Client, LocalCluster

    from ganbench.executors.dask import _Cluster

    more = {"n_workers": WORKERS, "threads_per_worker": 1, "dashboard_address": None}
    with LocalCluster(**more) as cluster, Client(cluster) as client:
        yield _Cluster(client)


@contextmanager
def _slurm(folder: Path) -> Iterator[Any]:
    import submitit

    from ganbench.executors.slurm import _Queue

    executor = submitit.AutoExecutor(folder / "slurm", cluster="local")
    executor.update_parameters(timeout_min=60)
    yield _Queue(executor, WORKERS, 0.05)


@contextmanager
def _ray(folder: Path) -> Iterator[Any]:
    import ray

    from ganbench.executors.ray import _Cluster

    ray.init(address="local", num_cpus=WORKERS)
    yield _Cluster(ray, 0.0)
    ray.shutdown()


ENGINES = {"dask": _dask, "slurm": _slurm, "ray": _ray}


def remote(name: str, count: int, folder: Path) -> list[float]:
    """Return when the answer to each letter came."""
    letter = {"study": str(folder / "study"), "asked": {"name": "empty"}, "ganbench": "none", "token": "none"}
    ended: list[float] = []
    with ENGINES[name](folder) as engine:
        out, sent = [], 0
        while len(ended) < count:
            room = min(engine.room() - len(out), count - sent)
            if room > 0:
                out, sent = [*out, *engine.submit([letter] * room)], sent + room
            for handle, answer in list(engine.ended(out)):
                assert "unfit" in answer, answer
                out.remove(handle)
                ended.append(time.perf_counter())
    return ended


if __name__ == "__main__":
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    for name in sys.argv[2:] or ("local", "dask"):
        with tempfile.TemporaryDirectory() as place:
            ended = local(count, Path(place)) if name == "local" else remote(name, count, Path(place))
        print(f"{name}: {(len(ended) - 1) / (ended[-1] - ended[0]):.0f} shards/s, {len(ended)} on {WORKERS} workers")
