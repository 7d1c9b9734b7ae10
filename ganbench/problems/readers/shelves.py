"""Where files lie: a folder, a zip or tar archive, or one file by itself; read without unpacking anything."""

from __future__ import annotations

import gzip
import tarfile
import zipfile
import zlib
from abc import ABC, abstractmethod
from functools import cached_property
from pathlib import Path

from ganbench.errors import UserError, told


class Shelf(ABC):
    """Files by their names, which are paths with slashes; `where` names the shelf in errors."""

    def __init__(self, path: Path) -> None:
        self.path, self.where = path, str(path)

    @cached_property
    @abstractmethod
    def names(self) -> list[str]:
        """The names of all files, sorted; hidden ones and what lies in hidden folders are left out."""

    @cached_property
    def folders(self) -> set[str]:
        """The names of all folders, of empty ones too."""
        return set()

    @abstractmethod
    def bytes_of(self, name: str) -> bytes:
        """Return a file's content."""

    def find(self, *endings: str) -> dict[str, str]:
        """Return those of these file names that are there, with or without .gz, and the whole name of each."""
        found: dict[str, str] = {}
        for ending in endings:
            for name in self.names:
                if name.rpartition("/")[2] in (ending, f"{ending}.gz"):
                    found.setdefault(ending, name)
        return found

    def unpacked(self, name: str) -> bytes:
        """Return a file's content, unpacked where it ends in .gz; UserError where it is truncated or damaged."""
        packed = self.bytes_of(name)
        if not name.endswith(".gz"):
            return packed
        try:
            return gzip.decompress(packed)
        except (OSError, EOFError, zlib.error) as error:
            raise UserError(f"'{self.place(name)}' is truncated or damaged: {told(error)}.") from error

    def place(self, name: str) -> str:
        """Return how errors name a file."""
        return name if name == self.where else f"{self.where}/{name}"


def _is_seen(name: str) -> bool:
    return bool(name) and not any(part.startswith((".", "__MACOSX")) for part in name.split("/"))


class FolderShelf(Shelf):
    """A folder of the file system."""

    @cached_property
    def names(self) -> list[str]:
        return sorted(name for name in self._found if name not in self.folders)

    @cached_property
    def folders(self) -> set[str]:
        return {name for name, is_folder in self._found.items() if is_folder}

    @cached_property
    def _found(self) -> dict[str, bool]:
        entries = {entry.relative_to(self.path).as_posix(): entry.is_dir() for entry in self.path.rglob("*")}
        return {name: is_folder for name, is_folder in entries.items() if _is_seen(name)}

    def bytes_of(self, name: str) -> bytes:
        return _content(self.path / name)


class FileShelf(Shelf):
    """One file."""

    @cached_property
    def names(self) -> list[str]:
        return [self.where]

    def bytes_of(self, name: str) -> bytes:
        return _content(self.path)


class ZipShelf(Shelf):
    """A zip archive."""

    @cached_property
    def names(self) -> list[str]:
        return sorted(name for name in self._archive.namelist() if not name.endswith("/") and _is_seen(name))

    @cached_property
    def folders(self) -> set[str]:
        return {name.rstrip("/") for name in self._archive.namelist() if name.endswith("/") and _is_seen(name)}

    @cached_property
    def _archive(self) -> zipfile.ZipFile:
        try:
            return zipfile.ZipFile(self.path)
        except (zipfile.BadZipFile, OSError) as error:
            raise UserError(f"'{self.where}' is no whole zip archive: {told(error)}.") from error

    def bytes_of(self, name: str) -> bytes:
        try:
            return self._archive.read(name)
        except (zipfile.BadZipFile, zlib.error, OSError, EOFError, NotImplementedError, RuntimeError) as error:
            raise UserError(f"'{self.place(name)}' does not read: {told(error)}.") from error


class TarShelf(Shelf):
    """A tar archive, packed or not, whose files are read into memory once, in their order."""

    @cached_property
    def names(self) -> list[str]:
        return sorted(self._files)

    @cached_property
    def _files(self) -> dict[str, bytes]:
        try:
            with tarfile.open(self.path) as archive:
                members = [one for one in archive if one.isfile() and _is_seen(one.name)]
                files = {one.name: archive.extractfile(one) for one in members}
                return {name: stream.read() for name, stream in files.items() if stream}
        except (tarfile.TarError, OSError, EOFError, zlib.error) as error:
            raise UserError(f"'{self.where}' is no whole tar archive: {told(error)}.") from error

    def bytes_of(self, name: str) -> bytes:
        return self._files[name]


def shelf_of(path: Path) -> Shelf:
    """Return what lies at a path; UserError where nothing does."""
    if path.is_dir():
        return FolderShelf(path)
    if not path.is_file():
        raise UserError(f"There is no file or folder '{path}'.")
    name = path.name.lower()
    if name.endswith((".tar", ".tar.gz", ".tgz")):
        return TarShelf(path)
    return ZipShelf(path) if name.endswith(".zip") else FileShelf(path)


def _content(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise UserError(f"Cannot read '{file}': {error.strerror or error}.") from error
