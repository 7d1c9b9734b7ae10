"""What a study shows, in sentences with counts and intervals."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from ganbench.analysis import Study
from ganbench.analysis.ranking import axes, level, rank
from ganbench.analysis.scores import FINISHED, scores
from ganbench.analysis.statistics import overlap, wilson
from ganbench.analysis.verdicts import FAILURES, VERDICTS, judge, judged
from ganbench.registry import playing

LATE = 1.5
"""A run is degraded late where its final Frechet distance is above this multiple of its own best."""


def sentences(
    study: Study,
    verdicts: pd.DataFrame | None = None,
    ranking: pd.DataFrame | None = None,
    scored: pd.DataFrame | None = None,
) -> list[str]:
    """Return the findings in plain English, each with its counts and intervals, the most important first.

    verdicts, ranking, scored: what `judge`, `rank` and `scores` return for the study, to spare computing them again.
    """
    verdicts = judge(study) if verdicts is None else verdicts
    ranking = rank(study, verdicts) if ranking is None else ranking
    scored = scores(study, playing("distance")) if scored is None else scored
    runs = judged(study, verdicts)
    finished = runs[runs["status"].isin(FINISHED)]
    text = [_overview(finished, ranking)] if len(finished) else ["No run has finished yet, so there is nothing to say."]
    for problem, of_problem in ranking.groupby("problem", sort=False):
        text.append(_problem(str(problem), of_problem))
    for axis in axes(study):
        text += _axis(study, finished, axis)
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


def rate(failures: int, runs: int) -> str:
    """Return "3 of 180 runs (1.7 %, 0.6 to 5 %)" with the Wilson interval.

    >>> rate(3, 180)
    '3 of 180 runs (1.7 %, 0.6 to 5 %)'
    """
    low, high = wilson(failures, runs)
    return f"{failures} of {runs} runs ({percent(failures / runs)} %, {percent(low)} to {percent(high)} %)"


def _outcomes(counts: Mapping[str, int] | pd.Series, limit: int = 9) -> str:
    order = sorted(((n, str(name)) for name, n in counts.items() if n), reverse=True)
    words = {"vanished": "vanished gradients", "failed": "machine failures"}
    return ", ".join(f"{n} {words.get(name, name)}" for n, name in order[:limit])


def _overview(finished: pd.DataFrame, ranking: pd.DataFrame) -> str:
    failed = finished[finished["failed"].astype(bool)]
    text = f"{rate(len(failed), len(finished))[0].upper()}{rate(len(failed), len(finished))[1:]} fail"
    text += f": {_outcomes(failed['verdict'].value_counts())}." if len(failed) else "."
    unconverged = int((finished["verdict"] == "unconverged").sum())
    if unconverged:
        text += f" {unconverged} more are unconverged: not a failure, but below the quality bar."
    safe = int((ranking["failures"] == 0).sum())
    return f"{text} Variants that survive in all of their seeds: {safe} of {len(ranking)}."


def _problem(problem: str, table: pd.DataFrame) -> str:
    best, worst = table.iloc[0], table.iloc[-1]
    safe, lost = table[table["failures"] == 0], table[table["failures"] == table["seeds"]]
    if len(table) == 1:
        how = _outcomes({name: best[name] for name in VERDICTS})
        return f"{problem}: {best['label']} fails in {best['failures']} of {best['seeds']} seeds ({how})."
    text = f"{problem}: {len(safe)} of {len(table)} variants survive in all of their seeds"
    text += f", {len(lost)} {'fails' if len(lost) == 1 else 'fail'} in all of them." if len(lost) else "."
    text += f" First is {best['label']} ({best['failures']}/{best['seeds']} fail, {_score(best)})"
    tied = int(table["tied"].sum()) - 1
    others = "interval of 1 other overlaps" if tied == 1 else f"intervals of {tied} others overlap"
    text += f"; the failure {others} with its own." if tied else ", ahead of all others."
    if worst["failures"] > best["failures"]:
        how = _outcomes({name: worst[name] for name in VERDICTS if name in FAILURES}, 3)
        text += f" Last is {worst['label']} ({worst['failures']}/{worst['seeds']} fail: {how})."
    return text


def _score(row: pd.Series) -> str:
    parts = []
    for name in ("covered", "quality"):
        if row[f"{name}_of"] and not np.isnan(row[name]):
            parts.append(f"median {str(row[f'{name}_of']).replace('_', ' ')} {row[name]:.3g}")
    return ", ".join(parts) or "no score"


def matched(finished: pd.DataFrame, others: list[str], axis: str) -> tuple[pd.DataFrame, int]:
    """Return the runs in those combinations of the other settings and seed in which every level of an axis has run.

    Comparing whole levels would blame a level for the company it keeps: what is skipped is not skipped at random.
    The number is that of the combinations; 0 where no combination has all levels.
    """
    keys = ["problem", *others, "seed"]
    levels = finished[axis].nunique()
    have = finished.groupby(keys, dropna=False)[axis].transform("nunique")
    rows = finished[have == levels]
    return rows, int(rows[keys].drop_duplicates().shape[0])


def _axis(study: Study, finished: pd.DataFrame, axis: str) -> list[str]:
    finished = finished[finished[axis].notna()]
    if finished[axis].nunique() < 2:
        return []
    # gamma belongs to R1: it cannot be the same with and without it
    others = [other for other in axes(study) if other != axis and not other.startswith(f"{axis}.")]
    rows, combinations = matched(finished, others, axis)
    name = _axis_name(axis)
    levels = finished[axis].unique()
    if len(levels) > 2 and len(rows) < len(finished):
        return _pairwise(finished, others, axis, "none" if "none" in levels else levels[0])
    if not combinations:
        return [f"Failures by {name}: no combination has run with every level, so the levels are not compared."]
    found = [_level(axis, value, rows[rows[axis] == value]) for value in rows[axis].unique()]
    found.sort(key=lambda item: (item[1] / item[2], item[0]))
    told = [f"{word}, {rate(k, n)}{how}" for word, k, n, how in found]
    shown = told if len(told) <= 3 else [f"fewest with {told[0]}", f"most with {told[-1]}"]
    text = f"Failures by {name}: {'; '.join(shown)}"
    best = wilson(*found[0][1:3])
    near = [word for word, k, n, _ in found[1:] if overlap(wilson(k, n), best)]
    if near:
        text += f". Not told apart from {found[0][0]}: {', '.join(near)} (intervals overlap)"
    text += f". Counted on the {combinations} combinations, seeds included, that ran with every {name}."
    return [text + _cost(rows, axis)]


def _pairwise(finished: pd.DataFrame, others: list[str], axis: str, base: object) -> list[str]:
    """Compare each level with one of them where both have run: what all levels share may be a corner of the grid."""
    name, against = _axis_name(axis), level(axis, base)
    told = []
    for value in [value for value in finished[axis].unique() if value != base]:
        rows, combinations = matched(finished[finished[axis].isin([value, base])], others, axis)
        if combinations:
            word, k, n, _ = _level(axis, value, rows[rows[axis] == value])
            _, base_k, base_n, _ = _level(axis, base, rows[rows[axis] == base])
            same = ", not told apart" if overlap(wilson(k, n), wilson(base_k, base_n)) else ""
            told.append(((k / n) - (base_k / base_n), f"{word} {k}/{n} against {base_k}/{base_n}{same}"))
    if not told:
        return [f"Failures by {name}: no combination has run with {against} and another level."]
    text = f"Failures by {name}: each against {against}, on the combinations, seeds included, that ran with both"
    return [f"{text}: {'; '.join(words for _, words in sorted(told))}."]


def _level(axis: str, value: object, rows: pd.DataFrame) -> tuple[str, int, int, str]:
    """Return a level's name, its failures, its runs, and how most of its failures look."""
    how = rows.loc[rows["failed"].astype(bool), "verdict"].value_counts()
    failures = int(how.sum())
    mostly = f", {'all' if how.max() == failures else 'mostly'} {how.idxmax()}" if failures > 1 else ""
    return level(axis, value), failures, len(rows), mostly


def _axis_name(axis: str) -> str:
    if axis == "g_normalization":
        return "generator normalization"
    # a hyper-parameter is called as it is set
    return axis if "." in axis else axis.replace("_", " ")


def _cost(rows: pd.DataFrame, axis: str) -> str:
    seconds = rows[rows["status"] == "done"].groupby(axis, sort=False)["seconds"].median()
    seconds = seconds[seconds > 0]
    if len(seconds) < 2 or seconds.max() < 1.2 * seconds.min():
        return ""
    dear, cheap = level(axis, seconds.idxmax()), level(axis, seconds.idxmin())
    return f" Training takes {seconds.max() / seconds.min():.1f} x as long with {dear} as with {cheap}."


def _word(measure: str) -> str:
    """Return a distance's name at the begin of a sentence: "Frechet", to which "distance" may be added."""
    name = measure.replace("_", " ").removesuffix(" distance")
    return name[:1].upper() + name[1:]


def _late(study: Study, finished: pd.DataFrame, distance: pd.DataFrame, name: str) -> list[str]:
    table = distance.merge(finished[["run", "problem", "status", "verdict"]], on="run")
    table = table[(table["status"] == "done") & table["final"].notna()]
    if table.empty:
        return []
    # below the oracle's own distance a ratio compares noise with noise
    floor = [study.oracle.get(problem, {}).get(name, 0.0) for problem in table["problem"]]
    late = table[table["final"] > LATE * np.maximum(table["best"], floor)]
    text = f"Late degradation: {rate(len(late), len(table))} that stayed finite end with a {_word(name)} distance above"
    text += f" {LATE} x their own best"
    good = int((late["verdict"] == "converged").sum())
    return [text + (f"; {good} of them count as converged by coverage and quality." if good else ".")]


def _alone(finished: pd.DataFrame, distance: pd.DataFrame, name: str) -> list[str]:
    """Say how often a distance would have preferred a run that drops modes: the reason not to rank by it."""
    table = distance.merge(finished[["run", "problem", "verdict"]], on="run")
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
