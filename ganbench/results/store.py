"""The files of a study: the only code that writes and reads them.

    plan.yaml                      what was asked for, frozen, with its hash
    sessions.jsonl                 one line whenever a command worked on the study: versions, device, command
    problems/LABEL.json, .npy      oracle values, true modes and some real samples of a problem
    populations/ID/runs.json       the runs of a population, in the order of its rows
    populations/ID/series.jsonl    one line a probe, appended; the last line of a step counts
    populations/ID/samples-K.npy   samples of every run at step K
    populations/ID/checkpoint.pt   where to go on after a kill
    populations/ID/lock            held by a training loop that writes its own run
    populations/ID/done.json       written last, when the population is complete
    populations/ID/failed.json     what went wrong where it was the machine or a bug

A file is either appended to by lines or written under another name and renamed, so that a kill at any moment leaves
a study that reads, and goes on.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import IO, Any

import numpy as np
import yaml

from ganbench.errors import UserError
from ganbench.files import replace_file
from ganbench.plan import Plan, Run

Array = np.ndarray[Any, np.dtype[Any]]

REPORT_FILES = ("report.html", "report.md", "results.csv", "results.json", "results.parquet", "series.parquet")
"""What is written from the results, beside figures/; it can be written again at any time."""

# a plan has thousands of lines: libyaml reads them in a moment, where it is there
_SafeLoader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_SafeDumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


def _write_text(file: Path, text: str) -> None:
    with replace_file(file) as target:
        target.write_text(text, encoding="utf-8")


def _append_line(file: Path, record: dict[str, Any]) -> None:
    line = json.dumps(record, separators=(",", ":")) + "\n"
    with file.open("ab+") as stream:
        # a kill may have left half a line: the next record must not be glued to it
        if stream.seek(0, os.SEEK_END) and not _ends_with_newline(stream):
            line = "\n" + line
        stream.write(line.encode())
        stream.flush()


@contextmanager
def _locked(file: Path, taken: str | None) -> Iterator[None]:
    """Hold a lock file, which the system lets go of even after a kill; UserError `taken`, or None to wait for it."""
    try:
        opened = file.open("w")
    except OSError as error:
        raise UserError(f"Cannot write to '{file}': {error.strerror or error}.") from error
    with opened as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | (0 if taken is None else fcntl.LOCK_NB))
        except OSError as error:
            raise UserError(taken or f"Cannot lock '{file}': {error.strerror or error}.") from error
        yield


def _make_folder(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"Cannot write to '{path}': {error.strerror or error}.") from error


def _is_ours(file: Path) -> bool:
    """Tell whether a directory without a plan may hold this file: what a kill leaves before there is one."""
    return file.name == "lock" or file.name.startswith(".plan.yaml.")


def _ends_with_newline(stream: IO[bytes]) -> bool:
    stream.seek(-1, os.SEEK_END)
    return stream.read(1) == b"\n"


def _read_lines(file: Path) -> list[dict[str, Any]]:
    """Return the records of a file of lines; a line that a kill cut short is left out."""
    records = []
    if file.exists():
        for line in file.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                records.append(json.loads(line))
            except json.JSONDecodeError:
                continue
    return records


class ProblemFolder:
    """What a study records of one problem."""

    def __init__(self, folder: Path, label: str) -> None:
        self._json, self._array = folder / f"{label}.json", folder / f"{label}.npy"

    def exists(self) -> bool:
        """Tell whether the record is complete."""
        return self._json.exists()

    def write(self, description: dict[str, Any], real: Array) -> None:
        """Record oracle values, modes and real samples."""
        self._json.parent.mkdir(parents=True, exist_ok=True)
        with replace_file(self._array) as target, target.open("wb") as stream:
            np.save(stream, real)
        _write_text(self._json, json.dumps(description))

    def read(self) -> dict[str, Any]:
        """Return what was recorded, real samples under "real"; empty where nothing is there yet."""
        if not self.exists():
            return {}
        return {**json.loads(self._json.read_text(encoding="utf-8")), "real": np.load(self._array)}


class PopulationFolder:
    """The results of one population."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.checkpoint = path / "checkpoint.pt"

    @property
    def id(self) -> str:
        return self.path.name

    def begin(self, runs: Sequence[Run]) -> None:
        """Lay the folder out; what an earlier failure left is cleared so that it is tried again."""
        self.path.mkdir(parents=True, exist_ok=True)
        _write_text(self.path / "runs.json", json.dumps([run.id for run in runs]))
        (self.path / "failed.json").unlink(missing_ok=True)

    def rewind(self, step: int) -> None:
        """Forget what was recorded after a step, so that the population can go on from there; all of it for -1."""
        kept = {at: values for at, values in self.series().items() if at <= step}
        (self.path / "done.json").unlink(missing_ok=True)
        lines = [json.dumps({"step": at, "values": values}, separators=(",", ":")) for at, values in kept.items()]
        _write_text(self.path / "series.jsonl", "".join(line + "\n" for line in lines))
        for file in self.path.glob("samples-*.npy"):
            if int(file.stem.removeprefix("samples-")) not in kept:
                file.unlink()

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the population for one process that writes it."""
        with _locked(self.path / "lock", f"Another process is at work on the run '{self.id}' in '{self.path}'."):
            yield

    def append(self, step: int, values: dict[str, list[float]], samples: Array) -> None:
        """Record one probe: values [runs] by column and samples [runs, n, *shape]."""
        with replace_file(self.path / f"samples-{step}.npy") as target, target.open("wb") as stream:
            np.save(stream, samples)
        _append_line(self.path / "series.jsonl", {"step": step, "values": values})

    def finish(self, clock: dict[str, float], diverged_step: Sequence[int], cost: dict[str, Any] | None = None) -> None:
        """Mark the population complete; cost: gflop of each run's training [runs] and peak_bytes, where known."""
        record = {"seconds": clock, "diverged_step": list(diverged_step)} | ({"cost": cost} if cost else {})
        _write_text(self.path / "done.json", json.dumps(record))
        self.checkpoint.unlink(missing_ok=True)

    def fail(self, error: str, details: str = "") -> None:
        """Record that the population could not be trained for our or the machine's reasons."""
        self.path.mkdir(parents=True, exist_ok=True)
        _write_text(self.path / "failed.json", json.dumps({"error": error, "details": details}))

    def runs(self) -> list[str]:
        """Return the ids of its runs, in the order of its rows."""
        return self._json("runs.json", [])

    def done(self) -> dict[str, Any] | None:
        """Return the record of its completion, None while it is not complete."""
        return self._json("done.json", None)

    def failed(self) -> dict[str, str] | None:
        """Return the record of its failure, None where there is none."""
        return self._json("failed.json", None)

    def series(self) -> dict[int, dict[str, list[float]]]:
        """Return values [runs] by column, by step, in order of steps."""
        records = {record["step"]: record["values"] for record in _read_lines(self.path / "series.jsonl")}
        return dict(sorted(records.items()))

    def samples(self, row: int) -> dict[int, Array]:
        """Return the samples [n, *shape] of one run by step."""
        return {step: kept[row].astype(np.float32) for step, kept in self._samples.items()}

    @cached_property
    def _samples(self) -> dict[int, Array]:
        """The samples of all runs by step, mapped rather than read; a reader looks at them once for every run."""
        files = {int(file.stem.removeprefix("samples-")): file for file in self.path.glob("samples-*.npy")}
        return {step: np.load(files[step], mmap_mode="r") for step in sorted(files)}

    def _json(self, name: str, missing: Any) -> Any:
        file = self.path / name
        return json.loads(file.read_text(encoding="utf-8")) if file.exists() else missing


class Store:
    """A study's directory."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def plan_file(self) -> Path:
        return self.path / "plan.yaml"

    def exists(self) -> bool:
        """Tell whether a study lives here; UserError where that cannot be seen."""
        try:
            return self.plan_file.exists()
        except OSError as error:
            raise UserError(f"Cannot read '{self.path}': {error.strerror or error}.") from error

    def begin(self, plan: Plan, *, fresh: bool = False) -> None:
        """Create the study, or open it to go on; UserError where another plan lives here or nothing can be written."""
        fresh = fresh and self.exists()
        if fresh:
            # never under the feet of a command that is at work
            with self.lock():
                self._clear()
        if self.exists():
            other = self.read_plan()
            if other.hash != plan.hash:
                raise UserError(
                    f"The directory '{self.path}' holds a study of another plan ({other.name}, {other.hash}; this is "
                    f"{plan.name}, {plan.hash}). Choose another --out, or start over with --fresh."
                )
            if other.margins != plan.margins:
                # they judge a study and have no part in it
                self._write_plan(replace(other, margins=plan.margins))
            return
        if not fresh:
            self._refuse_foreign("--out")
        self._write_plan(plan)

    def enlist(self, plan: Plan) -> None:
        """Add the listed runs of a plan to the study, or create it; UserError where it cannot take them."""
        if not self.exists():
            self._refuse_foreign("out")
        elif not self.read_plan().listed:
            raise UserError(f"The directory '{self.path}' holds the study of a suite; choose another out.")
        _make_folder(self.path)
        with self.lock(wait=True):
            self._write_plan(self.read_plan().joined(plan) if self.exists() else plan)

    def _refuse_foreign(self, option: str) -> None:
        if self.path.exists() and not (self.path.is_dir() and all(map(_is_ours, self.path.iterdir()))):
            raise UserError(f"The output '{self.path}' exists and is not a study; choose another {option}.")

    def _write_plan(self, plan: Plan) -> None:
        _make_folder(self.path)
        header = "# The plan of a ganbench study; the results beside it belong to it alone.\n"
        text = yaml.dump({"hash": plan.hash, **plan.to_dict()}, Dumper=_SafeDumper, sort_keys=False, width=200)
        try:
            _write_text(self.plan_file, header + text)
        except OSError as error:
            raise UserError(f"Cannot write to '{self.path}': {error.strerror or error}.") from error

    def _clear(self) -> None:
        for part in ("populations", "problems", "figures"):
            shutil.rmtree(self.path / part, ignore_errors=True)
        # the plan goes last: what a kill leaves is still a study
        for file in ("sessions.jsonl", *REPORT_FILES, "plan.yaml"):
            (self.path / file).unlink(missing_ok=True)

    def read_plan(self) -> Plan:
        """Return the plan that the study belongs to; UserError where it does not read."""
        try:
            text = self.plan_file.read_text(encoding="utf-8")
        except OSError as error:
            raise UserError(f"There is no study in '{self.path}' (no plan.yaml).") from error
        try:
            return Plan.from_dict(yaml.load(text, Loader=_SafeLoader))  # noqa: S506 - one of the two safe loaders
        except (KeyError, TypeError, AttributeError, yaml.YAMLError) as error:
            raise UserError(f"The file '{self.plan_file}' is damaged: {error!r}.") from error

    @contextmanager
    def lock(self, *, wait: bool = False) -> Iterator[None]:
        """Hold the study for one writing command, waiting for another to end if asked to."""
        taken = None if wait else f"Another command is working on the study '{self.path}'."
        with _locked(self.path / "lock", taken):
            yield

    def log_session(self, record: dict[str, Any]) -> None:
        """Append one record of a command that worked on the study."""
        _append_line(self.path / "sessions.jsonl", record)

    def sessions(self) -> list[dict[str, Any]]:
        """Return the records of all commands that worked on the study."""
        return _read_lines(self.path / "sessions.jsonl")

    def problem(self, label: str) -> ProblemFolder:
        """Return the record of a problem."""
        return ProblemFolder(self.path / "problems", label)

    def population(self, name: str) -> PopulationFolder:
        """Return the results of a population."""
        return PopulationFolder(self.path / "populations" / name)

    def populations(self) -> list[PopulationFolder]:
        """Return the results of all populations begun so far."""
        return [PopulationFolder(path) for path in sorted((self.path / "populations").glob("*/"))]
