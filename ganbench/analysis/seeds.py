"""One number a run for the gate, and the study's variants in a form that another study's can be matched with."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from ganbench.analysis import Study as Watched
from ganbench.analysis.ranking import labels
from ganbench.analysis.scores import FINISHED
from ganbench.analysis.views import view_of
from ganbench.errors import Exit, UserError, unknown
from ganbench.identity import rules_digest
from ganbench.plan import Variant, axes, later, later_hyper
from ganbench.provenance import changes, environments, mixed, plugin_changes
from ganbench.results.baseline import Baseline, BaselineVariant, IncompatibleBaselineError, SeedResult
from ganbench.results.study import Study

MEASURED = ("samples", "neighbours")
SOURCE = (
    "plan_hash", "command", "started", "device", "threads", "cores", "ganbench", "code", "torch", "python", "numpy",
    "scipy", "git_revision", "plugin_revisions",
)  # fmt: skip
"""What a baseline keeps of a study's provenance."""


HALF = 0.5
"""The score below which a run that was too short to tell counts as failed."""


def freeze(study: Study, margins: dict[str, float] | None = None, more: Sequence[Study] = ()) -> Baseline:
    """Return a finished study as a baseline, with the results of more seeds; UserError where runs are missing."""
    complete([study, *more])
    results = seed_results([study, *more])
    names = labels(study)
    variants = tuple(
        BaselineVariant(
            f"{variant.problem}: {names[variant.id]}",
            settings_of(variant),
            variant.filed,
            tuple(results[variant.id]),
        )
        for variant in study.plan.variants
    )
    source = {key: study.provenance.get(key, "") for key in SOURCE}
    return Baseline(
        suite=study.plan.name,
        measured={key: getattr(study.plan, key) for key in MEASURED},
        swept=swept_by(study.plan.variants),
        variants=variants,
        margins=margins or {},
        source=source | {"plugin_versions": dict(study.plan.versions), "rules": rules_digest()},
    )


class DamagedStudyError(UserError):
    """A study whose results cannot be judged because some cannot be read (exit code 5: not every run has ended)."""

    exit_code = Exit.FAILED


def complete(studies: Iterable[Study]) -> None:
    """Raise UserError where a study still has runs to train, or the results of some are damaged."""
    for study in studies:
        waiting = int(study.runs["status"].isin(["pending", "running"]).sum())
        if waiting and study.damage:
            raise DamagedStudyError(
                f"The study '{study.path}' cannot be judged, {waiting} runs have no end that reads: "
                f"{' '.join(map(str, study.damage))} Repeat its command first: it trains again what is lost."
            )
        if waiting:
            raise UserError(
                f"The study '{study.path}' is not finished ({waiting} runs to go): repeat its command first."
            )


def seed_results(studies: Iterable[Study]) -> dict[str, list[SeedResult]]:
    """Return the results of every finished run by variant, with their scores as of `final_scores`.

    A run that was too short to tell counts as failed where it scores below a half: the gate asks what comes out of so
    many steps, and one that nears the quality bar is no worse than one that stands still there.
    """
    results: dict[str, list[SeedResult]] = {}
    for study in studies:
        scores = final_scores(study)
        for run in study.runs[study.runs["run"].isin(scores)].to_dict("records"):
            score = round(scores[run["run"]], 6)
            lost = bool(run["failed"]) or (bool(run["undecided"]) and score < HALF)
            result = SeedResult(int(run["seed"]), str(run["verdict"]), lost, score)
            results.setdefault(run["variant"], []).append(result)
    return results


def final_scores(study: Watched) -> dict[str, float]:
    """Return the final score in [0, 1] of every finished run by its id, in the order of the runs.

    It is the share of modes covered times the samples' quality (without modes to count, recall times precision) and,
    where labels are given, the fidelity to them, each relative to a perfect sampler and at most 1; a diverged or failed
    run scores 0.
    """
    runs = study.runs[study.runs["status"].isin(FINISHED)]
    scores = dict.fromkeys(runs["run"], 0.0)
    done = runs[runs["status"] == "done"]
    last = study.series[study.series["run"].isin(done["run"])].groupby("run").last()
    nothing = pd.Series(float("nan"), index=last.index)
    for problem, of in done.groupby("problem", sort=False):
        seen = view_of(study, str(problem))
        if seen is None:
            continue
        oracle, product = study.oracle.get(str(problem), {}), pd.Series(1.0, index=of["run"])
        for measure in seen.scored:
            product *= (last.get(measure, nothing).reindex(of["run"]) / (oracle.get(measure) or 1.0)).clip(0.0, 1.0)
        scores.update(product.fillna(0.0).to_dict())
    return {str(run): float(score) for run, score in scores.items()}


def swept_by(variants: Iterable[Variant]) -> tuple[str, ...]:
    """Return the hyper-parameters that alone tell variants apart. Others only differ from problem to problem: where the
    default of one changes, the variant is still the same one, and is compared."""
    values: dict[tuple[Any, ...], set[Any]] = {}
    for variant in variants:
        for key, value in variant.hypers:
            values.setdefault((key, *settings_of(variant).values()), set()).add(value)
    return tuple(dict.fromkeys(key for (key, *_), seen in values.items() if len(seen) > 1))


def settings_of(variant: Variant) -> dict[str, Any]:
    """Return what a variant is made of, by axis."""
    return variant.values


def tables(
    baseline: Baseline, studies: Sequence[Study], wanted: Sequence[str] = ()
) -> tuple[pd.DataFrame, pd.DataFrame, list[str]]:
    """Return the per-seed tables (variant, seed, failed, score) of the baseline and of studies of one plan, with notes.

    `wanted` keeps the variants whose name holds one of its texts. Raises IncompatibleBaselineError where nothing can be
    compared and UserError where a wanted variant is absent.
    """
    plan = studies[0].plan
    for key in MEASURED:
        if getattr(plan, key) != baseline.measured.get(key):
            raise IncompatibleBaselineError(
                f"The baseline was measured with {key} {baseline.measured.get(key)}, this study with "
                f"{getattr(plan, key)}: their scores cannot be compared."
            )
    if baseline.source.get("rules", rules_digest()) != rules_digest():
        raise IncompatibleBaselineError(
            "The baseline was judged by other rules than this version of ganbench has, so that its failures are not "
            "those that are counted now: make it again."
        )
    results = seed_results(studies)
    pairs = matched(baseline, plan.variants)
    compared = [(variant, old) for variant, old in pairs if old is not None and _is_wanted(old.label, wanted)]
    absent = [word for word in wanted if not any(word in old.label for _, old in pairs if old is not None)]
    if absent:
        raise unknown("variant of both the study and the baseline", absent[0], [old.label for _, old in pairs if old])
    if not compared:
        nearest = _difference(pairs[0][0], baseline)
        raise IncompatibleBaselineError(
            f"The baseline of suite '{baseline.suite}' has none of this study's variants{nearest}."
        )
    notes = [f"{len(pairs) - sum(old is not None for _, old in pairs)} variants are not in the baseline."]
    notes = notes if any(old is None for _, old in pairs) else []
    notes += sorted({note for variant, old in compared for note in _changed(variant, old)})
    notes += _origins(baseline, studies)
    old_rows = [_rows(old.label, old.runs) for _, old in compared]
    new_rows = [_rows(old.label, results[variant.id]) for variant, old in compared]
    return pd.concat(old_rows, ignore_index=True), pd.concat(new_rows, ignore_index=True), notes


def matched(baseline: Baseline, variants: Iterable[Variant]) -> list[tuple[Variant, BaselineVariant | None]]:
    """Return variants with what they are in a baseline, None where it does not have them."""
    known = {identity(v.settings, v.hypers, baseline.swept): v for v in baseline.variants}
    return [(v, known.get(identity(settings_of(v), dict(v.hypers), baseline.swept))) for v in variants]


def _origins(baseline: Baseline, studies: Sequence[Study]) -> list[str]:
    """Say what trained the studies that did not train the baseline, and what trained only some of them."""
    sessions = [session for study in studies for session in study.store.sessions()]
    notes = [note for session in environments(sessions) for note in changes(baseline.source, session)]
    if "rules" not in baseline.source:
        notes.append("The baseline does not tell by which rules it was judged: make it again.")
    known = baseline.source.get("plugin_versions")
    notes += plugin_changes(known if isinstance(known, Mapping) else {}, studies[0].plan.versions)
    return [*dict.fromkeys(notes), *filter(None, [mixed(sessions)])]


def _is_wanted(label: str, wanted: Sequence[str]) -> bool:
    return not wanted or any(word in label for word in wanted)


def identity(settings: Mapping[str, Any], hypers: Mapping[str, Any], swept: Sequence[str]) -> tuple[Any, ...]:
    """Return what a variant is known by in another study: its settings and those hyper-parameters that vary."""
    late = later()
    return tuple(settings.get(axis, late.get(axis)) for axis in axes()) + tuple(
        hypers.get(key, later_hyper(key)) for key in swept
    )


def _rows(label: str, runs: Sequence[SeedResult]) -> pd.DataFrame:
    rows = [(label, run.seed, run.failed, run.score) for run in runs]
    return pd.DataFrame(rows, columns=["variant", "seed", "failed", "score"])


def _changed(variant: Variant, old: BaselineVariant) -> list[str]:
    new = dict(variant.hypers)
    before = {key: old.hypers.get(key, later_hyper(key)) for key in {*new, *old.hypers}}
    return [
        f"{key} is {new.get(key)}, in the baseline {value}." for key, value in before.items() if new.get(key) != value
    ]


def _difference(variant: Variant, baseline: Baseline) -> str:
    settings, late = settings_of(variant), later()
    olds = [{axis: old.settings.get(axis, late.get(axis)) for axis in settings} for old in baseline.variants]
    closest = min(olds, key=lambda old: sum(settings[axis] != old[axis] for axis in settings))
    differs = [f"{axis} {own} for {closest[axis]}" for axis, own in settings.items() if own != closest[axis]]
    return f"; the nearest differs in {', '.join(differs)}" if differs else ""
