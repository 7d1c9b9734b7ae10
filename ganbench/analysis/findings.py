"""What a study shows, in sentences with counts and intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from ganbench.analysis import Study
from ganbench.analysis.inference import rate_over_seeds, rate_over_variants
from ganbench.analysis.levels import AxisCompared, Compared, compare_levels
from ganbench.analysis.ranking import rank
from ganbench.analysis.scores import FINISHED, scores
from ganbench.analysis.statistics import wilson
from ganbench.analysis.verdicts import FAILURES, VERDICTS, judge, judged
from ganbench.registry import playing

LISTED = 8
"""Levels of a setting that are told one by one."""
LATE = 1.5
"""A run is degraded late where its final Frechet distance is above this multiple of its own best."""


def sentences(
    study: Study,
    verdicts: pd.DataFrame | None = None,
    ranking: pd.DataFrame | None = None,
    scored: pd.DataFrame | None = None,
    compared: Sequence[AxisCompared] | None = None,
) -> list[str]:
    """Return the findings in plain English, each with its counts and intervals, the most important first.

    verdicts, ranking, scored, compared: what `judge`, `rank`, `scores` and `compare_levels` return for the study, to
    spare computing them again.
    """
    verdicts = judge(study) if verdicts is None else verdicts
    ranking = rank(study, verdicts) if ranking is None else ranking
    scored = scores(study, playing("distance")) if scored is None else scored
    runs = judged(study, verdicts)
    finished = runs[runs["status"].isin(FINISHED)]
    text = [_overview(finished, ranking)] if len(finished) else ["No run has finished yet, so there is nothing to say."]
    for problem, of_problem in ranking.groupby("problem", sort=False):
        text.append(_problem(str(problem), of_problem))
    compared = compare_levels(study, finished) if compared is None else compared
    text += _by_axes(compared, tuned=bool(study.tuned))
    for name in playing("distance"):
        of_distance = scored[scored["measure"] == name]
        text += _late(study, finished, of_distance, name) + _alone(finished, of_distance, name)
    return text + _unfinished(runs) + _seeds(ranking)


def percent(value: float) -> str:
    """Return a rate in [0, 1] as a percentage, with a digit after the point only where it is below 2 %.

    >>> percent(0.5), percent(0.0125)
    ('50', '1.2')
    """
    return f"{100 * value:.1f}" if 0 < value < 0.02 else f"{100 * value:.0f}"


def rate(runs: pd.DataFrame, struck: Sequence[bool] | pd.Series) -> str:
    """Return "3 of 180 runs (1.7 %; 0.6 to 5 % for new seeds, ...)": how many are struck, and over what that holds.

    runs: with their seed, variant and problem; struck: which of them, [runs].
    """
    hit, seeds = np.asarray(struck, dtype=bool), runs["seed"].to_numpy()
    kinds, _ = pd.factorize(pd.MultiIndex.from_frame(runs[["problem", "variant"]]))
    told = f"{hit.sum()} of {len(runs)} runs ({percent(hit.mean())} %"
    if len(set(seeds)) < 2:
        return f"{told}; of one seed, which tells nothing of others)"
    if len(set(kinds)) < 2:
        return f"{told}, {_range(wilson(int(hit.sum()), len(hit)))} for new seeds)"
    of_seeds, of_variants = rate_over_seeds(hit, seeds), rate_over_variants(hit, kinds, seeds)
    return f"{told}; {_range(of_seeds)} for new seeds of these variants, {_range(of_variants)} for new variants)"


def _range(interval: tuple[float, float]) -> str:
    return f"{percent(interval[0])} to {percent(interval[1])} %"


def _outcomes(counts: Mapping[str, int] | pd.Series, limit: int = 9) -> str:
    order = sorted(((n, str(name)) for name, n in counts.items() if n), reverse=True)
    words = {"vanished": "vanished gradient", "failed": "machine failure"}
    many = {name: f"{word}s" for name, word in words.items()}
    return ", ".join(f"{n} {(words if n == 1 else many).get(name, name)}" for n, name in order[:limit])


def _overview(finished: pd.DataFrame, ranking: pd.DataFrame) -> str:
    failed = finished[finished["failed"].astype(bool)]
    text = f"{rate(finished, finished['failed'].astype(bool))} fail"
    text += f": {_outcomes(failed['verdict'].value_counts())}." if len(failed) else "."
    unconverged = int((finished["verdict"] == "unconverged").sum())
    if unconverged:
        text += f" {unconverged} more are unconverged: not a failure, but below the quality bar."
    short = int(finished["undecided"].astype(bool).sum())
    if short:
        text += f" {short} more were too short to tell: they still learn when training ends, and have not survived."
    safe = int((_lost(ranking) == 0).sum())
    return f"{text} Variants that survive in all of their seeds: {safe} of {len(ranking)}."


def _lost(rows: Any) -> Any:
    """How many of a variant's runs have not survived: they failed, or were too short to tell."""
    return rows["failures"] + rows["undecided"]


def _failed(row: pd.Series) -> str:
    short = f", {row['undecided']} too short to tell" if row["undecided"] else ""
    return f"{row['failures']}/{row['seeds']} fail{short}"


def _problem(problem: str, table: pd.DataFrame) -> str:
    best, worst = table.iloc[0], table.iloc[-1]
    safe, lost = table[_lost(table) == 0], table[table["failures"] == table["seeds"]]
    if len(table) == 1:
        how = _outcomes({name: best[name] for name in VERDICTS})
        return f"{problem}: {best['label']} fails in {best['failures']} of {best['seeds']} seeds ({how})."
    text = f"{problem}: {len(safe)} of {len(table)} variants survive in all of their seeds"
    text += f", {len(lost)} {'fails' if len(lost) == 1 else 'fail'} in all of them." if len(lost) else "."
    text += f" First is {best['label']} ({_failed(best)}, {_score(best)})"
    others = int(table["tied"].sum()) - 1
    or_one = "1 other" if others == 1 else f"one of {others} others"
    best_is = f"; the best is it or {or_one}" if others else "; it is the best"
    text += "." if len(lost) == len(table) else f"{best_is} (95 % sure, for new seeds)."
    if _lost(worst) > _lost(best):
        how = _outcomes({name: worst[name] for name in VERDICTS if name in FAILURES}, 3)
        text += f" Last is {worst['label']} ({_failed(worst)}{f': {how}' if how else ''})."
    return text


def _score(row: pd.Series) -> str:
    parts = []
    for name in ("covered", "quality"):
        if row[f"{name}_of"] and not np.isnan(row[name]):
            parts.append(f"median {str(row[f'{name}_of']).replace('_', ' ')} {row[name]:.3g}")
    return ", ".join(parts) or "no score"


def _by_axes(compared: Sequence[AxisCompared], *, tuned: bool) -> list[str]:
    text = []
    for one in compared:
        name = f"Failures by {_axis_name(one.axis)}"
        if not one.levels:
            text.append(f"{name}: no setting has run with {one.against} and another level, so they are not compared.")
            continue
        text.append(f"{name}, against {one.against}: {'; '.join(_levels(one.levels))}.{one.cost}")
    return text + _how_compared(sum(len(one.levels) for one in compared), one_setting=not tuned)


def _levels(compared: Sequence[Compared]) -> list[str]:
    """Say what pairs show of each level, the least failing first; of many that are not told apart all at once."""
    ordered = sorted(compared, key=lambda level: level.gap)
    plain = [level for level in ordered if not level.apart]
    if len(ordered) <= LISTED or len(plain) < 2:
        return [level.told() for level in ordered]
    theirs, base = (_ends([getattr(level, side) for level in plain]) for side in ("failed", "base"))
    others = "others" if len(plain) < len(ordered) else "levels"
    told = [level.told() for level in ordered if level.apart]
    return [*told, f"{len(plain)} {others} {theirs} against {base}, not told apart"]


def _ends(failed: Sequence[tuple[int, int]]) -> str:
    """Return "0/5 to 3/5": the least and the largest share of failures, "0/5" where they are the same."""
    ordered = sorted(failed, key=lambda one: one[0] / one[1])
    return " to ".join(f"{count}/{runs}" for count, runs in dict.fromkeys((ordered[0], ordered[-1])))


def _how_compared(count: int, *, one_setting: bool) -> list[str]:
    if not count:
        return []
    fixed = " No method was tuned: at other learning rates the order may be another."
    return [
        "How levels were compared: in pairs of runs that share seed and all other settings, by McNemar's exact test, "
        f"adjusted by Holm for the {'comparison' if count == 1 else f'{count} comparisons'} above. What holds for new "
        "seeds holds for these settings; for new ones each setting counts once. Pairs count "
        f"as independent: seeds that are hard for one level alone may tell it apart.{fixed * one_setting}"
    ]


def _axis_name(axis: str) -> str:
    if axis == "g_normalization":
        return "generator normalization"
    # a hyper-parameter is called as it is set
    return axis if "." in axis else axis.replace("_", " ")


def _word(measure: str) -> str:
    """Return a distance's name at the begin of a sentence: "Frechet", to which "distance" may be added."""
    name = measure.replace("_", " ").removesuffix(" distance")
    return name[:1].upper() + name[1:]


def _late(study: Study, finished: pd.DataFrame, distance: pd.DataFrame, name: str) -> list[str]:
    known = finished[["run", "problem", "variant", "seed", "status", "verdict"]]
    table = distance[["run", "final", "best"]].merge(known, on="run")
    table = table[(table["status"] == "done") & table["final"].notna()]
    if table.empty:
        return []
    # below the oracle's own distance a ratio compares noise with noise
    floor = [study.oracle.get(problem, {}).get(name, 0.0) for problem in table["problem"]]
    late = table[table["final"] > LATE * np.maximum(table["best"], floor)]
    struck = table["run"].isin(late["run"])
    text = f"Late degradation: {rate(table, struck)} that stayed finite end with a {_word(name)} distance above"
    text += f" {LATE} x their own best"
    good = int((late["verdict"] == "converged").sum())
    return [text + (f"; {good} of them count as converged by coverage and quality." if good else ".")]


def _alone(finished: pd.DataFrame, distance: pd.DataFrame, name: str) -> list[str]:
    """Say how often a distance would have preferred a run that drops modes: the reason not to rank by it."""
    table = distance[["run", "final"]].merge(finished[["run", "problem", "verdict"]], on="run")
    fooled, of = 0, 0
    for _, group in table.groupby("problem"):
        good = group.loc[group["verdict"] == "converged", "final"]
        bad = group.loc[group["verdict"].isin(["dropping modes", "late collapse", "collapsed"]), "final"]
        if len(good):
            fooled, of = fooled + int((bad < good.median()).sum()), of + len(bad)
    if not fooled:
        return []
    text = (
        f"{_word(name)} alone would mislead: {fooled} of {of} runs that drop modes or collapse score better on it than"
    )
    return [f"{text} the median converged run."]


def _unfinished(runs: pd.DataFrame) -> list[str]:
    waiting = int(runs["status"].isin(["pending", "running"]).sum())
    skipped = int((runs["status"] == "skipped").sum())
    text = []
    if waiting:
        what = "planned run" if waiting == 1 else "planned runs"
        text.append(f"Not the last word: without {waiting} {what} that did not finish yet.")
    if skipped:
        what = "variant was" if skipped == 1 else "variants were"
        text.append(f"{skipped} {what} skipped, because the parts cannot be combined; the reasons are listed.")
    return text


def _seeds(ranking: pd.DataFrame) -> list[str]:
    if ranking.empty:
        return []
    seeds = int(ranking["seeds"].max())
    high = percent(wilson(0, seeds)[1])
    text = f"With {seeds} seed{'s' if seeds > 1 else ''} a variant, none failing still leaves a failure rate of up to"
    return [f"{text} {high} % possible (95 % Wilson interval)."]
