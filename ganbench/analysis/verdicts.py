"""What happened to a run: one verdict, since which step it has held, and the numbers it rests on.

The rules are a table of thresholds, each a share of what a perfect sampler scores at the same sample size, applied in a
fixed order to a run's probes. They look at coverage and quality, never at the Frechet distance alone: that is blind to
symmetric mode dropping.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ganbench.analysis import Study

Flags = NDArray[np.bool_]
Values = NDArray[np.float64]

VERDICTS = {
    "converged": "covers every mode at the quality bar when training ends",
    "unconverged": "covers every mode and has learned, but is below the quality bar; no failure has a name for it",
    "dropping modes": "makes good samples, but leaves out some of the modes",
    "collapsed": "puts its samples on at most a quarter of the modes, or on almost none of the data's diversity",
    "degraded": "had learned, and ends below half of the oracle's quality",
    "vanished": "bad samples, and a generator gradient that is gone: it cannot recover",
    "never learned": "never reached half of the oracle's quality",
    "diverged": "left the finite numbers; frozen at that step",
    "failed": "the program or the machine failed: says nothing about the variant, but is not a success either",
}
"""Every verdict and its meaning, from best to worst."""

FAILURES = frozenset(VERDICTS) - {"converged", "unconverged"}
"""The verdicts that count as a failure. A run that is merely unconverged does not: more steps may be all it needs."""


@dataclass(frozen=True)
class Threshold:
    """A number that a verdict depends on, with the reason for it."""

    value: float
    reason: str


THRESHOLDS = {
    "quality_bar": Threshold(0.85, "share of the oracle's quality: one sample in seven may lie between the modes"),
    "precision_bar": Threshold(
        0.75, "the same for precision, whose k-NN balls are noisier and stricter than a mode's radius"
    ),
    "decent": Threshold(0.5, "half of the oracle's quality: most samples are recognisable, so something was learned"),
    "diversity_bar": Threshold(0.5, "share of the oracle's coverage and recall that a converged run has"),
    "no_diversity": Threshold(0.1, "a tenth of the oracle's coverage or recall: what one mode in ten would give"),
    "few_diversity": Threshold(0.25, "a quarter of the oracle's diversity, where a problem has no modes to count"),
    "few_modes": Threshold(0.25, "a quarter of the modes: fewer is a collapse, more is modes being dropped"),
    "saturated": Threshold(0.95, "share of samples that send back under 1 % of the loss's largest derivative"),
    "gradient_gone": Threshold(1e-3, "generator gradient norm against its largest value in the first three probes"),
}


@dataclass(frozen=True)
class View:
    """The measures through which a problem is judged: a count of modes, the samples' quality, and their diversity."""

    count: str | None
    quality: str
    bar: str
    diversity: tuple[str, ...] = ()


_DIVERSITY = ("coverage", "recall")
_VIEWS = (
    View("modes_covered", "high_quality", "quality_bar"),
    View("classes_covered", "precision", "precision_bar", _DIVERSITY),
    View(None, "precision", "precision_bar", _DIVERSITY),
)


@dataclass(frozen=True)
class Verdict:
    """The outcome of a run: its name in VERDICTS, the step since which it holds (None: never did), its evidence."""

    verdict: str
    onset: int | None
    evidence: str

    @property
    def failed(self) -> bool:
        """Whether the outcome counts as a failure."""
        return self.verdict in FAILURES


def view(columns: Mapping[str, Any] | pd.DataFrame) -> View | None:
    """Return how a problem is judged, by the first set of measures that it defines; None where it has none of them."""
    have = set(columns.columns[columns.notna().any().to_numpy()]) if isinstance(columns, pd.DataFrame) else set(columns)
    return next((v for v in _VIEWS if v.quality in have and (v.count is None or v.count in have)), None)


def judge(study: Study) -> pd.DataFrame:
    """Return a row for every finished run: run, verdict, onset (Int64), evidence, failed (bool).

    Runs that are skipped, pending or still training have no row. "failed" runs of the machine count as failures: they
    stay in the denominator, and a variant that cannot be trained has not survived.
    """
    series = {str(run): table for run, table in study.series.groupby("run", sort=False)}
    empty = study.series.iloc[:0]
    rows = []
    for run in study.runs.to_dict("records"):
        table = series.get(run["run"], empty)
        if run["status"] == "failed":
            outcome = Verdict("failed", None, str(run["reason"] or "no reason was recorded"))
        elif run["status"] == "diverged":
            outcome = _diverged(run, table)
        elif run["status"] == "done":
            outcome = judge_series(table, study.oracle.get(run["problem"], {}), study.modes.get(run["problem"]))
        else:
            continue
        rows.append((run["run"], outcome.verdict, outcome.onset, outcome.evidence, outcome.failed))
    table = pd.DataFrame(rows, columns=["run", "verdict", "onset", "evidence", "failed"])
    return table.astype({"onset": "Int64", "failed": bool})


def judged(study: Study, verdicts: pd.DataFrame) -> pd.DataFrame:
    """Return a study's runs with their verdicts beside them, in place of any that its table had before."""
    runs = study.runs.drop(columns=verdicts.columns.drop("run"), errors="ignore")
    return runs.merge(verdicts, on="run", how="left")


def judge_series(series: pd.DataFrame, oracle: Mapping[str, float], modes: int | None = None) -> Verdict:
    """Return the verdict of a finite run from its probes: a `step` column and the problem's measures.

    `oracle` is what a perfect sampler scores; where a measure is missing there, 1 stands for a share and `modes` for
    a count. A measure that is missing altogether takes its rules with it.
    """
    table = series.sort_values("step")
    seen = view(table)
    if seen is None:
        return Verdict("unconverged", None, "No quality was measured, so there is nothing to judge by.")
    table = table[table[seen.quality].notna()]
    return _Case(table, seen, oracle, modes).verdict()


def since(condition: Flags, steps: NDArray[Any]) -> int | None:
    """Return the first step from which the condition [probes] holds until the end; None where it ends false."""
    if condition.size == 0 or not condition[-1]:
        return None
    false = np.flatnonzero(~condition)
    return int(steps[false[-1] + 1 if false.size else 0])


def _diverged(run: Mapping[Any, Any], table: pd.DataFrame) -> Verdict:
    step = None if pd.isna(run["diverged_step"]) else int(run["diverged_step"])
    seen = view(table)
    evidence = "Left the finite numbers" + (f" at step {step}" if step is not None else "")
    if seen is not None:
        last = table[table[seen.quality].notna()].sort_values("step").iloc[-1]
        before = f"{_name(seen.quality)} {last[seen.quality]:.2f}"
        if seen.count is not None and not pd.isna(last[seen.count]):
            before += f", {last[seen.count]:.0f} {_name(seen.count)}"
        evidence += f"; last measured at step {int(last['step'])}: {before}"
    return Verdict("diverged", step, evidence + ".")


def _name(measure: str) -> str:
    return measure.replace("_", " ")


class _Case:
    """One finite run's probes as flags over time [probes], from which the rules read."""

    def __init__(self, table: pd.DataFrame, seen: View, oracle: Mapping[str, float], modes: int | None) -> None:
        self.table, self.view, self.oracle = table, seen, oracle
        self.steps = table["step"].to_numpy()
        self.quality = self._relative(seen.quality)
        # an untrained generator's first probe can look good by accident: constant samples have precision 1
        trained = np.where(self.steps > 0, self.quality, 0.0) if len(self.steps) > 1 else self.quality
        self.learned: Flags = np.maximum.accumulate(trained) >= THRESHOLDS["decent"].value
        self.decent: Flags = self.quality >= THRESHOLDS["decent"].value
        self.diversity = self._diversity()
        self.total = self._total(modes)
        missing = np.zeros(len(table))
        self.count: Values = missing if self.total is None else table[seen.count].fillna(0).to_numpy(dtype=float)

    def verdict(self) -> Verdict:
        rules = {
            "converged": self._converged(),
            "vanished": self._vanished(),
            "never learned": np.full(len(self.steps), not self.learned[-1]),
            "collapsed": self._collapsed(),
            "dropping modes": self._dropping(),
            "degraded": self.learned & ~self.decent,
            "unconverged": self.learned & self.decent,
        }
        # the last two are complementary once a run has learned, so one rule always holds at the end
        name = next(name for name, holds in rules.items() if holds[-1])
        return Verdict(name, since(rules[name], self.steps), self._evidence(name))

    def _relative(self, measure: str) -> Values:
        perfect = self.oracle.get(measure, 1.0)
        perfect = perfect if perfect > 0 else 1.0
        return self.table[measure].to_numpy(dtype=float) / perfect

    def _has(self, measure: str) -> bool:
        return measure in self.table.columns and bool(self.table[measure].notna().any())

    def _diversity(self) -> Values:
        """The lower of relative coverage and recall: each is blind to a collapse that the other sees."""
        shares = [np.nan_to_num(self._relative(name), nan=0.0) for name in self.view.diversity if self._has(name)]
        return np.minimum.reduce(shares) if shares else np.ones(len(self.table))

    def _total(self, modes: int | None) -> float | None:
        if self.view.count is None:
            return None
        # at a small sample size even a perfect sampler can miss a mode
        bounds = [v for v in (modes, self.oracle.get(self.view.count)) if v is not None and not np.isnan(v)]
        return float(np.floor(min(bounds))) if bounds else None

    def _complete(self) -> Flags:
        everything: Flags = np.ones(len(self.steps), dtype=bool)
        return everything if self.total is None else self.count >= self.total

    def _converged(self) -> Flags:
        bar = THRESHOLDS[self.view.bar].value
        diverse = self.diversity >= THRESHOLDS["diversity_bar"].value
        return self._complete() & (self.quality >= bar) & diverse & (self.steps > 0 if len(self.steps) > 1 else True)

    def _vanished(self) -> Flags:
        gone: Flags = np.zeros(len(self.steps), dtype=bool)
        if self._has("saturation"):
            gone |= self.table["saturation"].to_numpy(dtype=float) >= THRESHOLDS["saturated"].value
        if self._has("g_gradient_norm"):
            norm = self.table["g_gradient_norm"].to_numpy(dtype=float)
            gone |= norm < THRESHOLDS["gradient_gone"].value * np.nanmax(np.append(norm[:3], 0.0))
        return gone & ~self.decent

    def _collapsed(self) -> Flags:
        few: Flags = self.diversity <= THRESHOLDS["no_diversity"].value
        if self.total is not None:
            limit = max(1.0, self.total * THRESHOLDS["few_modes"].value)
            few = few | ((self.count <= limit) & (self.count < self.total))
        return few & self.learned

    def _dropping(self) -> Flags:
        if self.total is not None:
            return ~self._complete() & self.decent & self.learned
        return (self.diversity <= THRESHOLDS["few_diversity"].value) & self.decent & self.learned

    def _evidence(self, name: str) -> str:
        parts = [self._counted(-1)] if self.total is not None else []
        parts += [self._value(m) for m in (self.view.quality, *self.view.diversity) if self._has(m)]
        text = ", ".join(parts)
        if name == "vanished":
            text += "".join(f", {self._value(m)}" for m in ("saturation", "g_gradient_norm") if self._has(m))
            if self._has("g_gradient_norm"):
                text += f" (early {np.nanmax(self.table['g_gradient_norm'].to_numpy(dtype=float)[:3]):.2g})"
        best = int(np.argmax(self.quality + (self.count / self.total if self.total else self.diversity)))
        if name in ("collapsed", "dropping modes", "degraded", "never learned") and best < len(self.steps) - 1:
            reached = f"{_name(self.view.quality)} {self.table[self.view.quality].iloc[best]:.2f}"
            counted = f", {self._counted(best)}" if self.total is not None else ""
            text += f"; at its best (step {int(self.steps[best])}): {reached}{counted}"
        if self.quality[-1] > 1.005 and self.view.bar == "quality_bar":
            text += "; above the oracle: the samples are too tight around their modes"
        return text + "."

    def _counted(self, at: int) -> str:
        noun = _name(self.view.count or "")
        return f"{self.count[at]:.0f} of {self.total:.0f} {noun}"

    def _value(self, measure: str) -> str:
        value = f"{_name(measure)} {self.table[measure].iloc[-1]:.2g}"
        perfect = self.oracle.get(measure)
        return value if perfect is None else f"{value} (oracle {perfect:.2g})"
