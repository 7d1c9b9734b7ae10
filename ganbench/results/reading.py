"""Readers of a study's files, to which anything may have happened: a value of the right shape, or what is wrong.

Nothing that a file holds is run, unpickled or believed: a reader returns what later code can compute with, or raises
`Unreadable`, and who asked tells it as a `Damage` and goes on with the rest.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from ganbench.arrays import Array

Probed = dict[str, list[float]]
T = TypeVar("T")

PART_BYTES = 1 << 20
HEAD_BYTES = 128
"""What NumPy writes before an array whose header is short, as those of samples are."""


class Unreadable(Exception):  # noqa: N818 - a state of a file, which its reader handles
    """Why a file cannot be used, as the end of a sentence that begins with "it"."""


@dataclass(frozen=True)
class Damage:
    """A file that cannot be used: why, and what is lost with it."""

    file: Path
    why: str
    lost: str

    def __str__(self) -> str:
        return printable(f"The file '{self.file}' is damaged: it {self.why}; {self.lost}.")


def printable(text: object) -> str:
    """Return a text, or the name of a file, as one line that can be printed anywhere."""
    return re.sub(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]", "\ufffd", str(text))


def exists(file: Path) -> bool:
    """Tell whether there is anything at a place, readable or not."""
    return os.path.lexists(file)


def no_folder(place: Path) -> str:
    """Return why what is at a place is no folder that can be read; nothing where it is one, or nothing is there."""
    if not exists(place):
        return ""
    try:
        next(place.iterdir(), None)
    except NotADirectoryError:
        return "is no folder"
    except OSError as error:
        return f"cannot be read ({error.strerror or error})"
    return ""


def read_bytes(file: Path) -> bytes:
    """Return a file's content; Unreadable where it is missing, no ordinary file, or cannot be read."""
    return b"".join(read_parts(file))


def read_parts(file: Path) -> Iterator[bytes]:
    """Yield a file's content piece by piece; Unreadable where it is missing, no ordinary file, or cannot be read."""
    try:
        # asked before it is opened: a pipe in its place would wait for a writer
        if not file.is_file():
            raise Unreadable("is not a file" if exists(file) else "is missing")
        with file.open("rb", buffering=0) as stream:
            while part := stream.read(PART_BYTES):
                yield part
    except OSError as error:
        raise Unreadable(f"cannot be read ({error.strerror or error})") from error


def read_text(file: Path) -> str:
    """Return a text file's content; Unreadable where it is none."""
    try:
        return read_bytes(file).decode("utf-8")
    except UnicodeDecodeError as error:
        raise Unreadable("is not UTF-8 text") from error


def parse_json(text: str) -> Any:
    """Return the value that a text of JSON stands for; Unreadable where it is none."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Unreadable("is empty" if not text.strip() else "is not JSON") from error


def read_json(file: Path) -> Any:
    """Return the value that a file of JSON holds; Unreadable where it holds none."""
    return parse_json(read_text(file))


def read_lines(file: Path, parse: Callable[[Any], T]) -> tuple[list[T], list[int]]:
    """Return the records of a file of lines, as `parse_lines` does; Unreadable where the file cannot be read."""
    return parse_lines(read_bytes(file), parse)


def parse_lines(content: bytes, parse: Callable[[Any], T]) -> tuple[list[T], list[int]]:
    """Return the records of the lines of a file, and the numbers of the lines that are none.

    An unfinished last line is what a kill leaves, and is no damage.
    """
    lines = content.split(b"\n")
    records, bad = [], []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            records.append(parse(parse_json(line.decode("utf-8"))))
        except (Unreadable, UnicodeDecodeError):
            if number < len(lines):
                bad.append(number)
    return records, bad


def array_head(file: Path) -> tuple[int, bytes] | None:
    """Return the size and the whole header of a `.npy`, None where it is no file or its header is longer than usual.

    Where `read_array` reads one of two files that have the same, it reads the other, and finds the same shape.
    """
    try:
        if not file.is_file():
            return None
        with file.open("rb", buffering=0) as stream:
            size, head = os.fstat(stream.fileno()).st_size, stream.read(HEAD_BYTES)
    except OSError:
        return None
    whole = len(head) == HEAD_BYTES and head.startswith(b"\x93NUMPY\x01\x00") and head[8:10] == b"\x76\x00"
    return (size, head) if whole else None


def read_array(file: Path) -> Array:
    """Return an array of floating-point numbers, mapped rather than read; Unreadable where the file holds none."""
    try:
        if not file.is_file():
            raise Unreadable("is not a file" if exists(file) else "is missing")
        array = np.load(file, mmap_mode="r", allow_pickle=False)
    except Unreadable:
        raise
    except OSError as error:
        raise Unreadable(f"cannot be read ({error.strerror or 'it is no array'})") from error
    except Exception as error:  # what NumPy raises on damaged headers is nowhere listed
        raise Unreadable("is not a whole array") from error
    if isinstance(array, np.lib.npyio.NpzFile):
        array.close()
    if not isinstance(array, np.ndarray) or array.dtype.kind != "f" or array.size == 0:
        raise Unreadable("holds no array of numbers")
    return array


# ------------------------------------------------------------------------------------------ what the files mean


def is_number(value: object) -> bool:
    """Tell whether a value is a number that arrays can hold."""
    if isinstance(value, float):
        return True
    return isinstance(value, int) and not isinstance(value, bool) and -(2**63) <= value < 2**63


def is_count(value: object, least: int = 0) -> bool:
    """Tell whether a value is a whole number of at least `least`."""
    return is_number(value) and isinstance(value, int) and value >= least


def _need(holds: bool, why: str) -> None:
    if not holds:
        raise Unreadable(why)


def _numbers(value: object, count: int | None = None) -> bool:
    return isinstance(value, list) and count in (None, len(value)) and all(map(is_number, value))


def _finite(value: Any) -> bool:
    return is_number(value) and math.isfinite(value) and value >= 0


def run_ids(value: Any) -> list[str]:
    """Return the ids of a population's runs; Unreadable where a value is no list of distinct texts."""
    texts = isinstance(value, list) and bool(value) and all(isinstance(run, str) and run for run in value)
    _need(texts and len(set(value)) == len(value), "is no list of runs")
    return value


def probe_of(runs: int) -> Callable[[Any], tuple[int, Probed]]:
    """Return what reads a line of a series: its step, and the values of every run by column."""

    def parse(record: Any) -> tuple[int, Probed]:
        _need(isinstance(record, dict) and is_count(record.get("step")), "is no probe")
        values = record.get("values")
        _need(isinstance(values, dict) and bool(values), "is no probe")
        try:
            table = np.array(list(values.values()))
        except (ValueError, OverflowError, RecursionError) as error:
            raise Unreadable("is no probe") from error
        # numbers with something else between them are an array of texts or objects
        _need(table.shape == (len(values), runs) and table.dtype.kind in "fi", "is no probe")
        return record["step"], values

    return parse


def done_of(runs: int) -> Callable[[Any], dict[str, Any]]:
    """Return what reads the record of a population's completion."""

    def parse(record: Any) -> dict[str, Any]:
        _need(isinstance(record, dict), "is no record of an end")
        seconds, diverged, cost = record.get("seconds"), record.get("diverged_step"), record.get("cost")
        clock = isinstance(seconds, dict) and all(_finite(seconds.get(key)) for key in ("train", "probe"))
        _need(clock, "does not say how long training took")
        steps = isinstance(diverged, list) and len(diverged) == runs and all(is_count(step, -1) for step in diverged)
        _need(steps, "does not say of every run whether it diverged")
        if cost is not None:
            counted = isinstance(cost, dict) and _numbers(cost.get("gflop"), runs) and _finite(cost.get("peak_bytes"))
            _need(counted, "does not say what every run cost")
        # studies of earlier versions do not have them
        _need(isinstance(record.get("series", ""), str), "does not say which probes it ended with")
        _need(isinstance(record.get("sealed", ""), str), "does not say what it ended with")
        _need("columns" not in record or _is_columns(record["columns"]), "does not say which columns it ended with")
        return record

    return parse


def _is_columns(record: Any) -> bool:
    if not isinstance(record, dict) or not isinstance(record.get("hash"), str):
        return False
    names, steps = record.get("names"), record.get("steps")
    if not isinstance(names, list) or not isinstance(steps, list):
        return False
    texts = all(isinstance(name, str) for name in names) and len(set(names)) == len(names)
    return texts and all(map(is_count, steps)) and steps == sorted(set(steps))


def failure(record: Any) -> dict[str, Any]:
    """Return the record of a failure."""
    _need(isinstance(record, dict) and isinstance(record.get("error"), str), "does not say what failed")
    return record


def faults(record: Any) -> list[dict[str, Any]]:
    """Return what was found wrong with a loop's wiring."""
    texts = ("name", "evidence", "change")
    _need(isinstance(record, list) and all(isinstance(fault, dict) for fault in record), "is no list of faults")
    _need(all(isinstance(fault.get(key), str) for fault in record for key in texts), "is no list of faults")
    return [{**{key: fault[key] for key in texts}, "certain": fault.get("certain") is True} for fault in record]


def session(record: Any) -> dict[str, Any]:
    """Return the record of a command that worked on a study."""
    told = isinstance(record, dict) and _finite(record.get("wall_seconds", 0.0))
    _need(told and isinstance(record.get("command", ""), str), "is no record of a command")
    return record


def environment(record: Any) -> dict[str, Any]:
    """Return the record of what trained a study."""
    _need(isinstance(record, dict) and all(isinstance(value, str) for value in record.values()), "is no environment")
    return record


def work(record: Any) -> dict[str, Any]:
    """Return what a command that is at work tells: for how long, and what is out, with ages in seconds."""
    numbers = ("runs", "step", "steps", "seconds", "heard_seconds")
    sound = isinstance(record, dict) and isinstance(record.get("out"), list) and _finite(record.get("seconds"))
    for each in record["out"] if sound else ():
        sound = sound and isinstance(each, dict) and all(is_number(each.get(key)) for key in numbers)
    _need(sound, "is no status")
    return dict(record)


MOST_MODES = 10**6
"""More than any problem has: judging takes time and memory for each."""


def seal(record: dict[str, Any]) -> str:
    """Return a hash of the record of a problem as a file holds it, but for the hash itself."""
    content = {key: value for key, value in record.items() if key != "sealed"}
    return hashlib.sha256(json.dumps(json.loads(json.dumps(content)), sort_keys=True).encode()).hexdigest()


def problem(record: Any) -> dict[str, Any]:
    """Return what a study records of a problem: oracle values, and the true modes where there are some."""
    _need(isinstance(record, dict), "is no record of a problem")
    oracle, modes, centres, std = (record.get(key) for key in ("oracle", "modes", "centres", "std"))
    _need(isinstance(oracle, dict) and all(map(is_number, oracle.values())), "has no oracle values")
    _need(modes is None or (is_count(modes, 1) and modes <= MOST_MODES), "does not count the modes")
    if centres is not None:
        points = isinstance(centres, list) and bool(centres) and all(_numbers(point) and point for point in centres)
        points = points and len({len(point) for point in centres}) == 1
        _need(points and all(math.isfinite(x) for point in centres for x in point), "has no centres of the modes")
        _need(_finite(std), "has no width of the modes")
    # studies of earlier versions do not have it
    _need(record.get("sealed", seal(record)) == seal(record), "has been changed since it was written")
    return {key: value for key, value in record.items() if key != "sealed"}
