"""The files of a study: the only code that writes and reads them.

    plan.yaml                      what was asked for, frozen, with its hash
    environments.jsonl             what trained it: digest of ganbench's code, torch, device; one line unless mixed
    sessions.jsonl                 one line whenever a command worked on the study: versions, device, command
    problems/LABEL.json, .npy      oracle values, true modes and some real samples of a problem
    populations/ID/runs.json       the runs of a population, in the order of its rows
    populations/ID/series.jsonl    one line a probe, appended; the last line of a step counts
    populations/ID/samples-K.npy   samples of every run at step K
    populations/ID/checkpoint.pt   where to go on after a kill; earlier-checkpoint.pt is the one before it
    populations/ID/lock            held by a training loop that writes its own run
    populations/ID/done.json       written last, when the population is complete
    populations/ID/failed.json     what went wrong where it was the machine or a bug

A file is either appended to by lines or written under another name and renamed, so that a kill at any moment leaves
a study that reads, and goes on.
"""

from __future__ import annotations

import fcntl
import json
import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ganbench.errors import UserError
from ganbench.files import append_line, earlier, file_name, remove, replace_file, write_text, writing_to
from ganbench.plan import Plan, Run
from ganbench.results import planfile, reading
from ganbench.results.problem import ProblemFolder
from ganbench.results.reading import Array, Damage, Unreadable, exists
from ganbench.results.records import RECORDS, read_records

DECIDING = ("runs.json", "done.json", "series.jsonl")
"""The files of a population without which its runs do not count as ended."""

REPORT_FILES = ("report.html", "report.md", "results.csv", "results.json", "results.parquet", "series.parquet")
"""What is written from the results, beside figures/; it can be written again at any time."""


@contextmanager
def _locked(file: Path, taken: str | None) -> Iterator[None]:
    """Hold a lock file, which the system lets go of even after a kill; UserError `taken`, or None to wait for it."""
    with ExitStack() as stack:
        try:
            stream = stack.enter_context(file.open("w"))
            fcntl.flock(stream, fcntl.LOCK_EX | (0 if taken is None else fcntl.LOCK_NB))
        except BlockingIOError as error:
            raise UserError(taken or "") from error
        except OSError as error:
            raise UserError(f"Cannot write to '{file}': {error.strerror or error}.") from error
        yield


def _make_folder(path: Path) -> None:
    with writing_to(path):
        path.mkdir(parents=True, exist_ok=True)


def _is_ours(file: Path) -> bool:
    """Tell whether a directory without a plan may hold this file: what a kill leaves before there is one."""
    return file.name == "lock" or file.name.startswith(".plan.yaml.")


class PopulationFolder:
    """The results of one population. What cannot be read counts as missing, and `damage` says so."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.checkpoint = path / "checkpoint.pt"
        self._damage: dict[str, Damage] = {}

    @property
    def id(self) -> str:
        return self.path.name

    @property
    def damage(self) -> list[Damage]:
        """What was found to be damaged while it was read."""
        return list(self._damage.values())

    @property
    def fatal(self) -> Damage | None:
        """The damage that keeps its runs from counting as ended, None where there is none."""
        return next((self._damage[name] for name in DECIDING if name in self._damage), None)

    def begin(self, runs: Sequence[Run]) -> None:
        """Lay the folder out to train; what an earlier failure or damage left is cleared so that it is tried again."""
        if not self.path.is_dir():
            remove(self.path)
        self.path.mkdir(parents=True, exist_ok=True)
        for name in (*DECIDING, self.checkpoint.name, earlier(self.checkpoint).name):
            if not (self.path / name).is_file() or name == "done.json":
                remove(self.path / name)
        write_text(self.path / "runs.json", json.dumps([run.id for run in runs]))
        remove(self.path / "failed.json")
        self._forget()

    def rewind(self, step: int) -> None:
        """Forget what was recorded after a step, so that the population can go on from there; all of it for -1."""
        kept = {at: values for at, values in self.series().items() if at <= step}
        remove(self.path / "done.json")
        lines = [json.dumps({"step": at, "values": values}, separators=(",", ":")) for at, values in kept.items()]
        write_text(self.path / "series.jsonl", "".join(line + "\n" for line in lines))
        for file in self.path.glob("samples-*.npy"):
            if _step_of(file) not in kept:
                remove(file)
        self._forget()

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the population for one process that writes it."""
        with _locked(self.path / "lock", f"Another process is at work on the run '{self.id}' in '{self.path}'."):
            yield

    def append(self, step: int, values: dict[str, list[float]], samples: Array) -> None:
        """Record one probe: values [runs] by column and samples [runs, n, *shape]."""
        with replace_file(self.path / f"samples-{step}.npy") as target, target.open("wb") as stream:
            np.save(stream, samples)
        append_line(self.path / "series.jsonl", {"step": step, "values": values})

    def finish(self, clock: dict[str, float], diverged_step: Sequence[int], cost: dict[str, Any] | None = None) -> None:
        """Mark the population complete; cost: gflop of each run's training [runs] and peak_bytes, where known."""
        record = {"seconds": clock, "diverged_step": list(diverged_step)} | ({"cost": cost} if cost else {})
        write_text(self.path / "done.json", json.dumps(record))
        for file in (self.checkpoint, earlier(self.checkpoint)):
            remove(file)

    def fail(self, error: str, details: str = "") -> None:
        """Record that the population could not be trained for our or the machine's reasons."""
        self.path.mkdir(parents=True, exist_ok=True)
        write_text(self.path / "failed.json", json.dumps({"error": error, "details": details}))

    @contextmanager
    def made_whole(self) -> Iterator[PopulationFolder]:
        """Give a folder to fill, which takes the place of this one when it is complete."""
        unfinished = PopulationFolder(self.path.with_name(f".{self.path.name}"))
        unfinished.remove()
        yield unfinished
        self.remove()
        unfinished.path.rename(self.path)

    def remove(self) -> None:
        """Delete all of it: first from sight, in one go."""
        hidden = self.path.with_name(f".removed.{self.path.name}")
        remove(hidden)
        if exists(self.path):
            self.path.rename(hidden)
            remove(hidden)

    def part(self, target: PopulationFolder, rows: Sequence[int]) -> None:
        """Copy what was recorded of some of its rows into another folder, a population of its own."""
        runs = self.runs()
        target.path.mkdir(parents=True, exist_ok=True)
        for step, values in self.series().items():
            samples = self._sample_of(step, len(runs))
            if samples is not None:
                target.append(step, {k: [column[row] for row in rows] for k, column in values.items()}, samples[rows])
        write_text(target.path / "runs.json", json.dumps([runs[row] for row in rows]))

    def runs(self) -> list[str]:
        """Return the ids of its runs, in the order of its rows."""
        # a process that lays the folder out comes to this file last
        needed = exists(self.path / "done.json") or _has_content(self.path / "series.jsonl")
        return self._json("runs.json", reading.run_ids, "which runs it holds is lost", needed=needed) or []

    def done(self) -> dict[str, Any] | None:
        """Return the record of its completion, None while it is not complete."""
        runs = self.runs()
        lost = f"its {len(runs)} runs count as not ended"
        return self._json("done.json", reading.done_of(len(runs)), lost) if runs else None

    def failed(self) -> dict[str, str] | None:
        """Return the record of its failure, None where there is none."""
        record = self._json("failed.json", reading.failure, "why it failed is lost")
        if record is None and "failed.json" in self._damage:
            return {"error": str(self._damage["failed.json"]), "details": ""}
        return record

    def series(self) -> dict[int, dict[str, list[float]]]:
        """Return values [runs] by column, by step, in order of steps."""
        return dict(sorted(self._lines()[0].items()))

    def verify(self, plan: Plan) -> bool:
        """Read all of it, note what is damaged, and tell whether it is complete and all that decides is whole."""
        runs, done, _ = self.runs(), self.done(), self.failed()
        stranger = next((run for run in runs if run not in plan.steps_of), None)
        if stranger is not None:
            lost = "the others in it count as not ended"
            self._note("runs.json", f"names the run {stranger[:80]!r}, which the plan does not have", lost)
        elif runs:
            self._check_series(plan, done is not None)
            for step in self._lines()[0]:
                self._sample_of(step, len(runs))
        return done is not None and self.fatal is None

    def whole_steps(self) -> list[int]:
        """Return the steps of which both the values and the samples are whole."""
        runs = len(self.runs())
        return [step for step in self.series() if self._sample_of(step, runs) is not None]

    def samples(self, row: int) -> dict[int, Array]:
        """Return the samples [n, *shape] of one run by step."""
        return {step: kept[row].astype(np.float32) for step, kept in self._samples.items()}

    @cached_property
    def _samples(self) -> dict[int, Array]:
        """The samples of all runs by step, mapped rather than read; a reader looks at them once for every run."""
        runs, steps = len(self.runs()), map(_step_of, self.path.glob("samples-*.npy"))
        found = {step: self._sample_of(step, runs) for step in sorted(step for step in steps if step is not None)}
        return {step: array for step, array in found.items() if array is not None}

    def _sample_of(self, step: int, runs: int) -> Array | None:
        name = f"samples-{step}.npy"
        try:
            array = reading.read_array(self.path / name)
            # points [runs, n, d] or images [runs, n, c, h, w]
            if array.ndim not in (3, 5) or len(array) != runs:
                raise Unreadable("does not hold samples of every run")
        except Unreadable as error:
            self._note(name, str(error), f"the samples at step {step} are not shown")
            return None
        return array

    def _lines(self) -> tuple[dict[int, dict[str, list[float]]], list[int]]:
        file, runs = self.path / "series.jsonl", self.runs()
        if not runs or not exists(file):
            return {}, []
        try:
            records, bad = reading.read_lines(file, reading.probe_of(len(runs)))
        except Unreadable as error:
            self._note("series.jsonl", str(error), "what was measured is lost")
            return {}, []
        return dict(records), bad

    def _check_series(self, plan: Plan, done: bool) -> None:
        """Note probes that are lost: all of a complete population are there, all up to the last one of another."""
        found, bad = self._lines()
        steps = plan.steps_of[self.runs()[0]]
        lost = "its runs count as not ended"
        if plan.listed:
            # when a watched loop probes is its own affair
            if bad or (done and not found):
                self._note("series.jsonl", f"is no probe in line {bad[0]}" if bad else "has no probes", lost)
            return
        last = steps if done else max(found, default=-1)
        gap = next((step for step in plan.probes(steps) if step not in found), None)
        if gap is not None and gap <= last:
            self._note("series.jsonl", f"has no probe of step {gap}", lost)

    def _json(self, name: str, parse: Callable[[Any], Any], lost: str, *, needed: bool = False) -> Any:
        file = self.path / name
        if not needed and not exists(file):
            return None
        try:
            return parse(reading.read_json(file))
        except Unreadable as error:
            self._note(name, str(error), lost)
            return None

    def _note(self, name: str, why: str, lost: str) -> None:
        self._damage.setdefault(name, Damage(self.path / name, why, lost))

    def _forget(self) -> None:
        self._damage.clear()
        self.__dict__.pop("_samples", None)


def _step_of(file: Path) -> int | None:
    digits = file.stem.removeprefix("samples-")
    return int(digits) if re.fullmatch("[0-9]{1,18}", digits) else None


def _has_content(file: Path) -> bool:
    return file.is_file() and file.stat().st_size > 0


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
                changed = f"; changed: {', '.join(names)}" if (names := plan.changed(other)) else ""
                raise UserError(
                    f"The directory '{self.path}' holds a study of another plan ({other.name}, {other.hash}; this is "
                    f"{plan.name}, {plan.hash}{changed}). Choose another --out, or start over with --fresh."
                )
            # what has no part in its results, or is held against its environment, is that of the latest command
            kept = ("margins", "plugin_files", "time_limit", "code")
            mine = replace(other, **{key: getattr(plan, key) for key in kept})
            if mine != other:
                self._write_plan(mine)
            self._make_room()
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

    def _make_room(self) -> None:
        """Take away what is no folder, or no file, where the study has one."""
        with writing_to(self.path):
            for part in (self.path / "populations", self.path / "problems"):
                if exists(part) and not part.is_dir():
                    remove(part)
            for name in RECORDS:
                if (self.path / name).is_dir():
                    remove(self.path / name)

    def _write_plan(self, plan: Plan) -> None:
        _make_folder(self.path)
        with writing_to(self.path):
            write_text(self.plan_file, planfile.dump(plan))

    def _clear(self) -> None:
        for part in ("populations", "problems", "figures"):
            shutil.rmtree(self.path / part, ignore_errors=True)
        # the plan goes last: what a kill leaves is still a study
        for file in ("sessions.jsonl", "environments.jsonl", *REPORT_FILES, "plan.yaml"):
            (self.path / file).unlink(missing_ok=True)

    def read_plan(self) -> Plan:
        """Return the plan that the study belongs to; UserError where it does not read."""
        if not self.exists():
            raise UserError(f"There is no study in '{self.path}' (no plan.yaml).")
        try:
            return planfile.load(self.plan_file)
        except Unreadable as error:
            raise UserError(f"{Damage(self.plan_file, str(error), 'without it nothing of the study reads')}") from error

    @contextmanager
    def lock(self, *, wait: bool = False) -> Iterator[None]:
        """Hold the study for one writing command, waiting for another to end if asked to."""
        taken = None if wait else f"Another command is working on the study '{self.path}'."
        with _locked(self.path / "lock", taken):
            yield

    def log_session(self, record: dict[str, Any]) -> None:
        """Append one record of a command that worked on the study."""
        with writing_to(self.path):
            append_line(self.path / "sessions.jsonl", record)

    def sessions(self) -> list[dict[str, Any]]:
        """Return the records of all commands that worked on the study."""
        return read_records(self.path / "sessions.jsonl")[0]

    def damage(self) -> list[Damage]:
        """Return what is damaged beside the plan, the problems and the populations."""
        lost = {"populations": "all results are lost", "problems": "the oracle values are lost"}
        places = {self.path / part: text for part, text in lost.items()}
        places |= dict.fromkeys(_listed(self.path / "populations"), "the population that was there is lost")
        lines = [damage for name in RECORDS for damage in read_records(self.path / name)[1]]
        return lines + [Damage(place, why, text) for place, text in places.items() if (why := reading.no_folder(place))]

    def todo(self, plan: Plan, work: Mapping[str, list[Run]]) -> dict[str, list[Run]]:
        """Return the populations that are not complete, or whose results are damaged."""
        return {name: runs for name, runs in work.items() if not self.population(name).verify(plan)}

    def log_environment(self, record: dict[str, Any]) -> None:
        """Append one record of what trains the study from now on."""
        with writing_to(self.path):
            append_line(self.path / "environments.jsonl", record)

    def environments(self) -> list[dict[str, Any]]:
        """Return the records of what trained the study, the latest last: an empty one where none of it reads."""
        file = self.path / "environments.jsonl"
        return read_records(file)[0] or [{}] * (exists(file) and bool(self.populations()))

    def problem(self, label: str) -> ProblemFolder:
        """Return the record of a problem."""
        return ProblemFolder(self.path / "problems", label)

    def population(self, name: str) -> PopulationFolder:
        """Return the results of a population."""
        return PopulationFolder(self.path / "populations" / file_name(name))

    def populations(self) -> list[PopulationFolder]:
        """Return the results of all populations begun so far."""
        return [PopulationFolder(path) for path in _listed(self.path / "populations") if path.is_dir()]


def _listed(folder: Path) -> list[Path]:
    """Return what is in a folder, hidden files apart; nothing where it is none."""
    try:
        return sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except OSError:
        return []
