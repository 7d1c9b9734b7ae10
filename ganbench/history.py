"""The job behind `ganbench history`: how variants fared over the baselines that there were, in git or in files."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ganbench import api
from ganbench.analysis.drift import change_points, epochs
from ganbench.analysis.seeds import identity
from ganbench.analysis.statistics import iqm
from ganbench.errors import unknown
from ganbench.identity import environment
from ganbench.provenance import ENVIRONMENT, told
from ganbench.results.baseline import Baseline, BaselineVariant, IncompatibleBaselineError, load_baseline, read_baseline
from ganbench.results.baselines import chosen, is_folder
from ganbench.revision import git

PATIENCE = 60
"""Seconds that git may take to look through a history."""
DECIDES = {**ENVIRONMENT, "git_revision": "revision of ganbench", "rules": "rules of verdicts"}
"""What a baseline tells of its making that may have moved its numbers, and what it is called."""


@dataclass(frozen=True)
class Version:
    """A baseline by its name, which is a commit or a file, and the day of its making."""

    name: str
    date: str
    baseline: Baseline


@dataclass(frozen=True)
class History:
    """One variant over baselines: a row each (baseline, date, failures, score, what changed), and the answer."""

    variant: str
    rows: tuple[tuple[str, ...], ...]
    sentence: str


def histories(files: Sequence[Path], wanted: Sequence[str] = ()) -> list[History]:
    """Return the history of every variant whose name holds one of these texts (none: of all).

    One file: over the commits of its repository, and as it is; of a folder that of this machine; several files: in the
    order in which they were made. UserError where a file does not read, or where no variant is called so.
    """
    if len(files) == 1 and is_folder(files[0]):
        files = [chosen(files[0], environment(api.pick_device("auto")))]
    versions = _committed(files[0]) if len(files) == 1 else [_of_file(file) for file in files]
    versions = versions if len(files) == 1 else sorted(versions, key=lambda one: (one.date, one.name))
    swept = sorted({key for version in versions for key in version.baseline.swept})
    known: dict[tuple[Any, ...], list[tuple[Version, BaselineVariant]]] = {}
    for version in versions:
        for variant in version.baseline.variants:
            known.setdefault(identity(variant.settings, variant.hypers, swept), []).append((version, variant))
    named = {of[-1][1].label: of for of in known.values()}
    found = {label: of for label, of in named.items() if not wanted or any(word in label for word in wanted)}
    if not found:
        raise unknown("variant", wanted[0], named)
    return [_history(label, of) for label, of in found.items()]


def _of_file(file: Path) -> Version:
    baseline = load_baseline(file)
    return Version(file.name, str(baseline.source.get("started", ""))[:10], baseline)


def _committed(file: Path) -> list[Version]:
    """Return a file as the commits of its repository have it, those that do not read left out, and as it is now."""
    now, folder = load_baseline(file), file.absolute().parent
    try:
        log = git(folder, "log", "--reverse", "--format=%h %cs", "--", file.name, patience=PATIENCE).splitlines()
    except (OSError, ValueError, subprocess.SubprocessError):
        log = []
    versions = list(_read(folder, file.name, log))
    if not versions or versions[-1].baseline != now:
        versions.append(Version("as it is", str(now.source.get("started", ""))[:10], now))
    return versions


def _read(folder: Path, name: str, log: Sequence[str]) -> Iterator[Version]:
    for line in log:
        commit, _, date = line.partition(" ")
        try:
            text = git(folder, "show", f"{commit}:./{name}", patience=PATIENCE)
            yield Version(commit, date, read_baseline(text, f"{name} at {commit}"))
        except (OSError, ValueError, subprocess.SubprocessError, IncompatibleBaselineError):
            continue  # deleted there, or of another schema


def _history(label: str, of: Sequence[tuple[Version, BaselineVariant]]) -> History:
    runs = [variant.runs for _, variant in of]
    points, states = {point.at: point for point in change_points(runs)}, set(epochs(runs))
    rows = []
    for at, (version, variant) in enumerate(of):
        lost = sum(run.failed for run in variant.runs)
        before = of[at - 1][0].baseline.source if at else version.baseline.source
        what = [f"changed: {points[at].words}"] if at in points else ["the same, seed by seed"] * (at not in states)
        what += _moved(before, version.baseline.source)
        score = float(iqm([run.score for run in variant.runs]))
        rows.append((version.name, version.date, f"{lost}/{len(variant.runs)}", f"{score:.2f}", "; ".join(what)))
    told_since = " ".join(f"Another since {of[at][0].name} ({of[at][0].date})." for at in sorted(points))
    counted = f"{len(of)} baselines in {len(states)} states"
    answer = told_since or "No change is shown"
    more = "" if told_since else f" ({counted}; a change that is none would be told in at most 5 % of such histories)."
    return History(label, tuple(rows), answer + more)


def _moved(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    pairs = [(words, told(before, key), told(now, key)) for key, words in DECIDES.items()]
    return [f"{words} {old} -> {new}" for words, old, new in pairs if old and new and old != new]
