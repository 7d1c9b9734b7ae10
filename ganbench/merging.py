"""The job behind `ganbench merge`: parts of one plan that were trained apart become one study, or it is said why not.

Parts are studies of the same plan, as `ganbench run --shard 3/16` leaves them. They are read, never changed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ganbench.errors import Exit, UserError
from ganbench.identity.environment import WORDS
from ganbench.plan import UNCOVERED, Plan
from ganbench.results import copying, tables
from ganbench.results.store import Store
from ganbench.results.study import Study

ENDED = ("done", "diverged", "skipped")


class MismatchError(UserError):
    """Studies that are no parts of one (exit code 4)."""

    exit_code = Exit.INCOMPATIBLE


@dataclass(frozen=True)
class Merged:
    """What a merge came to: the study, and what is missing in it, in sentences."""

    study: Study
    missing: tuple[str, ...]


def merge(
    parts: Sequence[str | Path],
    out: str | Path,
    *,
    anyway: bool = False,
    tell: Callable[[str], None] = lambda text: None,
) -> Merged:
    """Put parts of one plan together in a study at `out`, which may exist: it is then a part as well.

    anyway: parts of other code, torch or device are taken, and the study records the mix. tell: called with a sentence
    on what is damaged. Raises UserError where there is no study, and MismatchError, which names what differs, for parts
    of another plan, of other plug-ins or data, of another environment, or with other results for the same runs.
    """
    if not parts:
        raise UserError("Nothing to merge: name the directories of at least one study.")
    studies = [Study(part) for part in parts]
    target = Store(Path(out))
    inside = next((study for study in studies if study.path.resolve() == target.path.resolve()), None)
    if inside:
        raise UserError(f"The directory '{inside.path}' is to be merged into itself; choose another --out.")
    known = [Study(target.path)] if target.exists() else []
    every = [*known, *studies]
    _check_plans(every)
    if not anyway:
        _check_environments(every)
    _check_data(every, anyway=anyway)
    for study in studies:
        for damage in study.damage:
            tell(str(damage))
    _check_duplicates(every)
    target.begin(studies[0].plan)
    with target.lock():
        for study in studies:
            _take(study, target)
        tables.keep_large(target.path, studies[0].plan, lambda: Study(target.path).layout)
    merged = Study(target.path)
    return Merged(merged, tuple(_missing(merged)))


def _check_plans(studies: Sequence[Study]) -> None:
    first = studies[0]
    for other in studies[1:]:
        if other.plan.hash == first.plan.hash:
            continue
        changed = first.plan.changed(other.plan)
        never = [key for key in changed if first.plan.versions[key].startswith(UNCOVERED)]
        if never:
            why = f"what was trained with {never[0]} is never put together, since no hash covers it"
        elif changed:
            why = f"plug-ins or their data differ: {', '.join(changed)}"
        else:
            why = f"the plans differ: {_plan(first.plan)} and {_plan(other.plan)}"
        raise MismatchError(f"'{first.path}' and '{other.path}' are no parts of one study: {why}.")


def _plan(plan: Plan) -> str:
    return f"{plan.name}, {len(plan.runs)} runs, {plan.hash}"


def _check_environments(studies: Sequence[Study]) -> None:
    """Raise MismatchError where two parts were trained by other code, torch or devices."""
    seen: tuple[Study, dict[str, Any]] | None = None
    for study in studies:
        for record in study.store.environments():
            if seen is None:
                seen = study, record
            first, known = seen
            differs = [
                f"{word} ({known.get(key)} and {record.get(key)})"
                for key, word in WORDS.items()
                if known.get(key) != record.get(key)
            ]
            if differs:
                raise MismatchError(
                    f"'{first.path}' and '{study.path}' were not trained by the same {' and '.join(differs)}: "
                    "--continue-anyway puts them together and records the mix."
                )


def _check_data(studies: Sequence[Study], *, anyway: bool) -> None:
    """Raise MismatchError where the record of a problem differs: what its data are, and what a perfect sampler scores.

    Of another device or torch an oracle may differ in its last digits; what was drawn may not.
    """
    labels = dict.fromkeys(studies[0].plan.label(run.variant) for run in studies[0].plan.runs)
    for label in labels:
        found = [(study, record) for study in studies if (record := study.store.problem(label).read())]
        for other, record in found[1:]:
            first, known = found[0]
            keys = ("modes", "centres", "std") if anyway else ("modes", "centres", "std", "oracle")
            same = all(repr(known.get(key)) == repr(record.get(key)) for key in keys)
            one, two = known.get("real"), record.get("real")
            if not same or (one is not None and two is not None and not np.array_equal(one, two)):
                raise MismatchError(
                    f"'{first.path}' and '{other.path}' were not trained on the same data: the problem '{label}' "
                    "differs in what they record of it."
                )


def _check_duplicates(studies: Sequence[Study]) -> None:
    """Raise MismatchError where two parts have other results for the same population."""
    ended: dict[str, tuple[Study, Any]] = {}
    for study in studies:
        for folder in study.store.populations():
            if not folder.verify(study.plan):
                continue
            first, known = ended.setdefault(folder.id, (study, folder))
            if known is not folder and (where := copying.difference(known, folder)):
                raise MismatchError(
                    f"'{first.path}' and '{study.path}' have other results for the same runs: the population "
                    f"'{folder.id}' differs in {where}."
                )


def _take(study: Study, target: Store) -> None:
    """Copy what a part has and the study has not, or has less of; what is there already stays as it is."""
    plan, store = study.plan, study.store
    for record in store.environments():
        if record not in target.environments():
            target.log_environment(record)
    for label in dict.fromkeys(plan.label(run.variant) for run in plan.runs):
        source, own = store.problem(label), target.problem(label)
        record = source.read()
        if "real" in record and not own.exists():
            own.write({key: value for key, value in record.items() if key != "real"}, record["real"])
    for folder in store.populations():
        own_folder = target.population(folder.id)
        if copying.furthest([own_folder, folder], plan) is folder:
            copying.copy(folder, own_folder)
    known = target.sessions()
    for session in store.sessions():
        if session not in known:
            target.log_session(session)


def _missing(study: Study) -> list[str]:
    """Say what a study lacks: the shards that nobody brought, and how many runs did not end."""
    shards = [str(session["shard"]).split("/") for session in study.store.sessions() if session.get("shard")]
    told = []
    for of in dict.fromkeys(int(of) for _, of in shards):
        absent = sorted({*range(1, of + 1)} - {int(number) for number, all_ in shards if int(all_) == of})
        whole = bool(study.runs["status"].isin(ENDED).all())
        if absent and not whole:
            told.append(f"Missing of {of} shards: {', '.join(map(str, absent))}.")
    open_runs = study.runs[~study.runs["status"].isin(ENDED)]
    for status, rows in open_runs.groupby("status"):
        what = {"failed": "failed", "pending": "were not trained", "running": "did not end"}[str(status)]
        told.append(f"{len(rows)} of {len(study.plan.runs)} runs {what}.")
    return told
