"""The job behind `ganbench check`: a study, or a suite trained for as many seeds as it needs, against a baseline."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypedDict

import pandas as pd

from ganbench import api
from ganbench.analysis.gate import LOOKS, Judgement, Policy, compare
from ganbench.analysis.outcome import Check
from ganbench.analysis.regressions import regressions
from ganbench.analysis.seeds import MEASURED, complete, freeze, matched, tables
from ganbench.analysis.verdicts import foreign
from ganbench.deadline import Clock, EndedStudy
from ganbench.errors import UserError, unknown
from ganbench.identity import environment
from ganbench.interrupts import TimeIsUpError, at_most
from ganbench.plan import MARGINS, Plan, Variant, check_margins, later_hyper
from ganbench.report import worst
from ganbench.results import baselines
from ganbench.results.baseline import Baseline, IncompatibleBaselineError, load_baseline
from ganbench.results.store import Store
from ganbench.reuse import made_by_checks

CHECKS = Path("reports") / "checks"
"""Where checks train unless told otherwise: a folder a plan, started over by every check."""


@dataclass(frozen=True)
class Request:
    """What to check against: a baseline's file or a folder of them (None where the base side is trained, too), texts
    that name variants (none: all), margins that differ from it.

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
    minutes: float | None
    tell: Callable[[str], None]


def parse_margins(texts: Sequence[str]) -> dict[str, float]:
    """Read margins written name=value; UserError for what is not one."""
    margins: dict[str, float | str] = {}
    for text in texts:
        name, _, value = text.partition("=")
        if name in margins:
            raise UserError(f"The margin '{name}' is given twice: say once what it is to be.")
        try:
            margins[name] = float(value)
        except ValueError:
            margins[name] = value
    return check_margins(margins)


def freeze_study(study: Path, margins: Mapping[str, float]) -> Baseline:
    """Return a finished study as a baseline. Margins not given are those of the study's suite."""
    loaded = api.load(study)
    return freeze(loaded, {**loaded.plan.margins, **margins})


def make_baseline(study: Path, file: Path, margins: Mapping[str, float]) -> Baseline:
    """Freeze a finished study in a file, or in its place in a folder, and return the baseline."""
    frozen = freeze_study(study, margins)
    frozen.save(baselines.place(file, frozen.source))
    return frozen


def check_studies(folders: Sequence[Path], request: Request, look: int | None = None) -> Check:
    """Hold finished studies of one plan (they may differ in seeds) against a baseline."""
    studies = [api.load(folder) for folder in folders]
    baseline = _baseline(request, studies[0].provenance)
    for study in studies[1:]:
        _same_plan(studies[0].plan, study.plan)
    _once_a_seed(studies)
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
    _comparable(baseline, studies[0].plan)
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
    worse = worst.drawn(regressions(judgement, baseline, studies), studies)
    folders = tuple(study.path for study in studies)
    return Check(judgement, tuple(notes), tuple(reasons), folders, studies[0].plan.name, unchanged, worse)


def _baseline(request: Request, source: Mapping[str, Any]) -> Baseline:
    """Return the baseline for results of this provenance."""
    if request.baseline is None:
        raise UserError("There is nothing to check against: name a baseline's file.")
    return load_baseline(baselines.chosen(request.baseline, source))


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


def _once_a_seed(studies: Sequence[api.Study]) -> None:
    """Raise UserError where two studies hold the same seed: a run that is counted twice is no evidence of its own."""
    held: dict[int, api.Study] = {}
    for study in studies:
        for seed in study.plan.seeds:
            if (other := held.setdefault(seed, study)) is not study:
                raise UserError(
                    f"Studies that are checked together have seeds of their own; '{other.path}' and '{study.path}' "
                    f"both have seed {seed}, which would count twice."
                )


def _comparable(baseline: Baseline, plan: Plan) -> None:
    """Raise IncompatibleBaselineError where a problem was another one, whose scores say nothing of this one, and where
    a plan's variants are one to the baseline, whose seeds would count several times."""
    held: dict[str, Variant] = {}
    for variant, old in matched(baseline, plan.variants):
        if old is None:
            continue
        if (other := held.setdefault(old.label, variant)) is not variant:
            differs = sorted({key for key, _ in set(variant.hypers) ^ set(other.hypers)})
            raise IncompatibleBaselineError(
                f"Variants that differ in {', '.join(differs)} are one to the baseline, '{old.label}': check one value "
                "at a time, or make the baseline of a study that has them all."
            )
        for key, now in variant.hypers:
            before = old.hypers.get(key, later_hyper(key))
            # where its files lie is no part of a problem
            if key.startswith("problem.") and before != now and not isinstance(now, str) and before is not None:
                raise IncompatibleBaselineError(
                    f"The baseline's problem is another one: {key} is {now}, in the baseline {before}."
                )


def fitting_plan(baseline: Baseline, request: Request, overrides: Sequence[str], plugins: Sequence[str | Path]) -> Plan:
    """Return the plan of a look; UserError, before anything trains, for what no training would mend: variants that are
    asked for and absent, another problem, another size of what is measured."""
    plan = api.make_plan(None, overrides, plugins)
    for key in MEASURED:
        if (now := getattr(plan, key)) != (before := baseline.measured.get(key)):
            raise IncompatibleBaselineError(
                f"The baseline was measured with {key} {before}, this suite with {now}: their scores cannot be "
                "compared."
            )
    _comparable(baseline, plan)
    known = [old.label for _, old in matched(baseline, plan.variants) if old is not None]
    absent = [word for word in request.variants if not any(word in label for label in known)]
    if absent:
        raise unknown("variant of both the suite and the baseline", absent[0], known)
    return plan


def check_suite(
    overrides: Sequence[str],
    request: Request,
    *,
    plugins: Sequence[str | Path] = (),
    out: Path | None = None,
    device: str = "auto",
    workers: int | None = None,
    reuse: bool = False,
    minutes: float | None = None,
    tell: Callable[[str], None] = lambda text: None,
) -> Check:
    """Train a suite for 5, 10, then 20 seeds, and stop as soon as nothing is inconclusive any more.

    With seeds among the overrides there is one look at exactly those. Everything is trained anew, unless `reuse` asks
    for what an earlier check of the same plan, code, torch and device has trained; that is told, and noted. After
    `minutes` the answer is what is decided by then.
    """
    clock, reused, folders = Clock(minutes), list[str](), list[Path]()
    result: Check | None = None
    baseline = _baseline(request, environment(api.pick_device(device)))
    for look, seeds in looks(overrides):
        if result is not None and clock.is_up:
            result = replace(result, notes=(clock.note, *result.notes))
            break
        plan = fitting_plan(baseline, request, [*overrides, *seeds], plugins)
        if look is not None:
            tell(f"{plan.name}: {len(plan.runs)} runs, seeds {plan.seeds[0]} to {plan.seeds[-1]} ...")
        folders.append(_folder(plan, out, look, reuse=reuse))
        how = {"device": device, "workers": workers, "fresh": not reuse, "tell": reused.append}
        if not trained(plan, folders[-1], clock, **how):
            result = cut(baseline, load_all(folders), request, look, clock, plan)
            break
        result = check_studies(folders, request, look)
        if look is not None:
            tell(f"after {LOOKS[look]} seeds: {result.verdict}")
        if result.verdict != "inconclusive":
            break
    assert result is not None
    return replace(result, notes=(*result.notes, *reused))


def looks(overrides: Sequence[str]) -> Iterator[tuple[int | None, list[str]]]:
    """Yield the looks of a check: which one it is, None for the only one, and the seeds as overrides."""
    if any(text.startswith("seeds=") for text in overrides):
        yield None, []
        return
    for look, (first, last) in enumerate(itertools.pairwise((0, *LOOKS))):
        yield look, [f"seeds={list(range(first, last))}"]


def trained(plan: Plan, folder: Path, clock: Clock, **how: Any) -> bool:
    """Train a plan, and tell whether the time was enough for it."""
    try:
        with at_most(clock.left):
            api.execute_plan(plan, out=folder, by="check", **how)
    except TimeIsUpError:
        return False
    return True


def load_all(folders: Sequence[Path]) -> list[api.Study]:
    """Return the studies of a check that was ended while the last one trained, that one as far as it has come."""
    studies = [api.load(folder) for folder in folders[:-1]]
    last = EndedStudy(folders[-1]) if Store(folders[-1]).exists() else None
    return [*studies, last] if last is not None and last.plan.variants else studies


def cut(
    baseline: Baseline, studies: Sequence[api.Study], request: Request, look: int | None, clock: Clock, plan: Plan
) -> Check:
    """Judge what there is of a check that was ended before its time."""
    named = {variant.id: old.label for variant, old in matched(baseline, plan.variants) if old}
    return as_far_as_decided(named, studies, request, clock, plan, lambda: judged(baseline, studies, request, look))


def as_far_as_decided(
    named: Mapping[str, str], studies: Sequence[api.Study], request: Request, clock: Clock, plan: Plan,
    judge: Callable[[], Check],
) -> Check:  # fmt: skip
    """Return what is judged of the variants that studies have; those of `named`, labels by id, that they do not have
    and that are asked for are not decided."""
    wanted = request.variants
    asked = {id: label for id, label in named.items() if not wanted or any(word in label for word in wanted)}
    trained = {variant.id for study in studies[:1] for variant in study.plan.variants}
    undecided = tuple(label for id, label in asked.items() if id not in trained)
    if len(undecided) == len(asked):
        return Check(Judgement((), 0), (clock.note,), (), (), plan.name, undecided=undecided)
    result = judge()
    return replace(result, notes=(clock.note, *result.notes), undecided=undecided)


def _folder(plan: Plan, out: Path | None, look: int | None, *, reuse: bool) -> Path:
    """Return where a look trains; UserError where somebody's study would be lost."""
    folder = CHECKS / f"{plan.name}-{plan.hash[:8]}"
    if out is not None:
        folder = out if look is None else out / f"seeds-{plan.seeds[0]}-{plan.seeds[-1]}"
    if not reuse:
        refuse_foreign(folder)
    return folder


def refuse_foreign(folder: Path) -> None:
    """Raise UserError where training anew would delete a study that somebody else than a check has made."""
    store = Store(folder)
    if store.exists() and not made_by_checks(store):
        raise UserError(
            f"The directory '{folder}' holds a study that no check has made, and a check trains anew: choose another "
            "--out, or judge what it holds with --reuse."
        )
