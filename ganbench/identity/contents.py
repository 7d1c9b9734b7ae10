"""Hashes of files and folders by content, read once a process."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

from ganbench.errors import UserError

LENGTH = 12


def combined(parts: Iterable[tuple[str, str]]) -> str:
    """Return one hash of names and texts; their order decides nothing."""
    hashed = hashlib.sha256()
    for name, text in sorted(parts):
        # lengths, so that no two lists of parts read the same
        hashed.update(f"{len(name)}:{name}{len(text)}:{text}".encode("utf-8", "surrogatepass"))
    return hashed.hexdigest()[:LENGTH]


def of_bytes(content: bytes) -> str:
    """Return the hash of some bytes."""
    return hashlib.sha256(content).hexdigest()[:LENGTH]


def of_path(path: Path) -> str:
    """Return the hash of a file's content, or of all files below a folder with their names; UserError where it does
    not read."""
    try:
        if not path.is_dir():
            return _of_file(path)
        files = [file for file in path.rglob("*") if file.is_file()]
        return combined((file.relative_to(path).as_posix(), _of_file(file)) for file in files)
    except OSError as error:
        raise UserError(f"Cannot read '{path}', which results depend on: {error.strerror or error}.") from error


def _of_file(path: Path) -> str:
    stat = path.stat()
    return _at(path, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino)


@lru_cache(maxsize=100_000)
def _at(path: Path, size: int, written: int, changed: int, inode: int) -> str:
    """Hash a file as it is at a moment: size and times say only whether this process has read it already."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()[:LENGTH]
