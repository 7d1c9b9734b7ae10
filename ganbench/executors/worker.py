"""A worker process: reads names of populations from standard input, writes events as JSON lines.

Started by the local executor as `python -m ganbench.executors.worker STUDY DEVICE [PLUGIN_FILE]...`; ends with its
parent.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import sys
import threading
from pathlib import Path
from typing import Any

from ganbench import registry
from ganbench.executors.work import perform, populations
from ganbench.results.store import Store


def main() -> None:
    """Train the populations that standard input names, one after another."""
    # Ctrl-C reaches the whole group: the parent answers it and ends its workers
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    store, device = Store(Path(sys.argv[1])), sys.argv[2]
    # what a plug-in prints, from Python or from below, must not garble the events
    events = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    plan = store.read_plan()
    # what the command was told to load: the study's own list is data, and runs nothing
    for file in sys.argv[3:]:
        registry.load_file(file)
    known = populations(plan, device)

    def emit(event: dict[str, Any]) -> None:
        try:
            print(json.dumps(event), file=events, flush=True)
        except BrokenPipeError:  # the parent is gone
            os._exit(0)

    names = _lines()
    emit({"event": "ready"})
    while name := names.get():
        perform(store, plan, name, known[name], device, emit)


def _lines() -> queue.Queue[str]:
    """Read standard input in a thread, so that the end of the parent is noticed in the middle of a population."""
    names: queue.Queue[str] = queue.Queue()

    def read() -> None:
        for line in sys.stdin:
            names.put(line.strip())
        os._exit(0)

    threading.Thread(target=read, daemon=True).start()
    return names


if __name__ == "__main__":
    main()
