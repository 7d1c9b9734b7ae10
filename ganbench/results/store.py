"""The files of a study: the only code that writes and reads them.

    plan.yaml                      what was asked for, frozen, with its hash
    probes.npy, probes.json        of a large study: the numbers of all probes as one array, and what it was made of
    environments.jsonl             what trained it: digest of ganbench's code, torch, device; one line unless mixed
    status.json                    what runs where while a command is at work; nothing is decided by it
    sessions.jsonl                 one line whenever a command worked on the study: versions, device, command
    problems/LABEL.json, .npy      oracle values, true modes and some real samples of a problem
    populations/ID/runs.json       the runs of a population, in the order of its rows
    populations/ID/series.jsonl    one line a probe, appended; the last line of a step counts
    populations/ID/columns.npy     the same once more as one array, when the population is complete: see columns.py
    populations/ID/samples-K.npy   samples of every run at step K
    populations/ID/NAME.npy        what is drawn of images when their training has ended: see PICTURES in population.py
    populations/ID/checkpoint.pt   where to go on after a kill; earlier-checkpoint.pt is the one before it
    populations/ID/lock            held by a training loop that writes its own run
    populations/ID/done.json       written last, when the population is complete
    populations/ID/output.txt      what its training printed, if anything, without the middle of much
    populations/ID/failed.json     what went wrong where it was the machine or a bug

A file is either appended to by lines or written under another name and renamed, so that a kill at any moment leaves
a study that reads, and goes on.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from ganbench.errors import UserError
from ganbench.files import append_line, file_name, is_held, locked, remove, write_text, writing_to
from ganbench.plan import Plan, Run
from ganbench.results import planfile, reading
from ganbench.results.population import PopulationFolder
from ganbench.results.problem import ProblemFolder
from ganbench.results.reading import Damage, Unreadable, exists
from ganbench.results.records import RECORDS, read_records

TABLES = ("probes.json", "probes.npy")
"""See tables.py: made of the populations, and made again where a command trains."""

REPORT_FILES = ("report.html", "report.md", "results.csv", "results.json", "results.parquet", "series.parquet")
"""What is written from the results, beside figures/; it can be written again at any time."""
PAPER_FILES = ("ranking.tex", "ranking.md", "methods.md", "model-index.yaml")
"""What `ganbench export` writes of them on request."""


ATTEMPTS = "attempts"
"""Where an executor has work done that may be done twice at once; what is complete moves to its place."""


def _make_folder(path: Path) -> None:
    with writing_to(path):
        path.mkdir(parents=True, exist_ok=True)


def _is_ours(file: Path) -> bool:
    """Tell whether a directory without a plan may hold this file: what a kill leaves before there is one."""
    return file.name == "lock" or file.name.startswith(".plan.yaml.")


class Store:
    """A study's directory."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def plan_file(self) -> Path:
        return self.path / "plan.yaml"

    @property
    def status_file(self) -> Path:
        """Where a command that is at work tells what runs where."""
        return self.path / "status.json"

    @property
    def lock_file(self) -> Path:
        """What a writing command holds."""
        return self.path / "lock"

    def is_held(self) -> bool:
        """Tell whether a command is at work on the study: its lock says so, and no clock."""
        return is_held(self.path / "lock")

    def work(self, now: Callable[[], float] = time.time) -> tuple[dict[str, Any] | None, float | None]:
        """Return what the last command told of what runs where, and how many seconds ago by the clock of the disk.

        None where nobody is at work, or has told anything yet.
        """
        try:
            record = reading.work(reading.read_json(self.status_file))
            return record, max(now() - self.status_file.stat().st_mtime, 0.0)
        except (Unreadable, OSError):
            return None, None

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
            kept = ("margins", "plugin_files", "time_limit", "code", "claims", "executor")
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
        for part in ("populations", "problems", "figures", ATTEMPTS):
            shutil.rmtree(self.path / part, ignore_errors=True)
        # the plan goes last: what a kill leaves is still a study
        made = (*TABLES, *REPORT_FILES, *PAPER_FILES)
        for file in ("sessions.jsonl", "environments.jsonl", "status.json", *made, "plan.yaml"):
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
        with locked(self.lock_file, taken):
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
