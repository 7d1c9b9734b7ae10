"""Judging claims: supported, refuted or not decided, with an effect, its interval for new seeds and Holm's correction.

The unit is the training seed. Treatment and control share it, and with it their noise, so that a claim is judged by one
difference a seed, averaged over the settings at which the two are compared: what is said holds for new seeds of these
settings.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from ganbench.analysis import Study
from ganbench.analysis.gate import holm
from ganbench.analysis.inference import matched_pairs, rate_over_seeds
from ganbench.analysis.scores import FINISHED, scores
from ganbench.analysis.statistics import CONFIDENCE, FEWEST, bootstrap, difference_of_rates, pair_correlation
from ganbench.analysis.verdicts import judge, loss_quality_correlation
from ganbench.arrays import Values
from ganbench.claims import RATES, Claim

SUPPORTED, REFUTED, UNDECIDED = VERDICTS = ("supported", "refuted", "not decided")
COLUMNS = (
    "claim", "says", "source", "published", "explained", "treatment", "control", "measure", "expected", "margin",
    "settings", "seeds", "runs", "treated", "controlled", "effect", "low", "high", "p", "adjusted", "verdict", "why",
    "variants",
)  # fmt: skip
SIGNS = {"higher": 1.0, "lower": -1.0}
STEPS = 40
"""Halvings by which the level at which an interval ends at a value is found."""


def judge_claims(study: Study, verdicts: pd.DataFrame | None = None) -> pd.DataFrame:
    """Return one row a claim of a study, in its order; empty for a study without claims.

    verdicts: what `judge` returned for the study. Columns: claim (its name), says, source, published, explained,
    treatment, control, measure (in words), expected, margin; settings, seeds (those that have ended in all of the
    claim's runs), runs; treated and controlled (the means of both sides, the latter a number that stands for it);
    effect, treated less controlled; low and high, its interval of 95 % for new seeds of these settings, below five
    seeds of a score the range; p, two-sided, of the test that the verdict rests on, and adjusted by Holm over the
    claims; verdict (of VERDICTS); why (a sentence); variants (their ids, treatment first).

    *Supported* is what the effect is estimated to be by the margin or more, and is told from no effect; *refuted* is
    what is told from an effect of the margin. For "same" the margin bounds an effect that does not matter: supported
    is what is told from one of the margin on either side, refuted what is that large and told from none.
    """
    found = judge(study) if verdicts is None else verdicts
    rows = [_row(study, found, claim) for claim in study.claims]
    table = pd.DataFrame(rows, columns=[name for name in COLUMNS if name != "adjusted"])
    table["adjusted"] = holm(table["p"].tolist(), [1.0] * len(table)) if len(table) else []
    verdict = [_verdict(row) for row in table.to_dict("records")]
    table["verdict"], table["why"] = [name for name, _ in verdict], [why for _, why in verdict]
    return table[list(COLUMNS)]


def _row(study: Study, verdicts: pd.DataFrame, claim: Claim) -> dict[str, Any]:
    ids = dict.fromkeys(one for side in ("treatment", "control") for pair in claim.pairs for one in getattr(pair, side))
    runs = study.runs[study.runs["variant"].isin(ids) & study.runs["seed"].notna()]
    values = _values(study, runs, verdicts, claim)
    waiting = int((~runs["status"].isin(FINISHED)).sum())
    told = {
        "claim": claim.name, "says": claim.says, "source": claim.source, "published": claim.published,
        "explained": claim.explained, "treatment": claim.treatment,
        "control": claim.control or f"{claim.number:g}", "measure": in_words(claim), "expected": claim.expected,
        "margin": claim.margin, "settings": len(claim.pairs), "runs": len(runs), "variants": list(ids),
    }  # fmt: skip
    sides = _sides(runs.assign(value=runs["run"].map(values)), claim)
    seeds = sides.index.get_level_values("seed").nunique() if len(sides) else 0
    nothing = dict.fromkeys(("treated", "controlled", "effect", "low", "high"), math.nan) | {"p": 1.0}
    why = f"{waiting} of its runs have not ended" if waiting else ""
    if not seeds:
        return told | nothing | {"seeds": 0, "why": why or "no seed has ended in all of its runs"}
    if not np.isfinite(sides.to_numpy()).all():
        lost = int((~np.isfinite(sides.to_numpy())).any(axis=1).sum())
        return told | nothing | {"seeds": seeds, "why": f"{lost} of {len(sides)} comparisons have no finite value"}
    result = _Result(sides, claim)
    if result.is_blind:
        why = why or f"{'all' if result.treated else 'none'} of its runs do, so that these settings show no difference"
    low, high = result.interval()
    middle = {"treated": result.treated, "controlled": result.controlled, "effect": result.effect}
    return told | middle | {"seeds": seeds, "low": low, "high": high, "p": result.p(), "why": why}


# ---- one number a run


def in_words(claim: Claim) -> str:
    """Return what is measured of a run, in words."""
    of = claim.of.replace("_", " ")
    texts = {
        "failed": "share of runs that fail", "survived": "share of runs that survive",
        "verdict": f"share of runs that are {of.replace('+', ' or ')}", "final": f"{of} at the end",
        "best": f"best {of}", "worst_after_best": f"worst {of} after the best", "mean": f"mean {of} over training",
        "below_best": f"{of} at the end, short of the run's best", "change": f"change of {of}",
        "time_to": f"steps until {of} reaches {claim.reaches:g}",
        "correlation": f"rank correlation of {of} with quality",
    }  # fmt: skip
    return texts[claim.measure] + ", in decades" * claim.log


def _values(study: Study, runs: pd.DataFrame, verdicts: pd.DataFrame, claim: Claim) -> dict[str, float]:
    """Return the number of every finished run by its id; what has none is absent."""
    ended = runs[runs["status"].isin(FINISHED)]
    if claim.measure in RATES:
        rows = verdicts[verdicts["run"].isin(ended["run"])]
        struck = {
            "failed": rows["failed"].astype(bool),
            "survived": ~(rows["failed"].astype(bool) | rows["undecided"].astype(bool)),
            "verdict": rows["verdict"].str.replace(" ", "_").isin(claim.of.split("+")),
        }[claim.measure]
        return dict(zip(rows["run"], struck.astype(float), strict=True))
    series = study.series[study.series["run"].isin(ended["run"])]
    if claim.of not in series.columns:
        return {}
    if claim.measure in _OF_CURVES:
        curves = {str(run): part for run, part in series.groupby("run", sort=False)}
        steps = dict(zip(ended["run"], ended["steps"].astype(float), strict=True))
        return {run: _OF_CURVES[claim.measure](curves[run], claim, steps[run]) for run in ended["run"] if run in curves}
    # a run that is lost has the worst value that there is
    table = scores(_Part(study, ended, series), [claim.of])
    column = {"mean": "area", "below_best": "best"}.get(claim.measure, claim.measure)
    found = table[column].to_numpy(dtype=float)
    if claim.measure == "below_best":
        found = np.abs(found - table["final"].to_numpy(dtype=float))
    return dict(zip(table["run"], _decades(found) if claim.log else found, strict=True))


@dataclass(frozen=True)
class _Part:
    """Some runs of a study, as `scores` reads them."""

    study: Study
    runs: pd.DataFrame
    series: pd.DataFrame

    def __getattr__(self, name: str) -> Any:
        return getattr(self.study, name)


def _decades(values: Values) -> Values:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.log10(values)


def _change(curve: pd.DataFrame, claim: Claim, steps: float) -> float:
    values = curve.sort_values("step")[claim.of].to_numpy(dtype=float)
    values = _decades(values[~np.isnan(values)]) if claim.log else values[~np.isnan(values)]
    return float(values[-1] - values[0]) if values.size > 1 else math.nan


def _time_to(curve: pd.DataFrame, claim: Claim, steps: float) -> float:
    """Return the first step at which a column is there; what never comes there counts with all its steps."""
    trained = curve[curve["step"] > 0]
    there = trained.loc[trained[claim.of] >= claim.reaches, "step"]
    found = float(there.min()) if len(there) else steps
    return math.log10(found) if claim.log else found


def _correlation(curve: pd.DataFrame, claim: Claim, steps: float) -> float:
    return float(loss_quality_correlation(curve).get(claim.of, math.nan))


_OF_CURVES: dict[str, Callable[[pd.DataFrame, Claim, float], float]] = {
    "change": _change, "time_to": _time_to, "correlation": _correlation,
}  # fmt: skip


# ---- both sides, by setting and seed


def _sides(runs: pd.DataFrame, claim: Claim) -> pd.DataFrame:
    """Return the values of both sides, a row a setting and seed; seeds that have not ended everywhere are left out."""
    wide = runs.pivot_table(index="variant", columns="seed", values="value", aggfunc="first", dropna=False)
    ended = runs.assign(ended=runs["status"].isin(FINISHED)).groupby("seed")["ended"].all()
    seeds = [seed for seed in wide.columns if ended[seed]]
    parts = []
    for place, pair in enumerate(claim.pairs):
        treated = wide.reindex(index=list(pair.treatment), columns=seeds).mean(axis=0, skipna=False)
        number = pd.Series(claim.number, index=treated.index, dtype=float)
        other = wide.reindex(index=list(pair.control), columns=seeds).mean(axis=0, skipna=False)
        parts.append(
            pd.DataFrame({"treated": treated, "controlled": number if claim.number is not None else other})
            .rename_axis("seed")
            .assign(setting=place)
        )
    return pd.concat(parts).reset_index().set_index(["setting", "seed"]) if parts else pd.DataFrame()


class _Result:
    """Both sides of a claim by setting and seed, and what follows from them."""

    def __init__(self, sides: pd.DataFrame, claim: Claim) -> None:
        self.sides, self.claim = sides, claim
        self.treated, self.controlled = float(sides["treated"].mean()), float(sides["controlled"].mean())
        self.effect = self.treated - self.controlled
        gaps = (sides["treated"] - sides["controlled"]).groupby("seed").mean()
        self.gaps: Values = gaps.to_numpy(dtype=float)
        self.of_rates = claim.measure in RATES

    @property
    def is_blind(self) -> bool:
        """Tell whether every run of both sides is struck, or none: then they could not have differed much."""
        return self.of_rates and self.claim.number is None and self.treated == self.controlled in (0.0, 1.0)

    def interval(self, confidence: float = CONFIDENCE) -> tuple[float, float]:
        """Return the interval of the effect for new seeds; below five seeds of a score the range, which is none."""
        if not self.of_rates:
            if 2 <= self.gaps.size < FEWEST:
                return float(self.gaps.min()), float(self.gaps.max())
            return bootstrap(self.gaps, lambda values: values.mean(axis=-1), confidence=confidence)
        seeds = self.sides.index.get_level_values("seed")
        rates = {side: rate_over_seeds(self.sides[side], seeds, confidence) for side in ("treated", "controlled")}
        if (number := self.claim.number) is not None:
            return rates["treated"][0] - number, rates["treated"][1] - number
        both = (self.treated, self.controlled)
        return difference_of_rates(both, (rates["treated"], rates["controlled"]), self._correlation())

    def _correlation(self) -> float:
        """Return the correlation of paired runs; over several settings 0, where a likeness of settings would add."""
        paired = len(self.claim.pairs) == 1 and self.sides.isin((0.0, 1.0)).to_numpy().all()
        return pair_correlation(self.sides["treated"] > 0.5, self.sides["controlled"] > 0.5) if paired else 0.0

    def p(self) -> float:
        """Return the two-sided p-value of the test on which the only verdict rests that the estimate allows."""
        margin = self.claim.margin
        if self.claim.expected == "same":
            large = abs(self.effect) >= margin
            return self._told_from(0.0) if large else max(self._told_from(margin), self._told_from(-margin))
        sign = SIGNS[self.claim.expected]
        return self._told_from(0.0 if sign * self.effect >= margin else sign * margin)

    def _told_from(self, value: float) -> float:
        """Return the two-sided p-value of an effect of this size: exact by pairs, or where the interval ends at it."""
        if not self.of_rates or (value == 0 and self.claim.number is None):
            return matched_pairs(self.gaps - value, range(self.gaps.size)).p
        inside, outside = 1.0, 0.0  # confidences at which the interval holds the value, and does not
        for _ in range(STEPS):
            middle = (inside + outside) / 2
            low, high = self.interval(middle)
            inside, outside = (middle, outside) if low <= value <= high else (inside, middle)
        return 1 - inside


def _verdict(row: dict[Any, Any]) -> tuple[str, str]:
    """Return the verdict and why it is that."""
    if row["why"]:
        return UNDECIDED, row["why"]
    sign, margin = SIGNS.get(row["expected"], 1.0), row["margin"]
    effect, same = sign * row["effect"], row["expected"] == "same"
    reached = abs(effect) < margin if same else effect >= margin
    if row["adjusted"] <= 1 - CONFIDENCE:
        return (SUPPORTED, _supported(same)) if reached else (REFUTED, _refuted(row, sign))
    if 2.0 ** (1 - row["seeds"]) > 1 - CONFIDENCE:
        return UNDECIDED, f"{row['seeds']} seeds are too few: of 6 that all agree, the test finds p = .03"
    return UNDECIDED, f"not told from {'none' if reached is not same else 'the margin'} by these seeds"


def _supported(same: bool) -> str:
    return "no effect of the margin or more" if same else "an effect, estimated beyond the margin"


def _refuted(row: dict[Any, Any], sign: float) -> str:
    if row["expected"] == "same":
        return "an effect, estimated beyond the margin"
    low, high = sorted((sign * row["low"], sign * row["high"]))
    return "the opposite" if high < 0 else "no effect of the margin" if low <= 0 else "a smaller effect"


def sentences(table: pd.DataFrame) -> list[str]:
    """Return what `judge_claims` found, as one sentence; none without claims."""
    if table.empty:
        return []
    names = {verdict: list(table.loc[table["verdict"] == verdict, "claim"]) for verdict in VERDICTS}
    named = {verdict: f" ({', '.join(of)})" if of and verdict != UNDECIDED else "" for verdict, of in names.items()}
    told = [f"{len(of)} {verdict}{named[verdict]}" for verdict, of in names.items()]
    return [f"Claims on trial, {len(table)}: {'; '.join(told)}. For new seeds of their settings, 5 % over all claims."]
