"""The job behind `ganbench check`: a study, or a suite trained for as many seeds as it needs, against a baseline."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypedDict

import pandas as pd

from ganbench import api
from ganbench.analysis.gate import LOOKS, Policy, compare
from ganbench.analysis.outcome import Check
from ganbench.analysis.regressions import regressions
from ganbench.analysis.seeds import complete, freeze, matched, tables
from ganbench.analysis.verdicts import foreign
from ganbench.errors import UserError
from ganbench.plan import MARGINS, Plan, check_margins
from ganbench.results.baseline import Baseline, load_baseline
from ganbench.results.store import Store
from ganbench.reuse import made_by_checks

CHECKS = Path("reports") / "checks"
"""Where checks train unless told otherwise: a folder a plan, started over by every check."""


@dataclass(frozen=True)
class Request:
    """What to check against: a baseline's file (None where the base side is trained, too), texts that name variants
    (none: all), margins that differ from it.

    With `canary` results that equal the baseline's, seed by seed, pass at once, however few the seeds: nothing that
    was trained has changed. On another kind of machine they never do.
    """

    baseline: Path | None = None
    variants: tuple[str, ...] = ()
    margins: Mapping[str, float] = field(default_factory=dict)
    canary: bool = False


class Training(TypedDict, total=False):
    """How a suite is trained for a check: see `check_suite`."""

    plugins: Sequence[str | Path]
    out: Path | None
    device: str
    workers: int | None
    tell: Callable[[str], None]


def parse_margins(texts: Sequence[str]) -> dict[str, float]:
    """Read margins written name=value; UserError for what is not one."""
    margins: dict[str, float | str] = {}
    for text in texts:
        name, _, value = text.partition("=")
        try:
            margins[name] = float(value)
        except ValueError:
            margins[name] = value
    return check_margins(margins)


def make_baseline(study: Path, file: Path, margins: Mapping[str, float]) -> Baseline:
    """Freeze a finished study in a file and return the baseline. Margins not given are those of the study's suite."""
    loaded = api.load(study)
    frozen = freeze(loaded, {**loaded.plan.margins, **margins})
    frozen.save(file)
    return frozen


def check_studies(folders: Sequence[Path], request: Request, look: int | None = None) -> Check:
    """Hold finished studies of one plan (they may differ in seeds) against a baseline."""
    baseline = _baseline(request)
    studies = [api.load(folder) for folder in folders]
    for study in studies[1:]:
        _same_plan(studies[0].plan, study.plan)
    return judged(baseline, studies, request, look)


def judged(
    baseline: Baseline,
    studies: Sequence[api.Study],
    request: Request,
    look: int | None = None,
    equal: Collection[str] = (),
) -> Check:
    """Judge studies of one plan, later ones perhaps of fewer of its variants. `equal` holds the ids of variants whose
    runs are those of the baseline, number by number."""
    complete(studies)
    old, new, notes = tables(baseline, studies, request.variants)
    notes += [str(damage) for study in studies for damage in study.damage]
    margins, overruled = _margins(request.margins, baseline.margins, studies[0].plan.margins)
    failed = [study.runs[study.runs["status"] == "failed"] for study in studies]
    reasons = sorted({str(reason) for rows in failed for reason in rows["reason"]})
    names = {before.label for variant, before in matched(baseline, studies[0].plan.variants)
             if before and variant.id in equal}  # fmt: skip
    judgement = compare(old, new, replace(Policy(), **margins), look, names)
    unchanged = request.canary and _equal(old, new)
    notes += [f"The verdict '{rule.name}' is of {rule.plugin.source or 'this session'}." for rule in foreign()]
    notes += overruled + ["Every result equals the baseline's, seed by seed."] * unchanged
    worse = regressions(judgement, baseline, studies)
    folders = tuple(study.path for study in studies)
    return Check(judgement, tuple(notes), tuple(reasons), folders, studies[0].plan.name, unchanged, worse)


def _baseline(request: Request) -> Baseline:
    if request.baseline is None:
        raise UserError("There is nothing to check against: name a baseline's file.")
    return load_baseline(request.baseline)


def _margins(
    asked: Mapping[str, float], frozen: Mapping[str, float], declared: Mapping[str, float]
) -> tuple[dict[str, float], list[str]]:
    """Return the margins in force: the command's before the baseline's before the suite's; notes where a suite's is
    overruled by a baseline that was made with another."""
    notes = [
        f"The margin {name} is the baseline's {frozen[name]:g}, not the suite's {value:g} (--margin overrides both)."
        for name, value in declared.items()
        if name not in asked and frozen.get(name, value) != value
    ]
    merged = {**declared, **frozen, **asked}
    return {name: merged[name] for name in MARGINS if name in merged}, notes


def _equal(old: pd.DataFrame, new: pd.DataFrame) -> bool:
    keys = ["variant", "seed"]
    both = new.merge(old, on=keys, suffixes=("", "_old"))
    same = (both["failed"] == both["failed_old"]) & (both["score"] == both["score_old"])
    return len(both) == len(new) and bool(same.all())


def _same_plan(first: Plan, other: Plan) -> None:
    if replace(other, seeds=first.seeds).hash != first.hash:
        raise UserError(
            f"Studies that are checked together must differ in seeds alone; '{other.name}' ({other.hash}) "
            f"is another plan than '{first.name}' ({first.hash})."
        )


def check_suite(
    overrides: Sequence[str],
    request: Request,
    *,
    plugins: Sequence[str | Path] = (),
    out: Path | None = None,
    device: str = "auto",
    workers: int | None = None,
    reuse: bool = False,
    tell: Callable[[str], None] = lambda text: None,
) -> Check:
    """Train a suite for 5, 10, then 20 seeds, and stop as soon as nothing is inconclusive any more.

    With seeds among the overrides there is one look at exactly those. Everything is trained anew, unless `reuse` asks
    for what an earlier check of the same plan, code, torch and device has trained; that is told, and noted.
    """
    _baseline(request)
    reused: list[str] = []

    def train(plan: Plan, folder: Path | None) -> Path:
        folder = folder or CHECKS / f"{plan.name}-{plan.hash[:8]}"
        if not reuse:
            refuse_foreign(folder)
        return api.execute_plan(
            plan, out=folder, device=device, workers=workers, fresh=not reuse, tell=reused.append, by="check"
        ).path

    if any(text.startswith("seeds=") for text in overrides):
        result = check_studies([train(api.make_plan(None, overrides, plugins), out)], request)
        return replace(result, notes=(*result.notes, *reused))
    folders: list[Path] = []
    for look, (first, last) in enumerate(itertools.pairwise((0, *LOOKS))):
        plan = api.make_plan(None, [*overrides, f"seeds={list(range(first, last))}"], plugins)
        tell(f"{plan.name}: {len(plan.runs)} runs, seeds {first} to {last - 1} ...")
        folders.append(train(plan, out / f"seeds-{first}-{last - 1}" if out else None))
        result = check_studies(folders, request, look)
        tell(f"after {last} seeds: {result.verdict}")
        if result.verdict != "inconclusive":
            break
    return replace(result, notes=(*result.notes, *reused))


def refuse_foreign(folder: Path) -> None:
    """Raise UserError where training anew would delete a study that somebody else than a check has made."""
    store = Store(folder)
    if store.exists() and not made_by_checks(store):
        raise UserError(
            f"The directory '{folder}' holds a study that no check has made, and a check trains anew: choose another "
            "--out, or judge what it holds with --reuse."
        )
