"""A worker: a warm process that never trains itself, but splits off a process for each job.

Started by the local executor with the study, the device and the plug-in files as arguments. Reads jobs as JSON lines
from standard input, writes events as JSON lines, and ends with its parent.
"""

from __future__ import annotations

import json
import os
import select
import signal
import sys
from pathlib import Path
from typing import Any

import torch

from ganbench import registry
from ganbench.errors import told
from ganbench.executors import isolate
from ganbench.executors.work import Job, perform
from ganbench.plan import Plan
from ganbench.results.store import Store
from ganbench.suite import drifted

OUTPUT = "output.txt"


def main() -> None:
    """Do the jobs that standard input names, one after another."""
    # Ctrl-C reaches the whole group: the parent answers it and ends its workers
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    store, device, files = Store(Path(sys.argv[1])), sys.argv[2], sys.argv[3:]
    # what a plug-in prints at its import must not garble the events
    events = os.dup(1)
    os.dup2(2, 1)
    torch.set_num_threads(1)

    def emit(event: dict[str, Any]) -> None:
        try:
            os.write(events, (json.dumps(event) + "\n").encode())
        except BrokenPipeError:  # the parent is gone
            os._exit(0)

    for file in files:
        registry.load_file(file)
    plan = store.read_plan()
    runs = {run.id: run for run in plan.runs}
    if changed := drifted(plan):
        emit({"event": "unfit", "error": f"{', '.join(changed)} changed since the command began"})
        return
    emit({"event": "ready"})
    for line in _lines():
        asked = json.loads(line)
        job = Job(asked["name"], tuple(runs[run] for run in asked["runs"]), asked["until"])
        _isolated(store, plan, job, device, emit)


def _isolated(store: Store, plan: Plan, job: Job, device: str, emit: isolate.Emit) -> None:
    """Do a job in a process of its own, and tell how it ended in one event at its end."""
    last: dict[str, Any] = {}

    def forward(event: dict[str, Any]) -> None:
        if event["event"] in ("finished", "failed"):
            last.update(event)
        else:
            emit(event)

    ending = isolate.run(lambda own: perform(store, plan, job, device, own), forward, limit=plan.time_limit, stop=0)
    if not last:
        last = {"event": "failed", "error": ending.reason, "details": ""}
    if ending.output and not job.until:
        place = store.population(job.name).path / OUTPUT
        try:
            place.write_bytes(ending.output)
        except OSError as error:
            ending.output = told(error).encode()
        if last["event"] == "failed":
            last["error"] += f"; its output is in '{place.parent.name}/{OUTPUT}'"
    emit(last)


def _lines() -> Any:
    """Yield the lines of standard input without reading ahead, since the end of it is watched during a job."""
    kept = b""
    while True:
        select.select([0], [], [])
        piece = os.read(0, 65536)
        if not piece:
            return
        *lines, kept = (kept + piece).split(b"\n")
        yield from lines


if __name__ == "__main__":
    main()
