"""The jobs around a study that trains or has trained: its status, one file of all of it, what is of no more use."""

from __future__ import annotations

import importlib.util
import json
import os
import platform
import tarfile
import time
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any

import ganbench
from ganbench.errors import UserError
from ganbench.files import remove, replace_file, writing_to
from ganbench.identity import environment
from ganbench.results.store import ATTEMPTS, Store
from ganbench.results.study import Study
from ganbench.revision import own_revision

EXTRAS = {
    "parquet": "pyarrow", "dask": "distributed", "slurm": "submitit", "ray": "ray",
    "features": "efficientnet_lite_pytorch",
}  # fmt: skip
"""The module by which each optional extra is known to be installed."""

SUFFIX = ".tar.gz"

LOGS = "slurm"
"""What jobs of a queue have printed."""


def status(folder: Path, now: Callable[[], float] = time.time) -> dict[str, Any]:
    """Return what is known of a study at this moment, as plain data.

    runs: how many are in each state; at_work: whether a command holds it, which a lock tells and no clock; work: what
    that command runs where, with ages in seconds as it measured them; told_seconds: how old that is, by the clock of
    the disk, never negative. UserError where there is no study.
    """
    study = Study(folder)
    work, told = study.store.work(now)
    return {
        "study": str(folder), "suite": study.name, "plan": study.plan.hash, "at_work": study.store.is_held(),
        "runs": {str(state): int(count) for state, count in study.runs["status"].value_counts().items()},
        "damage": [str(damage) for damage in study.damage], "work": work, "told_seconds": told,
    }  # fmt: skip


def archive(folder: Path, file: Path | None = None) -> Path:
    """Write one file of a study, without what only training needs, and return its path.

    It holds the study under its own name. UserError where there is no study, or the file cannot be written.
    """
    study = Study(folder)
    target = file or folder.resolve().with_name(f"{folder.resolve().name}{SUFFIX}")
    if target.resolve().is_relative_to(folder.resolve()):
        raise UserError(f"The archive '{target}' would lie within the study; choose another --out.")
    useless = set(litter(study.store))
    with writing_to(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        with replace_file(target) as temporary, tarfile.open(temporary, "w:gz", compresslevel=6) as stream:
            for path in sorted(folder.rglob("*")):
                kept = path.is_file() and not path.is_symlink() and path.name != "lock"
                if kept and not useless.intersection([path, *path.parents]):
                    stream.add(path, str(Path(folder.resolve().name) / path.relative_to(folder)), recursive=False)
    return target


def unpack(file: Path, out: Path | None = None) -> Path:
    """Lay an archive out as a study again and return its directory; UserError where it is none, or one is there.

    out: by default a directory beside the file, called as the study was.
    """
    try:
        with tarfile.open(file, "r:gz") as stream:
            members = stream.getmembers()
            names = {PurePosixPath(member.name).parts[:1] for member in members}
            plain = all(member.isfile() and _stays(member.name) for member in members)
            if len(names) != 1 or not plain or f"{next(iter(names))[0]}/plan.yaml" not in stream.getnames():
                raise UserError(f"The file '{file}' is no archive of a study.")
            folder = out or file.resolve().parent / next(iter(names))[0]
            if folder.exists():
                raise UserError(f"The directory '{folder}' exists; choose another --out.")
            with writing_to(folder), replace_file(folder) as temporary:
                for member in members:
                    member.name = str(PurePosixPath(*PurePosixPath(member.name).parts[1:]))
                    stream.extract(member, temporary, filter="data")
    except (tarfile.TarError, EOFError, OSError) as error:
        raise UserError(f"Cannot read the archive '{file}': {str(error) or type(error).__name__}.") from error
    return folder


def _stays(name: str) -> bool:
    path = PurePosixPath(name)
    return not path.is_absolute() and ".." not in path.parts and len(path.parts) > 1


def litter(store: Store) -> list[Path]:
    """Return what of a study no reader needs: checkpoints of what is complete, attempts, and what kills have left."""
    found = [path for path in (store.path / ATTEMPTS, store.path / LOGS, store.status_file) if path.exists()]
    found += [path for path in store.path.rglob(".*") if path.name.startswith((".removed.", ".plan.yaml."))]
    plan = store.read_plan()
    for folder in store.populations():
        found += [path for path in folder.path.glob(".*") if path.is_file()]
        if folder.verify(plan):
            found += [path for path in folder.path.glob("*checkpoint.pt") if path.is_file()]
    populations = store.path / "populations"
    found += [path for path in populations.glob(".*") if path not in found]
    return sorted(set(found))


def clean(folder: Path, *, really: bool) -> list[tuple[Path, int]]:
    """Return what is of no more use with its size in bytes, and remove it where it is `really` meant.

    UserError where there is no study, or a command is at work on it.
    """
    store = Study(folder).store
    with store.lock():
        found = [(path, _size(path)) for path in litter(store)]
        for path, _ in found if really else ():
            with writing_to(path):
                remove(path)
    return found


def _size(path: Path) -> int:
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())


def sysinfo() -> dict[str, Any]:
    """Return what decides results and speed on this machine, and which extras are installed: for a report of a bug."""
    # takes seconds, and no other job here needs it
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "ganbench": ganbench.__version__, "revision": own_revision(), **environment(device),
        "cuda": torch.version.cuda or "", "gpus": torch.cuda.device_count(), "cores": cores,
        "memory_gib": _memory(), "python": platform.python_version(), "system": platform.platform(),
        "extras": [name for name, module in EXTRAS.items() if importlib.util.find_spec(module)],
    }  # fmt: skip


def _memory() -> float | None:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
    except (AttributeError, ValueError, OSError):  # another system
        return None


def as_json(record: dict[str, Any]) -> str:
    """Return plain data as text."""
    return json.dumps(record, indent=1)
