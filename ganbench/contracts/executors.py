"""The laws of executors: what is made of one by its settings is ready to work, and does nothing before it is asked to.

That tasks are performed and ended as those of this machine is held by tests, for each engine where it is installed.
"""

from __future__ import annotations

import inspect
import threading

from ganbench.contracts.base import Breach, Outcome, law
from ganbench.registry import Plugin


@law
def can_run(plugin: Plugin) -> Outcome:
    """It has a method `run` that takes the tasks of a study and nothing else."""
    run = getattr(plugin(), "run", None)
    if not callable(run):
        return Breach("what it makes has no method run")
    required = [one.name for one in inspect.signature(run).parameters.values() if one.default is one.empty]
    return None if len(required) == 1 else Breach(f"run takes {', '.join(required) or 'nothing'}")


@law
def says_how_many_work(plugin: Plugin) -> Outcome:
    """It says how many jobs are performed at once, a whole number of at least 1."""
    workers = getattr(plugin(), "workers", None)
    whole = isinstance(workers, int) and not isinstance(workers, bool) and workers >= 1
    return None if whole else Breach(f"workers is {workers!r}")


@law
def waits_to_be_asked(plugin: Plugin) -> Outcome:
    """To make it starts nothing: a plan that is only looked at needs no cluster."""
    before = set(threading.enumerate())
    plugin()
    started = [thread.name for thread in threading.enumerate() if thread not in before]
    return Breach(f"it starts the thread {started[0]}") if started else None
