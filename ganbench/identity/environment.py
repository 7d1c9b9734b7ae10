"""What decides a result besides the plan: this package's code, torch, the device."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path

from ganbench.identity import contents

DECIDING = ("gan", "training", "problems", "measure", "metrics", "registry.py", "kinds.py")
"""The parts of the package that decide what a run's series are. Verdicts are made anew at every reading."""

JUDGING = ("analysis/verdicts", "analysis/scores.py", "analysis/seeds.py", "analysis/views.py")
"""The parts that decide what is said of a series: which runs failed, and what they score."""

WORDS = {"code": "code of ganbench", "torch": "torch", "device": "device"}


@lru_cache(maxsize=1)
def code_digest() -> str:
    """Return the hash of the package's code that decides results."""
    return _digest(DECIDING)


@lru_cache(maxsize=1)
def rules_digest() -> str:
    """Return the hash of the package's code that judges results."""
    return _digest(JUDGING)


def _digest(parts: Sequence[str]) -> str:
    package = Path(__file__).parents[1]
    files = [file for part in parts for file in _python_files(package / part)]
    return contents.combined((file.relative_to(package).as_posix(), contents.of_path(file)) for file in files)


def _python_files(part: Path) -> list[Path]:
    return list(part.rglob("*.py")) if part.is_dir() else [part] * part.is_file()


def environment(device: str) -> dict[str, str]:
    """Return what trains on a device ("cpu" or "cuda") now: code, torch and the device's name."""
    # takes seconds, and who looks at a study has no need of it
    import torch

    name = torch.cuda.get_device_name() if device == "cuda" else _processor()
    return {"code": code_digest(), "torch": torch.__version__, "device": name}


def differences(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """Return in words what differs between two environments."""
    return [f"another {WORDS[key]} ({before.get(key)}, now {now[key]})" for key in WORDS if before.get(key) != now[key]]


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8", errors="replace").splitlines() if info.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or platform.machine()
