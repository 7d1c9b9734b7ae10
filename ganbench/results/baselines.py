"""A folder of baselines, a file for each kind of machine and version of torch: where those are equal, runs repeat."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ganbench.errors import UserError
from ganbench.provenance import told
from ganbench.results.baseline import Baseline, IncompatibleBaselineError, load_baseline

KEYS = ("device", "torch")
"""What a file in a folder is named by; what else decided a baseline stands in it, and a check tells what differs."""


def is_folder(path: Path) -> bool:
    """Tell whether a path is meant as a folder of baselines: it is one, or is to be made and is named as one."""
    return path.is_dir() or not (path.suffix or path.exists())


def file_name(source: Mapping[str, Any]) -> str:
    """Return the name of the baseline of a machine, by its provenance.

    >>> file_name({"device": "AMD EPYC 7B13", "torch": "2.13.0+cpu"})
    'amd-epyc-7b13-torch-2.13.0+cpu.json'
    """
    device, torch = (told(source, key) or "unknown" for key in KEYS)
    return "-".join([re.sub(r"[^a-z0-9]+", "-", device.lower()).strip("-"), "torch", torch]).replace("/", "-") + ".json"


def place(path: Path, source: Mapping[str, Any]) -> Path:
    """Return where a baseline of this provenance is kept: the file itself, or its place in a folder."""
    return path / file_name(source) if is_folder(path) else path


def chosen(path: Path, source: Mapping[str, Any]) -> Path:
    """Return the file to hold results of this provenance against: of a folder that of their machine and torch.

    Where it has none, the one that was made last; UserError where it has no file at all.
    """
    if not is_folder(path):
        return path
    own = place(path, source)
    if own.exists():
        return own
    files = sorted(path.glob("*.json"))
    if not files:
        raise UserError(
            f"There is no baseline in '{path}': make one with `ganbench baseline STUDY -o {path}`, in pytest with "
            "--ganbench-update."
        )
    return max(files, key=_started)


def _started(file: Path) -> tuple[str, str]:
    try:
        return str(load_baseline(file).source.get("started", "")), file.name
    except IncompatibleBaselineError:
        return "", file.name


def readable(file: Path) -> Baseline | None:
    """Return the baseline of a file, None where it does not read as one."""
    try:
        return load_baseline(file)
    except IncompatibleBaselineError:
        return None
