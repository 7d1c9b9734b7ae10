"""Files that shipped suites need, as far as a plan looks at them: it hashes what is there."""

from pathlib import Path

import pytest

FOLDERS = ("fashion-mnist", "cifar-10", "pictures")
ROOTED = {"celeba": "folder", "folder": "folder", "tabular": "tabular"}
"""Suites of data of one's own, and the problem that reads them."""


def own_files(folder: Path, patch: pytest.MonkeyPatch) -> Path:
    """Lay out folders with a file each, in place of the data sets that may not be on this machine."""
    for name in FOLDERS:
        (folder / name).mkdir(parents=True)
        (folder / name / "file").write_bytes(name.encode())
    patch.setenv("GANBENCH_DATA", str(folder))
    return folder


def roots(suite: str, folder: Path) -> list[str]:
    """Return what a suite wants to be told beside its name."""
    return [f"problem.{ROOTED[suite]}.root={folder / 'pictures'}"] if suite in ROOTED else []
