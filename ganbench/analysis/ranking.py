"""The ranking of a study's variants, and what its settings and their levels are called.

Variants are ranked by how many of their runs failed or were too short to tell, then by the coverage of modes, then by
quality: never by a distance such as Frechet's, which is blind to symmetric mode dropping. Diverged and failed runs stay
in every count and median.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from ganbench import kinds
from ganbench.analysis import Study
from ganbench.analysis.inference import may_be_best
from ganbench.analysis.scores import FINISHED, SCORES, scores
from ganbench.analysis.statistics import cost_per_survivor, iqm, spread, wilson
from ganbench.analysis.verdicts import VERDICTS, judge, judged
from ganbench.analysis.views import ranked_by
from ganbench.plan import OWN_NAME
from ganbench.registry import playing

COSTS = ("seconds", "gflop", "memory_mb")
PRICED = ("seconds", "gflop")
"""Costs that add up over runs, so that a survivor has a price in them; a peak is no sum."""

BEST_KNOWN = ("model", "loss", "normalization", "regularizer", "network")
"""The axes that are named first where several vary."""


def axes(study: Study) -> list[str]:
    """Return the settings that vary in the plan, the best-known first, without problem and seed.

    What each model has a setting of its own for follows from the model, and is none to compare by.
    """
    varying = [axis for axis in study.axes if axis not in ("problem", "seed", "run", "variant")]
    varying = [axis for axis in varying if axis in study.runs.columns]
    if "model" in varying:
        values = study.runs.groupby(["problem", "model"])[varying].nunique(dropna=False).max()
        varying = ["model", *(axis for axis in varying if values[axis] > 1)]
    order = [*BEST_KNOWN, *kinds.axes()]
    return sorted(varying, key=lambda axis: order.index(axis) if axis in order else len(order))


def level(axis: str, value: Any) -> str:
    """Return a setting's value so that it reads alone: "spectral", "no regularizer", "gamma=0.1".

    A hyper-parameter of something that a variant does not have is empty.

    >>> level("regularizer", "none"), level("loss", "hinge")
    ('no regularizer', 'hinge')
    """
    if pd.isna(value):
        return ""
    if axis == OWN_NAME:
        return str(value)
    if axis not in kinds.axes():
        return f"{axis.rsplit('.', 1)[-1]}={value}"
    of_g = axis.startswith("g_")
    if value == "none":
        return f"no {'generator ' * of_g}{kinds.kind_of(axis)}"
    return f"{value} in the generator" if of_g else str(value)


def labels(study: Study) -> dict[str, str]:
    """Return a readable name for every variant: the settings that vary, e.g. "hinge, spectral, no regularizer"."""
    shown = axes(study) or ["loss"]
    rows = study.runs.drop_duplicates("variant")
    return {row["variant"]: joined(shown, [row[a] for a in shown]) for row in rows.to_dict("records")}


def joined(of: Sequence[str], values: Iterable[Any]) -> str:
    """Return the values of some settings in one line, without those that do not apply."""
    return ", ".join(filter(None, (level(axis, value) for axis, value in zip(of, values, strict=True))))


def rank(study: Study, verdicts: pd.DataFrame | None = None, scored: pd.DataFrame | None = None) -> pd.DataFrame:
    """Return one row a variant that has finished runs, the best first within its problem.

    Columns: problem, rank (ties share one), variant, label; seeds (finished), planned, failures, failure_rate,
    failure_low, failure_high (Wilson), undecided (runs that were too short to tell, which are no failures and have not
    survived); tied (it may be the best of its problem, see `may_be_best`); one count for each
    verdict; covered, quality and each measure of diversity (recall): median of the final score, with _iqm, _low, _high
    (interquartile mean and its interval over seeds, below five of them their range: see `spread`), covered_of and
    quality_of (which measures these are, see `ranked_by`), covered_area (median of the area under its curve over
    training, see `area_under_curve`); of each distance _final, _best, _worst_after_best (medians: frechet_final, ...);
    seconds and gflop (median training cost of a run), each with _per_survivor (of all runs together, over those that
    did not fail; infinite without one), memory_mb (median share of its population's peak); NaN where a cost was not
    recorded.

    verdicts, scored: what `judge` and `scores` return for the study, to spare computing them again.
    """
    verdicts = judge(study) if verdicts is None else verdicts
    keys = {problem: ranked_by(study, problem) for problem in study.runs["problem"].unique()}
    wanted = {name for key in keys.values() for name in key.values() if name}
    wanted |= {*playing("diversity"), *playing("distance")}
    table = scores(study, sorted(wanted)) if scored is None else scored[scored["measure"].isin(wanted)]
    found, names = _Scores(table), labels(study)
    runs = judged(study, verdicts)
    runs = runs[runs["status"] != "skipped"]
    rows, ended = [], runs["status"].isin(FINISHED).to_numpy()
    # as arrays: of thousands of variants each asks a dozen times, and a table takes a millisecond to answer
    known = ("problem", "variant", "run", "status", "failed", "undecided", "verdict", *COSTS)
    columns = {name: runs[name].to_numpy() for name in known if name in runs.columns}
    numbers = runs.groupby(["problem", "variant"], sort=False).ngroup().to_numpy()
    order = np.argsort(numbers, kind="stable")
    for places in np.split(order, np.flatnonzero(np.diff(numbers[order])) + 1):
        if ended[places].any():
            finished = {name: values[places[ended[places]]] for name, values in columns.items()}
            problem, variant = str(finished["problem"][0]), str(finished["variant"][0])
            row = {"problem": problem, "variant": variant, "label": names[variant], "planned": len(places)}
            rows.append(row | _counts(finished) | _typical(finished, found, keys[problem]))
    return _ordered(pd.DataFrame(rows)) if rows else pd.DataFrame(columns=["problem", "rank", "variant", "label"])


def _counts(finished: Mapping[str, np.ndarray]) -> dict[str, Any]:
    failures, seeds = int(finished["failed"].astype(bool).sum()), len(finished["run"])
    low, high = wilson(failures, seeds)
    counts = Counter(finished["verdict"].tolist())
    rate = {"failure_rate": failures / seeds, "failure_low": low, "failure_high": high}
    undecided = int(finished["undecided"].astype(bool).sum())
    return {
        "seeds": seeds,
        "failures": failures,
        "undecided": undecided,
        **rate,
        **{name: counts[name] for name in VERDICTS},
    }


class _Scores:
    """The scores of runs by their names, as arrays: a table is slow to ask for five runs at a time."""

    def __init__(self, table: pd.DataFrame) -> None:
        wide = table.pivot(index="run", columns="measure", values=[*SCORES, "area"])
        self.columns: dict[Any, np.ndarray] = {key: wide[key].to_numpy(dtype=float) for key in wide.columns}
        self.places = {run: place for place, run in enumerate(wide.index)}

    def of(self, runs: Iterable[str], score: str, measure: str | None) -> np.ndarray:
        """Return the scores of runs in a measure that have one [scores]."""
        if (score, measure) not in self.columns:
            return np.array([])
        values: np.ndarray = self.columns[score, measure][[self.places[run] for run in runs if run in self.places]]
        return np.asarray(values[~np.isnan(values)])


def _typical(finished: Mapping[str, np.ndarray], scored: _Scores, key: Mapping[str, str | None]) -> dict[str, Any]:
    runs, row = finished["run"].tolist(), dict[str, Any]({f"{name}_of": measure for name, measure in key.items()})
    for name, measure in {**key, **{name: name for name in playing("diversity")}}.items():
        values = scored.of(runs, "final", measure)
        low, high = spread(values)
        row |= {name: _median(values), f"{name}_iqm": iqm(values), f"{name}_low": low, f"{name}_high": high}
    row["covered_area"] = _median(scored.of(runs, "area", key["covered"]))
    for name in playing("distance"):
        row |= {f"{name}_{score}": _median(scored.of(runs, score, name)) for score in SCORES}
    return row | _costs(finished)


def _costs(finished: Mapping[str, np.ndarray]) -> dict[str, float]:
    # a machine's failure has no training time of its own
    trained = finished["status"] != "failed"
    row, lost = {}, finished["failed"][trained].astype(bool)
    for name in COSTS:
        # studies of an earlier version have not recorded all of them
        spent = finished[name][trained].astype(float) if name in finished else np.array([])
        spent = spent[~np.isnan(spent)]
        row[name] = _median(spent)
        if name in PRICED:
            price = cost_per_survivor(np.r_[spent, np.zeros(len(lost) - len(spent))], lost)
            row[f"{name}_per_survivor"] = price if len(spent) else float("nan")
    return row


def _median(values: np.ndarray) -> float:
    values = values[~np.isnan(values)]
    return float(np.median(values)) if len(values) else float("nan")


def _ordered(table: pd.DataFrame) -> pd.DataFrame:
    keys = ["lost", "failure_rate", "covered", "quality"]
    order = table.assign(covered=-table["covered"].fillna(-np.inf), quality=-table["quality"].fillna(-np.inf))
    order["lost"] = (table["failures"] + table["undecided"]) / table["seeds"]
    order["position"] = table["problem"].map({name: i for i, name in enumerate(table["problem"].unique())})
    order = order.sort_values(["position", *keys], kind="stable")
    place = order.groupby("position").cumcount() + 1
    # equal keys share the better place: to number them would claim a difference
    ranks = place.groupby([order["position"], *(order[key] for key in keys)]).transform("min")
    table = table.loc[order.index]
    table.insert(1, "rank", ranks)
    of = table.groupby("problem", sort=False)
    table["tied"] = np.concatenate(
        [may_be_best(group["failures"] + group["undecided"], group["seeds"]) for _, group in of]
    )
    return table.reset_index(drop=True)
