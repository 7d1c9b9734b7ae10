"""The files of one population of a study, and what is damaged of them."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ganbench.arrays import Array
from ganbench.files import append_line, earlier, locked, remove, replace_file, write_text
from ganbench.plan import Plan, Run
from ganbench.results import columns, reading
from ganbench.results.columns import Measured
from ganbench.results.frames import Frames
from ganbench.results.reading import Damage, Unreadable, exists

DECIDING = ("runs.json", "done.json", "series.jsonl")
"""The files of a population without which its runs do not count as ended."""
PICTURES = {"interpolations": 6, "neighbours": 5, "asked": 6}
"""What may be there of images whose training has ended, each with its axes: runs first, then places, then an image."""


class PopulationFolder:
    """The results of one population. What cannot be read counts as missing, and `damage` says so."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.checkpoint = path / "checkpoint.pt"
        self._damage: dict[str, Damage] = {}
        self._believed: Measured | None = None

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
        for name in (columns.FILE, "failed.json"):
            remove(self.path / name)
        self._forget()

    def rewind(self, step: int) -> None:
        """Forget what was recorded after a step, so that the population can go on from there; all of it for -1."""
        kept = {at: values for at, values in self.series().items() if at <= step}
        for name in ("done.json", columns.FILE, "faults.json"):
            remove(self.path / name)
        lines = [json.dumps({"step": at, "values": values}, separators=(",", ":")) for at, values in kept.items()]
        write_text(self.path / "series.jsonl", "".join(line + "\n" for line in lines))
        for file in self.path.glob("samples-*.npy"):
            if _step_of(file) not in kept:
                remove(file)
        self._forget()

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the population for one process that writes it."""
        with locked(self.path / "lock", f"Another process is at work on the run '{self.id}' in '{self.path}'."):
            yield

    def append(self, step: int, values: dict[str, list[float]], samples: Array | None) -> None:
        """Record one probe: values [runs] by column and samples [runs, n, *shape], None where there are none."""
        if samples is not None:
            with replace_file(self.path / f"samples-{step}.npy") as target, target.open("wb") as stream:
                np.save(stream, samples)
        append_line(self.path / "series.jsonl", {"step": step, "values": values})

    def picture(self, name: str, images: Array) -> None:
        """Record one of PICTURES, [runs, ..., c, h, w]."""
        with replace_file(self.path / f"{name}.npy") as target, target.open("wb") as stream:
            np.save(stream, images)

    def finish(self, clock: dict[str, float], diverged_step: Sequence[int], cost: dict[str, Any] | None = None) -> None:
        """Mark the population complete; cost: gflop of each run's training [runs] and peak_bytes, where known."""
        record = {"seconds": clock, "diverged_step": list(diverged_step)} | ({"cost": cost} if cost else {})
        record["series"] = self._digest()
        record["sealed"] = _seal(self.runs(), record)
        self._believed = None
        self._keep_columns(record)
        write_text(self.path / "done.json", json.dumps(record))
        for file in (self.checkpoint, earlier(self.checkpoint)):
            remove(file)

    def mend_columns(self) -> None:
        """Write the array beside the lines again, of a population that is complete."""
        if record := self.done():
            self._keep_columns(record)
            write_text(self.path / "done.json", json.dumps(record))

    def _keep_columns(self, record: dict[str, Any]) -> None:
        measured, bad = self._measured_in_lines()
        # without it nothing is missing, so that a full disk is no failure
        with suppress(OSError):
            if measured.steps and not bad:
                record["columns"] = columns.write(self.path, measured, record["series"])

    def fail(self, error: str, details: str = "") -> None:
        """Record that the population could not be trained for our or the machine's reasons."""
        self.path.mkdir(parents=True, exist_ok=True)
        write_text(self.path / "failed.json", json.dumps({"error": error, "details": details}))

    @property
    def output(self) -> Path:
        """The file of what its training printed."""
        return self.path / "output.txt"

    def keep_output(self, text: str) -> None:
        """Record what its training printed; without it nothing is missing, so that a full disk is no failure."""
        with suppress(OSError):
            self.path.mkdir(parents=True, exist_ok=True)
            write_text(self.output, text)

    def keep_faults(self, faults: Sequence[dict[str, Any]]) -> None:
        """Record what is wrong with a watched loop's wiring: name, certain, evidence, change."""
        write_text(self.path / "faults.json", json.dumps(list(faults)))

    def faults(self) -> list[dict[str, Any]]:
        """Return what was found wrong with a watched loop's wiring, the certain first; empty where nobody looked."""
        return self._json("faults.json", reading.faults, "what is wrong with the loop's wiring is not told") or []

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
        for name in PICTURES:
            if (images := self._picture(name)) is not None:
                target.picture(name, images[rows])
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
        return dict(sorted(self._lines().items()))

    def measured(self) -> Measured:
        """Return what was measured as one array: the one beside the lines where it is what they hold, else theirs."""
        if self._believed is None and (done := self.done()):
            self._believed = self._kept(done, self._digest())
        return self._believed or self._measured_in_lines()[0]

    def verify(self, plan: Plan) -> bool:
        """Read all of it, note what is damaged, and tell whether it is complete and all that decides is whole."""
        runs, done, _ = self.runs(), self.done(), self.failed()
        stranger = next((run for run in runs if run not in plan.steps_of), None)
        if done is not None and done.get("sealed", _seal(runs, done)) != _seal(runs, done):
            lost = f"its {len(runs)} runs count as not ended"
            self._note("done.json", "or the list of runs beside it has been changed since its training ended", lost)
        if stranger is not None:
            lost = "the others in it count as not ended"
            self._note("runs.json", f"names the run {stranger[:80]!r}, which the plan does not have", lost)
        elif runs:
            steps = self._check_series(plan, done)
            # a watched loop may show no samples
            self._check_samples(
                [step for step in steps if not plan.listed or exists(self.path / f"samples-{step}.npy")], len(runs)
            )
        return done is not None and self.fatal is None

    def whole_steps(self) -> list[int]:
        """Return the steps of which both the values and the samples are whole."""
        runs = len(self.runs())
        return [step for step in self.series() if self._sample_of(step, runs) is not None]

    def samples(self, row: int) -> Mapping[int, Array]:
        """Return the samples [n, *shape] of one run by step, each read when it is asked for."""
        return Frames(self.path, row, self._sampled)

    def pictures(self, row: int) -> dict[str, Array]:
        """Return what there is of PICTURES of one run, by name [..., c, h, w]."""
        return {name: kept[row].astype(np.float32) for name in PICTURES if (kept := self._picture(name)) is not None}

    def _picture(self, name: str) -> Array | None:
        file, runs = self.path / f"{name}.npy", len(self.runs())
        if not exists(file):
            return None
        try:
            array = reading.read_array(file)
            if array.ndim != PICTURES[name] or len(array) != runs:
                raise Unreadable("does not hold images of every run")
        except Unreadable as error:
            self._note(file.name, str(error), "these pictures are not shown")
            return None
        return array

    @cached_property
    def _sampled(self) -> list[int]:
        """The steps of which samples can be read; a reader looks for them once for every run."""
        found = map(_step_of, self.path.glob("samples-*.npy"))
        return self._check_samples(sorted(step for step in found if step is not None), len(self.runs()))

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

    def _check_samples(self, steps: Sequence[int], runs: int) -> list[int]:
        """Return the steps whose samples can be read, note the others; a file like one that can is not looked into."""
        sound, found = set(), []
        for step in steps:
            head = reading.array_head(self.path / f"samples-{step}.npy")
            if (head is not None and head in sound) or self._sample_of(step, runs) is not None:
                sound.add(head)
                found.append(step)
        return found

    def _lines(self) -> dict[int, dict[str, list[float]]]:
        file, runs = self.path / "series.jsonl", self.runs()
        if not runs or not exists(file):
            return {}
        try:
            return dict(reading.read_lines(file, reading.probe_of(len(runs)))[0])
        except Unreadable as error:
            self._note("series.jsonl", str(error), "what was measured is lost")
            return {}

    def _measured_in_lines(self) -> tuple[Measured, list[int]]:
        """Return what the lines hold, and the numbers of those that are no probes."""
        file, runs = self.path / "series.jsonl", self.runs()
        nothing = Measured((), (), np.empty((0, len(runs), 0)))
        if not runs or not exists(file):
            return nothing, []
        try:
            content = reading.read_bytes(file)
        except Unreadable as error:
            self._note("series.jsonl", str(error), "what was measured is lost")
            return nothing, []
        return columns.of_lines(content, len(runs))

    def _kept(self, done: dict[str, Any], digest: str) -> Measured | None:
        """Return the array beside the lines where it is what they hold, by the hash of both; else None."""
        if "columns" not in done or done.get("series") != digest or not exists(self.path / columns.FILE):
            return None
        try:
            return columns.read(self.path, done["columns"], len(self.runs()), digest)
        except Unreadable as error:
            self._note(columns.FILE, str(error), "nothing: the lines are read instead")
            return None

    def _check_series(self, plan: Plan, done: dict[str, Any] | None) -> tuple[int, ...]:
        """Note probes that are lost or changed, and return the steps of the others.

        All of a complete population are there, up to the last of another.
        """
        digest = self._digest()
        self._believed = self._kept(done, digest) if done else None
        measured, bad = (self._believed, []) if self._believed else self._measured_in_lines()
        found, steps, lost = measured.steps, plan.steps_of[self.runs()[0]], "its runs count as not ended"
        if plan.listed:
            # when a watched loop probes is its own affair
            if bad or (done and not found):
                self._note("series.jsonl", f"is no probe in line {bad[0]}" if bad else "has no probes", lost)
            return found
        last = steps if done else max(found, default=-1)
        gap = next((step for step in plan.probes(steps) if step not in found), None)
        if gap is not None and gap <= last:
            self._note("series.jsonl", f"has no probe of step {gap}", lost)
        elif done and done.get("series", digest) != digest:
            self._note("series.jsonl", "has been changed since its training ended", lost)
        return found

    def _digest(self) -> str:
        """Return a hash of the probes as they were written."""
        digest = hashlib.sha256()
        try:
            for part in reading.read_parts(self.path / "series.jsonl"):
                digest.update(part)
        except Unreadable:
            return ""
        return digest.hexdigest()

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
        self._believed = None
        self.__dict__.pop("_sampled", None)


def _seal(runs: Sequence[str], record: Mapping[str, Any]) -> str:
    """Return a hash of what a population ended with: which runs in which rows, where each diverged, and the probes."""
    return hashlib.sha256(json.dumps([runs, record["diverged_step"], record.get("series")]).encode()).hexdigest()


def _step_of(file: Path) -> int | None:
    digits = file.stem.removeprefix("samples-")
    return int(digits) if re.fullmatch("[0-9]{1,18}", digits) else None


def _has_content(file: Path) -> bool:
    return file.is_file() and file.stat().st_size > 0
