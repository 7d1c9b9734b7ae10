"""The scores of a run: its final, its best and its worst value after the best of every measure, and its mean height."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

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


def three_scores(values: ArrayLike, measure: Measure, *, lost: ArrayLike = False) -> tuple[Any, Any, Any]:
    """Return (final, best, worst after best) of curves [..., probes] by the measure's direction, each [...].

    `lost` [...] marks runs without a usable generator at their end (diverged, failed): their final score and their
    worst after best are the bad end of the range, whatever they had reached before. A run without any value gives NaN,
    or where lost the bad end throughout. Without a direction best and worst after best are NaN.

    >>> three_scores([3.0, 1.0, 2.0], Measure("a distance", "down"))
    (2.0, 1.0, 2.0)
    """
    curves = np.asarray(values, dtype=float)
    if curves.ndim == 1:
        final, best, worst = three_scores(curves[None], measure, lost=np.asarray(lost)[None])
        return float(final[0]), float(best[0]), float(worst[0])
    gone = np.broadcast_to(np.asarray(lost, dtype=bool), curves.shape[:-1])
    have, nothing = ~np.isnan(curves), np.where(gone, worst_value(measure), np.nan)
    if not have.any():
        return nothing, nothing, nothing
    some, unknown = have.any(axis=-1), np.full(curves.shape[:-1], np.nan)
    last = curves.shape[-1] - 1 - np.argmax(have[..., ::-1], axis=-1)
    final = np.where(some & ~gone, _at(curves, last), nothing)
    if measure.direction is None:
        return final, unknown, unknown
    sign = 1.0 if measure.direction == "up" else -1.0
    signed = np.where(have, sign * curves, -np.inf)
    place = np.argmax(signed, axis=-1)
    later = have & (np.arange(curves.shape[-1]) >= place[..., None])
    worst = sign * np.where(later, signed, np.inf).min(axis=-1)
    return final, np.where(some, sign * _at(signed, place), nothing), np.where(some & ~gone, worst, nothing)


def _at(curves: Values, places: NDArray[np.intp]) -> Values:
    """Return the values of curves [..., probes] at a place of each [...]."""
    found: Values = np.take_along_axis(curves, places[..., None], axis=-1)[..., 0]
    return found


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
    worst, rows = worst_value(measure), curves.reshape(ended.size, at.size)
    areas = np.full(ended.size, np.nan)
    whole = ~ended & ~np.isnan(rows).any(axis=1) if at.size > 1 else np.zeros_like(ended)
    areas[whole] = np.trapezoid(rows[whole], at, axis=1) / (at[-1] - at[0]) if whole.any() else []
    for place in np.flatnonzero(~whole):
        gone = ended[place]
        row = _ended(rows[place], worst) if gone else rows[place]
        areas[place] = _area(at, row, worst if gone else np.nan)
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
    curves, parts = _Curves(study.series), []
    for problem, of_problem in runs.groupby("problem", sort=False):
        oracle = study.oracle.get(str(problem), {})
        probed = curves.probed(of_problem)
        variants = {name: curves.measured(name, probed) for name in wanted}
        defined = [name for name in wanted if variants[name] or name in oracle]
        if not defined:
            continue
        every = np.full(len(of_problem), True)
        asked = [of_problem["variant"].isin(variants[name]) if name in averages else every for name in defined]
        parts.append(_scored(of_problem, curves, defined, known)[np.stack(asked, axis=1).ravel()])
    if not any(map(len, parts)):
        return pd.DataFrame(columns=["run", "measure", *SCORES, "area"])
    return pd.concat(parts, ignore_index=True)


def _scored(runs: pd.DataFrame, curves: _Curves, names: list[str], known: Mapping[str, Measure]) -> pd.DataFrame:
    """Return the scores of all of these runs in all of these measures, run by run."""
    lost = (runs["status"] != "done").to_numpy()
    table = np.full((len(SCORES) + 1, len(runs), len(names)), np.nan)
    for places, rows in curves.alike(runs["run"]):
        steps, gone = curves.steps[rows[0]], lost[places]
        for column, name in enumerate(names):
            values, of = curves.column(name)[rows], known[name]
            found = (*three_scores(values, of, lost=gone), area_under_curve(steps, values, of, lost=gone))
            table[:, places, column] = found
    run, measure = np.repeat(runs["run"].to_numpy(), len(names)), np.tile(np.array(names, dtype=object), len(runs))
    scored = dict(zip((*SCORES, "area"), table.reshape(len(table), -1), strict=True))
    return pd.DataFrame({"run": run, "measure": measure, **scored})


class _Curves:
    """Where the probes of runs stand in a table, whose columns are taken one by one: to copy some rows takes long."""

    def __init__(self, series: pd.DataFrame) -> None:
        self.series, self.steps = series, series["step"].to_numpy(dtype=float) if len(series) else np.empty(0)
        self._rows: dict[str, NDArray[np.intp]] = {}
        for run, found in (series.groupby("run", sort=False).indices if len(series) else {}).items():
            rows = np.asarray(found)
            self._rows[str(run)] = rows[np.argsort(self.steps[rows], kind="stable")]

    def column(self, name: str) -> Values:
        """Return a measure [rows]."""
        return self.series[name].to_numpy(dtype=float)

    def probed(self, runs: pd.DataFrame) -> list[tuple[str, NDArray[np.intp]]]:
        """Return the variant of each run that has probes, with its rows."""
        pairs = zip(runs["run"], runs["variant"], strict=True)
        return [(variant, self._rows[run]) for run, variant in pairs if run in self._rows]

    def measured(self, name: str, probed: list[tuple[str, NDArray[np.intp]]]) -> set[str]:
        """Return the variants of which a run has any value of a measure, as before the first step."""
        have = ~np.isnan(self.column(name))
        every = have.all()
        return {variant for variant, rows in probed if every or have[rows].any()}

    def alike(self, runs: Iterable[str]) -> Iterator[tuple[list[int], NDArray[np.intp]]]:
        """Yield runs that were probed at the same steps: their places, and the rows [runs, probes] of their probes.

        A fresh generator may sit on a mode by chance, so that its probe counts only where there is no other.
        """
        groups: dict[bytes, list[tuple[int, NDArray[np.intp]]]] = {}
        for place, run in enumerate(runs):
            rows = self._rows.get(run, np.empty(0, dtype=np.intp))
            trained = rows[self.steps[rows] > 0]
            own = trained if len(trained) else rows
            groups.setdefault(self.steps[own].tobytes(), []).append((place, own))
        for members in groups.values():
            yield [place for place, _ in members], np.stack([own for _, own in members])
