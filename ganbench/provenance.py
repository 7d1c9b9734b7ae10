"""Where results come from: revisions of the code, versions, machine and command of every session, and what is mixed."""

from __future__ import annotations

import json
import os
import platform
import re
import shlex
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from ganbench.identity import environment
from ganbench.registry import OWN as SHIPPED
from ganbench.revision import own_revision, revision

ENVIRONMENT = {
    "ganbench": "ganbench", "code": "code of ganbench", "torch": "torch", "device": "device", "threads": "threads",
}  # fmt: skip
"""The keys of a session that decide results besides the plan, and what they are called."""


def begin_session(device: str, workers: int, plugin_files: Sequence[str] = (), *, threads: int = 1) -> dict[str, Any]:
    """Return what a study keeps of a command that works on it, as of now: command, versions, revisions, machine.

    device: "cpu" or "cuda"; plugin_files: the files whose repositories are told; threads: of a training process, which
    is one wherever ganbench itself trains.
    """
    # takes seconds, and who reads a study has no need of it
    import torch

    # its version, which stands there behind the imports
    import ganbench

    return {
        "command": command(),
        "started": _now(),
        **environment(device),
        "workers": workers,
        "threads": threads,
        "cores": os.cpu_count() or 1,
        "ganbench": ganbench.__version__,
        "cuda": torch.version.cuda if device == "cuda" else "",
        "python": platform.python_version(),
        "numpy": _installed("numpy"),
        "scipy": _installed("scipy"),
        "platform": platform.system(),
        "git_revision": own_revision(),
        "plugin_revisions": {file: revision(Path(file)) for file in plugin_files},
    }


def end_session(record: Mapping[str, Any], wall: float, shard: str | None = None) -> dict[str, Any]:
    """Return the record of a session that ends now, after `wall` seconds; shard: its share of the plan, as "3/16"."""
    return {**record, "finished": _now(), "wall_seconds": wall, **({"shard": shard} if shard else {})}


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def command() -> str:
    """Return the command that trains this again, wherever its results go; empty where it was called from Python."""
    program = Path(sys.argv[0])
    # of `python -m ganbench`, not of another package
    if program.stem != "ganbench" and program.parts[-2:] != ("ganbench", "__main__.py"):
        return ""
    words = [word for word in sys.argv[1:] if not word.startswith("--out=") and not re.match("-o.", word)]
    for option in ("--out", "-o"):
        if option in words:
            place = words.index(option)
            del words[place : place + 2]
    return shlex.join(["ganbench", *words])


def _installed(distribution: str) -> str:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return ""


def told(record: Mapping[str, Any], key: str) -> str:
    """Return what a session or a baseline says of one key as text, empty where it says nothing."""
    value = record.get(key)
    text = "" if value is None else str(value)
    # the number of cores was once part of the device's name, and decides nothing
    return re.sub(r", \d+ cores$", "", text) if key == "device" else text


def environments(sessions: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the distinct environments of sessions, the first first: what decides results, with the revisions."""
    keys = (*ENVIRONMENT, "python", "git_revision", "plugin_revisions")
    found = {json.dumps(r, default=str): r for r in ({key: s[key] for key in keys if key in s} for s in sessions)}
    return list(found.values())


def mixed(sessions: Iterable[Mapping[str, Any]]) -> str:
    """Return in one sentence how the environments differ that trained a study; empty where they do not.

    What a session of an older version does not tell differs from nothing.
    """
    records = list(sessions)
    values = {key: list(dict.fromkeys(filter(None, (told(r, key) for r in records)))) for key in ENVIRONMENT}
    differs = {key: seen for key, seen in values.items() if len(seen) > 1}
    if not differs:
        return ""
    count = len({tuple(told(record, key) for key in differs) for record in records})
    words = [f"{ENVIRONMENT[key]} {' and '.join(seen)}" for key, seen in differs.items()]
    number = {2: "two", 3: "three", 4: "four"}.get(count, str(count))
    return f"Trained by {number} environments: {'; '.join(words)}. Runs of one may not repeat in another."


def changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Return in sentences in what the environment of a study differs from that of a baseline."""
    pairs = [(words, told(before, key), told(now, key)) for key, words in ENVIRONMENT.items()]
    return [f"{words} is {new}, in the baseline {old}." for words, old, new in pairs if old and new and old != new]


def plugin_changes(before: Mapping[str, str], now: Mapping[str, str], limit: int = 5) -> list[str]:
    """Return in a sentence which plug-ins have another version than in a baseline that knows them.

    Those that ganbench ships have no version of their own: the digest of its code stands for them.
    """
    known = {key: version for key, version in now.items() if version != SHIPPED}
    names = [key.replace(".", " ", 1) for key, version in known.items() if before.get(key, version) != version]
    if not names:
        return []
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return [f"Another version than in the baseline: {', '.join(names[:limit])}{more}."]
