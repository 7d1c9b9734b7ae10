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
from collections.abc import Iterator
from pathlib import Path

import torch

from ganbench import registry
from ganbench.executors import isolate
from ganbench.executors.base import ENDS
from ganbench.executors.work import Job, perform
from ganbench.identity import differences, environment
from ganbench.plan import Plan
from ganbench.results.store import Store
from ganbench.versions import drifted


def main() -> None:
    """Do the jobs that standard input names, one after another."""
    # Ctrl-C reaches the whole group: the parent answers it and ends its workers
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    store, device, files = Store(Path(sys.argv[1])), sys.argv[2], sys.argv[3:]
    # what a plug-in prints at its import must not garble the events
    events = os.dup(1)
    os.dup2(2, 1)
    torch.set_num_threads(1)
    for file in files:
        registry.load_file(file)
    plan = store.read_plan()
    serve(store, plan, device, events, _unfit(store, plan, device))


def serve(store: Store, plan: Plan, device: str, events: int, unfit: str = "") -> None:
    """Do the jobs that standard input names and tell of them on a descriptor; `unfit` says why not, if so."""

    def emit(event: isolate.Event) -> None:
        try:
            os.write(events, (json.dumps(event) + "\n").encode())
        except BrokenPipeError:  # the parent is gone
            os._exit(0)

    if unfit:
        emit({"event": "unfit", "error": unfit})
        return
    emit({"event": "ready"})
    for line in _lines():
        asked = json.loads(line)
        # an attempt of its own, where another process may be at the same job
        _isolated(Store(Path(asked["into"])) if "into" in asked else store, plan, Job.named(plan, asked), device, emit)


def _unfit(store: Store, plan: Plan, device: str) -> str:
    """Say why this process must not train a study: it is not what the study was begun with; else nothing."""
    if changed := drifted(plan):
        return f"{', '.join(changed)} changed since the command began"
    known = store.environments()
    # without a record nothing is known of what it was begun with
    differs = differences(known[-1], environment(device)) if known and known[-1] else []
    return f"it has {' and '.join(differs)}" if differs else ""


def _isolated(store: Store, plan: Plan, job: Job, device: str, emit: isolate.Emit) -> None:
    """Do a job in a process of its own, and tell how it ended in one event at its end."""
    last: isolate.Event = {}

    def forward(event: isolate.Event) -> None:
        if event["event"] in ENDS:
            last.update(event)
        else:
            emit(event)

    ending = isolate.run(lambda own: perform(store, plan, job, device, own), forward, limit=plan.time_limit, stop=0)
    if not last:
        last = {"event": "failed", "error": ending.reason, "details": ""}
        last |= {"killed": True} if ending.killed else {}
    output = ending.output.decode("utf-8", "replace")
    if last["event"] == "failed":
        last["output"] = output
    elif output and not job.until:
        store.population(job.name).keep_output(output)
    emit(last)


def _lines() -> Iterator[bytes]:
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
