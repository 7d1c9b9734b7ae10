"""Installed packages: a name and a version stand for one only while its files are those that were published.

What was installed from a working tree or a local file, and what was edited since, is hashed by content.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from importlib.metadata import Distribution, PathDistribution
from pathlib import Path

from ganbench.identity import contents

LARGE = 16 * 2**20
"""Bytes beyond which a file counts as unchanged while size and time are: compiled libraries take seconds to hash."""

OWN = __package__.partition(".")[0]
REQUIREMENT = re.compile(r"^\s*([A-Za-z0-9][A-Za-z0-9._-]*)")


@dataclass(frozen=True)
class Installed:
    """One installed package by the folder that holds its record."""

    info: Path

    @cached_property
    def metadata(self) -> Distribution:
        return PathDistribution(self.info)

    @property
    def name(self) -> str:
        return _normal(self.metadata.metadata["Name"] or self.info.stem)

    @cached_property
    def entries(self) -> dict[str, tuple[str, str]]:
        """The hash and the size that its record gives of each file, by path; compiled Python and notes left out."""
        text = (self.info / "RECORD").read_text(encoding="utf-8", errors="replace")
        rows = (row for row in csv.reader(text.splitlines()) if len(row) == 3)
        # the notes of the installer differ from machine to machine
        own = f"{self.info.name}/"
        return {path: (digest, size) for path, digest, size in rows if digest and not path.startswith(own)}

    @cached_property
    def identity(self) -> str:
        """Its version; or a hash of its files where the version does not say what they are."""
        changed = dict(self._changed())
        if not changed and not (self.info / "direct_url.json").exists():
            return self.metadata.version
        files = {path: changed.get(path, digest) for path, (digest, _) in self.entries.items()}
        return f"{self.metadata.version}+{contents.combined(files.items())}"

    @property
    def requirements(self) -> Iterator[str]:
        """The names of the packages that it needs without any extra."""
        for line in self.metadata.requires or []:
            match = REQUIREMENT.match(line)
            if match and "extra ==" not in line:
                yield _normal(match[1])

    def _changed(self) -> Iterator[tuple[str, str]]:
        """Yield the files that are not as recorded, with their hash now."""
        record = (self.info / "RECORD").stat()
        for path, (digest, size) in self.entries.items():
            file = self.info.parent / path
            try:
                stat = file.stat()
            except OSError:
                yield path, "missing"
                continue
            # the record is written last; the time of a change of any kind cannot be set back, as that of writing can
            touched = stat.st_mtime_ns > record.st_mtime_ns
            touched |= stat.st_size <= LARGE and stat.st_ctime_ns > record.st_ctime_ns
            if (str(stat.st_size) != size and size) or touched:
                now = _recorded_hash(file)
                if now != digest:
                    yield path, now


def _recorded_hash(file: Path) -> str:
    """Return a file's hash as a record writes it (PEP 376)."""
    with file.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").digest()
    return "sha256=" + base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


@lru_cache(maxsize=64)
def _infos(site: Path) -> dict[str, Installed]:
    found = {}
    for record in site.glob("*.dist-info/RECORD"):
        installed = Installed(record.parent)
        found[installed.name] = installed
    return found


@lru_cache(maxsize=4096)
def owner(site: Path, path: str) -> Installed | None:
    """Return the package whose record lists a file of a folder of packages; None where none does."""
    needle = f"\n{path},".encode()
    for installed in _infos(site).values():
        if needle in b"\n" + (installed.info / "RECORD").read_bytes():
            return installed
    return None


def closure(installed: Installed) -> dict[str, str]:
    """Return the identities of a package and of all that it needs, by name."""
    known = _infos(installed.info.parent)
    waiting, found = [installed.name], {}
    while waiting:
        name = waiting.pop()
        # this package has a digest of its own
        if name in known and name not in found and name != OWN:
            found[name] = known[name].identity
            waiting += known[name].requirements
    return found
