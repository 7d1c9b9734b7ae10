"""Files that users name, and writing so that a kill at any moment leaves either the old one or the new one."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ganbench.errors import UserError


def is_file(path: str | os.PathLike[str]) -> bool:
    """Tell whether a path is a file; what cannot be a path (too long, NUL, no text at all) is none."""
    try:
        return Path(path).is_file()
    except (OSError, ValueError, TypeError):
        return False


@contextmanager
def replace_file(file: Path) -> Iterator[Path]:
    """Give a temporary path to write to, and put it in the place of `file` at the end, all or nothing."""
    temporary = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        yield temporary
        temporary.replace(file)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def writing_to(place: Path) -> Iterator[None]:
    """Turn what the system says where a file or folder cannot be written into a UserError that names it."""
    try:
        yield
    except OSError as error:
        raise UserError(f"Cannot write to '{place}': {error.strerror or error}.") from error
