"""The scores of a run: its final, its best and its worst value after the best of every measure, and its mean height."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from ganbench.analysis import Study
from ganbench.arrays import Values
from ganbench.registry import Measure, averaged

FINISHED = ("done", "diverged", "failed")
SCORES = ("final", "best", "worst_after_best")


def worst_value(measure: Measure | None) -> float:
    """Return the score of a run that has none: the bad end of the measure's range; NaN where neither end is bad.

    >>> worst_value(Measure("a distance", "down")), worst_value(Measure("a share", "up", (0.0, 1.0)))
    (inf, 0.0)
    """
    if measure is None or measure.direction is None:
        return float("nan")
    return float(measure.bounds[0] if measure.direction == "up" else measure.bounds[1])


def three_scores(values: ArrayLike, measure: Measure, *, lost: bool = False) -> tuple[float, float, float]:
    """Return (final, best, worst after best) of one run's values over its probes, by the measure's direction.

    `lost` marks a run without a usable generator at its end (diverged, failed): its final score and its worst after
    best are the bad end of the range, whatever it had reached before. A run without any value gives NaN, or where
    lost the bad end throughout. Without a direction best and worst after best are NaN.

    >>> three_scores([3.0, 1.0, 2.0], Measure("a distance", "down"))
    (2.0, 1.0, 2.0)
    """
    series = np.asarray(values, dtype=float)
    series = series[~np.isnan(series)]
    nothing = worst_value(measure) if lost else float("nan")
    if series.size == 0:
        return nothing, nothing, nothing
    final = nothing if lost else float(series[-1])
    if measure.direction is None:
        return final, float("nan"), float("nan")
    sign = 1.0 if measure.direction == "up" else -1.0
    best = int(np.argmax(sign * series))
    worst = nothing if lost else sign * float(np.min(sign * series[best:]))
    return final, float(series[best]), worst


def area_under_curve(
    steps: ArrayLike, values: ArrayLike, measure: Measure, *, lost: ArrayLike = False
) -> NDArray[np.float64] | float:
    """Return the mean height of curves [..., probes] over their steps [probes]: the trapezoidal area over its length.

    In the measure's unit. `lost` [...] marks runs without a usable generator at their end: from their last value on
    they count as the bad end of the measure's range, infinite for a distance; without a bad end the curve stops. Other
    probes without a value (NaN) are passed over. NaN without any value.

    >>> float(area_under_curve([0, 10, 20], [4.0, 2.0, 2.0], Measure("a distance", "down")))
    2.5
    """
    at, curves = np.asarray(steps, dtype=float), np.asarray(values, dtype=float)
    ended = np.broadcast_to(np.asarray(lost, dtype=bool), curves.shape[:-1]).ravel()
    worst = worst_value(measure)
    rows = zip(curves.reshape(ended.size, at.size), ended, strict=True)
    areas = np.array([_area(at, _ended(row, worst) if gone else row, worst if gone else np.nan) for row, gone in rows])
    return float(areas[0]) if curves.ndim == 1 else areas.reshape(curves.shape[:-1])


def _ended(values: Values, worst: float) -> Values:
    """Return the probes of a lost run with its end filled in; lost after its last probe, it loses that one."""
    have = np.flatnonzero(~np.isnan(values))
    end = min(int(have[-1]) + 1, len(values) - 1) if have.size else 0
    return np.where(np.arange(len(values)) < end, values, worst)


def _area(steps: Values, values: Values, nothing: float) -> float:
    have = ~np.isnan(values)
    at, height = steps[have], values[have]
    if at.size < 2:
        return float(height[0]) if at.size else nothing
    return float(np.trapezoid(height, at) / (at[-1] - at[0]))


def scores(study: Study, measures: Iterable[str] | None = None) -> pd.DataFrame:
    """Return the scores of every finished run: columns run, measure, final, best, worst_after_best, area.

    By default for all measures that have a direction. A measure that a problem does not define has no rows there;
    one that it defines has a row for every finished run, so that diverged and failed runs stay in every average. An
    average of G's weights is defined for the variants that keep one.
    The probe before the first step is no score of training and is left out.
    """
    known, have = study.measures, study.series.columns
    wanted = [name for name, measure in known.items() if measure.direction is not None]
    wanted = [name for name in (measures or wanted) if name in have and name in known]
    averages = {averaged(name) for name in known} & set(wanted)
    runs = study.runs[study.runs["status"].isin(FINISHED)]
    series = study.series[study.series["run"].isin(runs["run"])]
    trained, nothing = _trained(series, wanted), (np.empty(0), np.empty((0, len(wanted))))
    rows: list[tuple[object, ...]] = []
    for problem, of_problem in runs.groupby("problem", sort=False):
        seen = series.loc[series["run"].isin(of_problem["run"]), wanted].notna().any()
        defined = [name for name in wanted if seen[name] or name in study.oracle.get(str(problem), {})]
        keeping = _keeping(of_problem, series, sorted(averages.intersection(defined)))
        for run, variant, status in of_problem[["run", "variant", "status"]].to_numpy():
            steps, values = trained.get(run, nothing)
            for name in defined:
                if name in averages and variant not in keeping[name]:
                    continue
                curve, measure, lost = values[:, wanted.index(name)], known[name], status != "done"
                area = area_under_curve(steps, curve, measure, lost=lost)
                rows.append((run, name, *three_scores(curve, measure, lost=lost), area))
    return pd.DataFrame(rows, columns=["run", "measure", *SCORES, "area"])


def _keeping(runs: pd.DataFrame, series: pd.DataFrame, averages: list[str]) -> dict[str, set[str]]:
    """Return by average of G's weights the variants that keep one: they measure it before the first step."""
    table = series.merge(runs[["run", "variant"]], on="run") if averages else series
    return {name: set(table.loc[table[name].notna(), "variant"]) for name in averages}


def _trained(series: pd.DataFrame, wanted: list[str]) -> dict[str, tuple[Values, Values]]:
    """Return steps [probes] and values [probes, wanted] of every run after training began.

    A fresh generator may sit on a mode by chance, so its probe counts only where there is no other.
    """
    table = series.sort_values(["run", "step"], kind="stable")
    steps, values = table["step"].to_numpy(dtype=float), table[wanted].to_numpy(dtype=float)
    found, start = {}, 0
    for run, length in table.groupby("run", sort=True).size().items():
        end = start + int(length)
        first = start + int(np.searchsorted(steps[start:end], 0.0, side="right"))
        own = slice(first if first < end else start, end)
        found[str(run)], start = (steps[own], values[own]), end
    return found
