"""How a method fares over settings: what share of them it survives, and what the best of so many trials is worth.

A method is what is left of a variant without the keys in which its settings differ (`Study.tuned`). All methods of a
problem are tried at the same settings, so that they are compared in pairs of one setting.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.special import gammaln

from ganbench.analysis import Study
from ganbench.analysis.inference import may_be_best_matched, rate_over_seeds, rate_over_variants
from ganbench.analysis.ranking import axes, joined
from ganbench.analysis.scores import FINISHED
from ganbench.analysis.seeds import final_scores
from ganbench.analysis.verdicts import judge, judged
from ganbench.arrays import Flags, Values


@dataclass(frozen=True)
class BestOf:
    """What the best of so many trials is worth: one number a count of trials, [trials], from 1 on.

    A trial trains one setting with one seed, and the setting with the highest score is chosen. `seen` is the score by
    which it was chosen, which is lucky; `new` is what it is worth on the other seeds, with the lowest and the highest
    of the seeds that may choose: `low`, `high`. NaN with a single seed.
    """

    seen: Values
    new: Values
    low: Values
    high: Values


def best_of(scores: ArrayLike) -> BestOf:
    """Return what the best of k settings is worth, for k from 1 to all of them; scores [settings, seeds], up is better.

    Expected over all choices of k of the settings, exactly: an unbiased estimate of what k draws of the settings' law
    give (Dodge et al. 2019, without replacement as Tang et al. 2020). Settings that score the same are chosen alike.

    >>> best_of([[0.0, 0.2], [1.0, 0.4]]).new.round(2).tolist()
    [0.4, 0.7]
    """
    table = np.asarray(scores, dtype=float)
    settings, seeds = table.shape
    weights = _weights(settings)
    seen, new = np.empty((seeds, settings)), np.full((seeds, settings), np.nan)
    for seed in range(seeds):
        chosen = table[:, seed]
        order = np.argsort(chosen, kind="stable")
        seen[seed] = weights @ chosen[order]
        if seeds > 1:
            others = np.delete(table, seed, axis=1).mean(axis=1)
            alike = pd.Series(others).groupby(chosen).transform("mean").to_numpy()
            new[seed] = weights @ alike[order]
    return BestOf(seen.mean(0), new.mean(0), new.min(0), new.max(0))


def _weights(settings: int) -> Values:
    """Return how often the i-th lowest of all is the highest of k that are chosen, [k, i]; each row sums to 1."""
    k, i = np.ogrid[1 : settings + 1, 1 : settings + 1]
    with np.errstate(invalid="ignore"):
        below = gammaln(i) - gammaln(k) - gammaln(np.maximum(i - k, 0) + 1)
        of = gammaln(settings + 1) - gammaln(k + 1) - gammaln(settings - k + 1)
    return np.where(i >= k, np.exp(below - of), 0.0)


def method_axes(study: Study) -> list[str]:
    """Return the settings that tell methods apart: those that vary and are not tuned."""
    return [axis for axis in axes(study) if axis not in study.tuned]


def runs_by_method(study: Study, verdicts: pd.DataFrame | None = None) -> pd.DataFrame:
    """Return the finished runs with three columns more: method (a label), setting (a label), survived."""
    runs = judged(study, judge(study) if verdicts is None else verdicts)
    runs = runs[runs["status"].isin(FINISHED)]
    named = method_axes(study)
    told = {
        "method": [joined(named, row) or "all" for row in runs[named].itertuples(index=False)],
        "setting": [joined(study.tuned, row) for row in runs[study.tuned].itertuples(index=False)],
    }
    return runs.assign(**told, survived=~(runs["failed"].astype(bool) | runs["undecided"].astype(bool)))


def robustness(study: Study, verdicts: pd.DataFrame | None = None) -> pd.DataFrame:
    """Return one row a problem and method, those that survive at most first; empty for a study without tuning.

    Columns: problem, method; settings, seeds, runs; survived, share (of the runs), each with an interval of 95 %:
    seeds_low, seeds_high for new seeds of these settings, settings_low, settings_high for new settings of the same
    design; every, never (settings at which all or none of the seeds survive); tied (it may be the one that survives
    most, for new settings: `may_be_best_matched`); best_setting (its label, by the mean score over seeds) and best_of.
    """
    if not study.tuned:
        return pd.DataFrame()
    runs = runs_by_method(study, verdicts)
    scored = final_scores(study)
    runs = runs.assign(score=runs["run"].map(scored))
    rows = []
    for (problem, method), group in runs.groupby(["problem", "method"], sort=False):
        rows.append({"problem": problem, "method": method, **_row(group)})
    if not rows:
        return pd.DataFrame()
    table = pd.DataFrame(rows)
    table["tied"] = np.concatenate([_tied(part) for _, part in runs.groupby("problem", sort=False)])
    # of one setting nothing follows for others
    table = table[table.groupby("problem")["settings"].transform("max") > 1]
    place = table["problem"].map({name: i for i, name in enumerate(table["problem"].unique())})
    order = table.assign(place=place, least=-table["share"]).sort_values(["place", "least"], kind="stable").index
    return table.loc[order].reset_index(drop=True)


def sentences(table: pd.DataFrame) -> list[str]:
    """Return what `robustness` found, a sentence a problem: who survives most, over what that holds, and who may."""
    return [
        _sentence(str(problem), rows) for problem, rows in (table.groupby("problem", sort=False) if len(table) else ())
    ]


def _sentence(problem: str, rows: pd.DataFrame) -> str:
    first, last = rows.iloc[0], rows.iloc[-1]
    text = f"Robustness on {problem}: of {first['settings']} settings x {first['seeds']} seeds, {_share(first)}"
    if len(rows) == 1:
        return f"{text}."
    others = int(rows["tied"].sum()) - int(first["tied"])
    who = "it" if not others else f"it or {'1 other' if others == 1 else f'one of {others} others'}"
    text += f", most of {len(rows)} methods; at new settings of this design the first is {who} (95 % sure)"
    return f"{text}. Least survive with {_share(last).replace(' survive with ', ': ')}."


def _share(row: pd.Series) -> str:
    low, high = (f"{100 * row[key]:.0f}" for key in ("settings_low", "settings_high"))
    return f"{100 * row['share']:.0f} % ({low} to {high} % at new settings) survive with {row['method']}"


def _row(group: pd.DataFrame) -> dict[Hashable, object]:
    failed, settings, seeds = ~group["survived"], group["setting"], group["seed"]
    of_seeds, of_settings = rate_over_seeds(failed, seeds), rate_over_variants(failed, settings, seeds)
    alive = group.groupby("setting", sort=False)["survived"].mean()
    scores = group.pivot(index="setting", columns="seed", values="score").reindex(alive.index)
    # seeds that have not finished everywhere would be compared with others
    whole = scores.dropna(axis=1)
    return {
        "settings": len(alive), "seeds": int(seeds.nunique()), "runs": len(group),
        "survived": int(group["survived"].sum()), "share": float(group["survived"].mean()),
        "seeds_low": 1 - of_seeds[1], "seeds_high": 1 - of_seeds[0],
        "settings_low": 1 - of_settings[1], "settings_high": 1 - of_settings[0],
        "every": int((alive == 1).sum()), "never": int((alive == 0).sum()),
        "best_setting": str(scores.mean(axis=1).idxmax()),
        "best_of": best_of(whole) if whole.shape[1] else None,
    }  # fmt: skip


def _tied(runs: pd.DataFrame) -> Flags:
    wide = runs.pivot_table(index="method", columns="setting", values="survived", aggfunc="mean", sort=False)
    return may_be_best_matched(wide.reindex(runs["method"].unique()).dropna(axis=1).astype(float))
