"""A repository and an earlier revision of it, laid out beside it for as long as a job takes."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from ganbench.errors import UserError, clean
from ganbench.revision import git

PATIENCE = 600
"""Seconds that git may take to lay a tree out, or to look through it."""
INSTALLED = ("site-packages", "dist-packages")
"""Folders of installed packages: where an environment lies inside a repository they are no part of it."""


def is_installed(path: Path | str) -> bool:
    """Tell whether a path is within a folder of installed packages."""
    return any(part in INSTALLED for part in Path(path).parts)


@dataclass(frozen=True)
class Repository:
    """A git repository by the folder of its working tree."""

    root: Path

    @classmethod
    def around(cls, folder: Path) -> Repository:
        """Return the repository that holds a folder; UserError where there is none."""
        try:
            return cls(Path(git(folder, "rev-parse", "--show-toplevel")).resolve())
        except (OSError, ValueError, subprocess.SubprocessError) as error:
            raise UserError(
                f"The working directory '{folder}' is in no git repository{_said(error)}: --against names a revision "
                "of the one that holds the library under test."
            ) from error

    def commit(self, revision: str) -> str:
        """Return the commit that a revision names; UserError where there is none."""
        try:
            return git(self.root, "rev-parse", "--verify", "--end-of-options", f"{revision}^{{commit}}")
        except (OSError, ValueError, subprocess.SubprocessError) as error:
            raise UserError(
                f"There is no revision '{revision}' in the repository '{self.root}' (a shallow clone has few: "
                "git fetch gets the others)."
            ) from error

    def changed(self, commit: str) -> set[str]:
        """Return the files, relative to the root, in which the working tree differs from a commit, new ones too."""
        ways = (
            ("diff", "--no-ext-diff", "--no-renames", "--name-only", "-z", commit, "--"),
            ("ls-files", "--others", "--exclude-standard", "-z"),
        )
        try:
            return {name for words in ways for name in git(self.root, *words, patience=PATIENCE).split("\0") if name}
        except (OSError, ValueError, subprocess.SubprocessError) as error:
            raise UserError(f"Cannot compare '{self.root}' with '{commit[:12]}'{_said(error)}.") from error

    def place(self, path: Path | str) -> str | None:
        """Return a path relative to the root; None for what lies elsewhere, or is installed inside."""
        full, prefix = Path(path).resolve(), Path(sys.prefix).resolve()
        if not full.is_relative_to(self.root) or is_installed(full):
            return None
        if prefix != self.root and prefix.is_relative_to(self.root) and full.is_relative_to(prefix):
            return None
        return full.relative_to(self.root).as_posix()

    @contextmanager
    def laid_out(self, commit: str) -> Iterator[Path]:
        """Lay a commit out in a temporary worktree and yield its folder; nothing of it is left afterwards."""
        with tempfile.TemporaryDirectory(prefix="ganbench-", ignore_cleanup_errors=True) as folder:
            tree = Path(folder).resolve() / self.root.name
            try:
                self._lay_out(tree, commit)
                yield tree
            finally:
                with suppress(OSError, ValueError, subprocess.SubprocessError):
                    git(self.root, "worktree", "remove", "--force", "--force", str(tree), patience=PATIENCE)

    def _lay_out(self, tree: Path, commit: str) -> None:
        try:
            git(self.root, "worktree", "add", "--detach", "--force", str(tree), commit, patience=PATIENCE)
        except (OSError, ValueError, subprocess.SubprocessError) as error:
            raise UserError(f"Cannot lay out '{commit[:12]}' of '{self.root}'{_said(error)}.") from error


def _said(error: Exception) -> str:
    """Return the last line that git has said, in brackets."""
    said = getattr(error, "stderr", None) or b""
    lines = said.decode("utf-8", "replace").strip().splitlines() or [str(error)] * isinstance(error, OSError)
    return f" ({clean(lines[-1])})" if lines else ""
