"""Files that users name, and writing so that a kill leaves the old one or the new one, under names that stay inside."""

import errno
import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any

from filelock import BaseFileLock, FileLock, Timeout

from ganbench.errors import UserError


def is_file(path: str | os.PathLike[str]) -> bool:
    """Tell whether a path is a file; what cannot be a path (too long, NUL, no text at all) is none."""
    try:
        return Path(path).is_file()
    except (OSError, ValueError, TypeError):
        return False


@contextmanager
def replace_file(file: Path) -> Iterator[Path]:
    """Give a temporary path to write to, and put it in the place of `file` at the end, all or nothing.

    OSError where `file` is a folder, which has no other file's place, or a device: `/dev/null` would be no device any
    more.
    """
    if file.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(file))
    # a pipe in a study's place is litter, one that a name of the system's leads to is the user's own output
    if file.exists() and not file.is_file() and (file.is_symlink() or not file.is_fifo()):
        raise OSError(errno.EINVAL, "It is no ordinary file", str(file))
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


def earlier(file: Path) -> Path:
    """Return the name that a file of which two are kept goes by once there is a newer one."""
    return file.with_name(f"earlier-{file.name}")


def write_text(file: Path, text: str) -> None:
    """Write a text file, all or nothing."""
    with replace_file(file) as target:
        target.write_text(text, encoding="utf-8", errors="backslashreplace")


def append_line(file: Path, record: dict[str, Any]) -> None:
    """Append a record to a file of lines of JSON."""
    line = json.dumps(record, separators=(",", ":")) + "\n"
    with file.open("ab+") as stream:
        # a kill may have left half a line: the next record must not be glued to it
        if stream.seek(0, os.SEEK_END) and not _ends_with_newline(stream):
            line = "\n" + line
        stream.write(line.encode())
        stream.flush()


def _ends_with_newline(stream: IO[bytes]) -> bool:
    stream.seek(-1, os.SEEK_END)
    return stream.read(1) == b"\n"


def remove(place: Path) -> None:
    """Take away whatever is at a place of the study's own, a directory in a file's place too."""
    if place.is_dir() and not place.is_symlink():
        shutil.rmtree(place)
    else:
        place.unlink(missing_ok=True)


_UNSAFE = re.compile(r"^\.|^$|[/\\\x00-\x1f\x7f-\x9f\ud800-\udfff]")


def file_name(text: str) -> str:
    """Return a name for the file of something called `text`: the text itself wherever it can be one.

    What would lead into another folder, hide the file or be too long is replaced, with a digest to tell names apart.
    """
    if not _UNSAFE.search(text) and len(text.encode()) <= 150:
        return text
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:12]
    return f"{re.sub('[^A-Za-z0-9=,()_-]+', '_', text)[:60]}-{digest}"


@contextmanager
def locked(file: Path, taken: str | None) -> Iterator[None]:
    """Hold a lock file, which the system lets go of even after a kill; UserError `taken`, or None to wait for it."""
    lock = _lock(file)
    with ExitStack() as stack:
        try:
            if not file.parent.is_dir():  # which the library would make
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
            stack.enter_context(lock.acquire(timeout=-1 if taken is None else 0))
        except Timeout as error:
            raise UserError(taken or "") from error
        except (OSError, NotImplementedError) as error:
            why = getattr(error, "strerror", None) or error
            raise UserError(f"Cannot write to '{file}': {why}.") from error
        yield


def is_held(file: Path) -> bool:
    """Tell whether somebody holds a lock file; nobody does where there is none, or it cannot be asked."""
    if not file.is_file():
        return False
    try:
        with _lock(file).acquire(timeout=0):
            return False
    except Timeout:
        return True
    except (OSError, NotImplementedError):
        return False


def _lock(file: Path) -> BaseFileLock:
    # two in one process are two: a study that is at work refuses a second command of the same program, too
    return FileLock(file, thread_local=False, is_singleton=False)
