"""The revision of the code that a file belongs to, with whether it was changed. The build runs this file by itself."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

PACKAGE = Path(__file__).parent
BUILT = PACKAGE / "_revision.json"
"""What the build recorded: there in a wheel or an archive, not in a checkout."""
PATIENCE = 5
"""Seconds that git may take for one answer; a repository on a slow disk must not hold a study up."""
ELSEWHERE = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_COMMON_DIR", "GIT_OBJECT_DIRECTORY", "GIT_PREFIX")
"""Variables that lead git to another repository than that of the folder it is asked in."""
DIRTY, UNCHECKED = "-dirty", "-unchecked"
"""What follows a revision whose files were changed, or could not be compared in time."""


def own_revision() -> str:
    """Return the revision of this package: of its checkout with its state, else what the build recorded, else empty."""
    if BUILT.is_file():
        try:
            return str(json.loads(BUILT.read_text(encoding="utf-8"))["revision"])
        except (OSError, ValueError, KeyError, TypeError):
            return ""
    return revision(PACKAGE / "__init__.py", within=PACKAGE, foreign=True)


def revision(file: Path, *, within: Path | None = None, foreign: bool = False) -> str:
    """Return the revision of the repository that holds a file: 12 digits, then "-dirty" where its files were changed.

    within: the folder whose changes count, new files included; by default those to the tracked files of the whole
    repository, and a file that it does not track. With `foreign` such a file, installed somewhere below a repository,
    has no part in it. Empty without a revision, without git, and where git refuses (another owner's repository).
    """
    folder = file.parent
    head = _git(folder, "rev-parse", "--short=12", "HEAD")
    if not head:
        return ""
    if _git(folder, "ls-files", "--error-unmatch", "--", file.name) is None:
        return "" if foreign else head + DIRTY
    where = ["--untracked-files=normal", "--", str(within)] if within else ["--untracked-files=no"]
    changes = _git(folder, "status", "--porcelain", *where)
    return head + (UNCHECKED if changes is None else DIRTY if changes else "")


def git(folder: Path, *words: str, patience: float = PATIENCE) -> str:
    """Return what git says in a folder, stripped. OSError, ValueError or subprocess.SubprocessError where it does not
    answer: without git, in no repository, after `patience` seconds."""
    # a hook of git sets these for its own repository; a watcher and hooks are programs of the repository's choice
    variables = {key: value for key, value in os.environ.items() if key not in ELSEWHERE}
    quiet = ["-c", "core.fsmonitor=false", "-c", f"core.hooksPath={os.devnull}"]
    done = subprocess.run(  # noqa: S603
        ["git", *quiet, "-C", str(folder), *words],  # noqa: S607 - the git on the path
        env={**variables, "GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=patience,
        check=True,
    )
    return done.stdout.decode("utf-8", "replace").strip()


def _git(folder: Path, *words: str) -> str | None:
    """Return what git says in a folder, None where it does not answer."""
    try:
        return git(folder, *words)
    except (OSError, ValueError, subprocess.SubprocessError):
        return None
