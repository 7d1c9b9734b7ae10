"""What happened to a run: every verdict that holds, since which step, and the numbers it rests on.

The rules and their thresholds are in `rules`; how often they are right on generators whose truth is known is measured
by `calibration` and told in docs/verdicts.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ganbench.analysis import Study
from ganbench.analysis.rules import JUDGED, VIEWS, Case, Movement, Values, View, since

VERDICTS = {
    "converged": "covers every mode, up to chance, at the quality bar when training ends, and stays there",
    "unconverged": "has learned every mode, up to chance, but is below the quality bar; no failure has a name for it",
    "dropping modes": "makes good samples, but leaves out some of the modes",
    "late collapse": "had covered most of the modes or of the diversity, and keeps at most half of them",
    "collapsed": "puts its samples on at most a quarter of the modes, or on almost none of the data's diversity",
    "oscillating": "quality or coverage swings down and up again and again, or between two sets of modes",
    "rotating": "holds few modes at a time, and other ones later: over time many more than at any single probe",
    "degraded": "had learned, and ends below half of the oracle's quality",
    "vanished": "bad samples, and a generator gradient that is gone: it cannot recover",
    "never learned": "never reached half of the oracle's quality",
    "diverged": "left the finite numbers; frozen at that step",
    "failed": "the program or the machine failed: says nothing about the variant, but is not a success either",
}
"""Every verdict and its meaning, from best to worst."""

FAILURES = frozenset(VERDICTS) - {"converged", "unconverged"}
"""The verdicts that count as a failure. A run that is merely unconverged does not: more steps may be all it needs."""

ORDER = ("failed", "diverged", "vanished", "never learned", "rotating", "oscillating", "late collapse", "collapsed",
         "dropping modes", "degraded", "converged", "unconverged")  # fmt: skip
"""Where several verdicts hold, the first of these counts: what ended the run, then what it did, then where it ended."""

TIGHT = 5
"""Probes in a row with a quality above the oracle's before the evidence calls the samples too tight."""


@dataclass(frozen=True)
class Verdict:
    """One thing that holds for a run: its name in VERDICTS, the step since which (None: never did), its evidence."""

    verdict: str
    onset: int | None
    evidence: str

    @property
    def failed(self) -> bool:
        """Whether it counts as a failure."""
        return self.verdict in FAILURES


def view(columns: Mapping[str, Any] | pd.DataFrame) -> View | None:
    """Return how a problem is judged, by the first set of measures that it defines; None where it has none of them."""
    have = set(columns.columns[columns.notna().any().to_numpy()]) if isinstance(columns, pd.DataFrame) else set(columns)
    return next((v for v in VIEWS if v.quality in have and (v.count is None or v.count in have)), None)


def judge(study: Study) -> pd.DataFrame:
    """Return a row for every finished run: run, verdict, onset (Int64), evidence, failed (bool), also.

    The verdict is the first that holds in ORDER; `also` names the others, "collapsed since step 500; ...". Runs that
    are skipped, pending or still training have no row. "failed" runs of the machine count as failures: they stay in
    the denominator, and a variant that cannot be trained has not survived.
    """
    columns, places = _columns(study.series), {}
    if len(study.series):
        places = {str(run): rows for run, rows in study.series.groupby("run", sort=False).indices.items()}
    rows = []
    for run in study.runs.to_dict("records"):
        if run["status"] == "failed":
            found: tuple[Verdict, ...] = (Verdict("failed", None, str(run["reason"] or "no reason was recorded")),)
        elif run["status"] in ("done", "diverged"):
            place = places.get(run["run"], np.array([], dtype=int))
            probes = {name: values[place] for name, values in columns.items()}
            diverged = run["status"] == "diverged" and not pd.isna(run["diverged_step"])
            step = int(run["diverged_step"]) if diverged else None
            oracle, modes = study.oracle.get(run["problem"], {}), study.modes.get(run["problem"])
            found = _verdicts(probes, oracle, modes, step, lost=run["status"] == "diverged")
        else:
            continue
        first, also = found[0], "; ".join(_brief(one) for one in found[1:])
        rows.append((run["run"], first.verdict, first.onset, first.evidence, first.failed, also))
    table = pd.DataFrame(rows, columns=["run", "verdict", "onset", "evidence", "failed", "also"])
    return table.astype({"onset": "Int64", "failed": bool})


def judged(study: Study, verdicts: pd.DataFrame) -> pd.DataFrame:
    """Return a study's runs with their verdicts beside them, in place of any that its table had before."""
    runs = study.runs.drop(columns=verdicts.columns.drop("run"), errors="ignore")
    return runs.merge(verdicts, on="run", how="left")


def judge_series(
    series: pd.DataFrame, oracle: Mapping[str, float], modes: int | None = None, *, diverged_step: int | None = None
) -> tuple[Verdict, ...]:
    """Return every verdict that holds for one run, the one that counts first.

    series: a row a probe, with a `step` column and the problem's measures; probes at the end without a quality are
    those of samples that are not finite. oracle: what a perfect sampler scores; where a measure is missing there, 1
    stands for a share and `modes` for a count. diverged_step: the step at which training left the finite numbers. A
    measure that is missing takes its rules with it.
    """
    return _verdicts(_columns(series), oracle, modes, diverged_step, lost=diverged_step is not None)


def loss_quality_correlation(series: pd.DataFrame, quality: str | None = None, *, least: int = 5) -> dict[str, float]:
    """Return the Spearman rank correlation over probes between each player's loss and quality, by loss column.

    In [-1, 1]; a loss that told how good the samples are would be near -1. NaN with fewer than `least` probes that
    have both, and where one of them is constant. quality: a column, by default the one by which verdicts judge.
    """
    seen = view(series)
    quality = quality or (seen.quality if seen else None)
    found = {}
    for loss in [name for name in ("d_loss", "g_loss") if name in series.columns]:
        found[loss] = float("nan")
        if quality in series.columns:
            both = series[[loss, quality]].replace([np.inf, -np.inf], np.nan).dropna().rank()
            if len(both) >= least and (both.nunique() > 1).all():
                found[loss] = float(np.corrcoef(both.to_numpy().T)[0, 1])
    return found


def _columns(series: pd.DataFrame) -> dict[str, Values]:
    names = [n for n in series.columns if n in JUDGED or str(n).startswith(("mode_share.", "class_share."))]
    return {name: series[name].to_numpy(dtype=float) for name in names}


def _brief(verdict: Verdict) -> str:
    return verdict.verdict + ("" if verdict.onset is None else f" since step {verdict.onset}")


def _verdicts(
    columns: Mapping[str, Values], oracle: Mapping[str, float], modes: int | None, step: int | None, *, lost: bool
) -> tuple[Verdict, ...]:
    columns = {name: values for name, values in columns.items() if name == "step" or not np.isnan(values).all()}
    seen = view(columns)
    if seen is None:
        if lost:
            return (_diverged(step, None),)
        return (Verdict("unconverged", None, "No quality was measured, so there is nothing to judge by."),)
    order = np.argsort(columns["step"], kind="stable")
    finite: NDArray[np.bool_] = ~np.isnan(columns[seen.quality][order])
    if not finite[-1] and not lost:
        lost, step = True, since(~finite, columns["step"][order])
    case = Case({name: values[order][finite] for name, values in columns.items()}, seen, oracle, modes)
    found = _Findings(case).all()
    if lost:
        found = [_diverged(step, case), *(verdict for verdict in found if verdict.failed)]
    return tuple(sorted(found, key=lambda verdict: ORDER.index(verdict.verdict)))


def _diverged(step: int | None, case: Case | None) -> Verdict:
    evidence = "Left the finite numbers" + (f" at step {step}" if step is not None else "")
    if case is not None:
        before = f"{_name(case.view.quality)} {case.columns[case.view.quality][-1]:.2f}"
        if case.modes is not None:
            before += f", {case.count[-1]:.0f} {_name(case.view.count or '')}"
        evidence += f"; last measured at step {int(case.steps[-1])}: {before}"
    return Verdict("diverged", step, evidence + ".")


def _name(measure: str) -> str:
    return measure.replace("_", " ")


class _Findings:
    """The verdicts on one run's finite probes, each with its onset and evidence."""

    def __init__(self, case: Case) -> None:
        self.case = case

    def all(self) -> list[Verdict]:
        """Return every verdict that holds; where nothing has failed, "converged" or "unconverged" alone."""
        case = self.case
        never = np.full(len(case.steps), not case.learned[-1])
        flags = {
            "vanished": case.vanished,
            "never learned": never,
            "late collapse": case.lost,
            "collapsed": case.narrow,
            "dropping modes": case.dropping,
            "degraded": case.degraded,
        }
        found = [self._state(name, since(holds, case.steps)) for name, holds in flags.items() if holds[-1]]
        found += self._movements()
        if not found:
            name, holds = ("converged", case.good) if case.good[-1] else ("unconverged", case.learned & case.decent)
            found.append(self._state(name, since(holds, case.steps)))
        return found

    def _movements(self) -> list[Verdict]:
        case, found = self.case, []
        moving, swinging = case.moving(), case.swinging()
        if moving is not None:
            movement, two = moving
            found.append(self._moving(movement, "oscillating" if two else "rotating"))
        if swinging is not None and not (moving and moving[1]):
            found.append(self._swinging(swinging))
        return found

    def _moving(self, movement: Movement, name: str) -> Verdict:
        step, noun = int(self.case.steps[movement.start]), _name(self.case.view.count or "").split(" ")[0]
        how = "moves between two sets of them" if name == "oscillating" else "moves on to others"
        text = f"Holds at most {movement.low:.0f} {noun} at any probe since step {step} and {movement.high:.0f} of"
        text += f" {self.case.modes} over all of them: {how}, {movement.moves} times; at the end {self._numbers()}."
        return Verdict(name, step, text)

    def _swinging(self, movement: Movement) -> Verdict:
        case, step = self.case, int(self.case.steps[movement.start])
        if movement.what:
            perfect = case.oracle.get(movement.what, 1.0)
            what, low, high = _name(movement.what), f"{movement.low * perfect:.2f}", f"{movement.high * perfect:.2f}"
        elif case.modes:
            what, low, high = (
                _name(case.view.count or ""),
                *(f"{v * case.modes:.0f}" for v in (movement.low, movement.high)),
            )
        else:
            what, low, high = "diversity", f"{movement.low:.2f}", f"{movement.high:.2f}"
        text = f"{what[0].upper()}{what[1:]} swings between {low} and {high} since step {step}, with {movement.moves}"
        return Verdict("oscillating", step, f"{text} falls and rises; at the end {self._numbers()}.")

    def _state(self, name: str, onset: int | None) -> Verdict:
        case, text = self.case, self._numbers()
        if name == "vanished":
            text += "".join(f", {self._value(m)}" for m in ("saturation", "g_gradient_norm") if case.has(m))
            if case.has("g_gradient_norm"):
                text += f" (early {np.nanmax(case.columns['g_gradient_norm'][:3]):.2g})"
        score = case.breadth * case.decent if name == "late collapse" else case.quality + case.breadth
        best = int(np.argmax(np.where(case.trained, score, -1.0)))
        if name not in ("converged", "vanished") and best < len(case.steps) - 1:
            reached = f"{_name(case.view.quality)} {case.columns[case.view.quality][best]:.2f}"
            counted = f", {self._counted(best)}" if case.modes is not None else ""
            text += f"; at its best (step {int(case.steps[best])}): {reached}{counted}"
        if name in ("converged", "unconverged") and case.modes is not None and case.count[-1] < case.modes:
            text += f"; with so few good samples a probe misses up to {case.missable[-1]:.0f} by chance"
        # five in a row: a perfect sampler's single probe is above the oracle every other time
        tight = case.quality[case.trained][-TIGHT:] > 1.005
        if case.view.bar == "quality_bar" and len(tight) == TIGHT and tight.all():
            text += f"; above the oracle in the last {TIGHT} probes: the samples are too tight around their modes"
        return Verdict(name, onset, text + ".")

    def _numbers(self) -> str:
        case = self.case
        parts = [self._counted(-1)] if case.modes is not None else []
        parts += [self._value(m) for m in (case.view.quality, *case.view.diversity) if case.has(m)]
        return ", ".join(parts)

    def _counted(self, at: int) -> str:
        return f"{self.case.count[at]:.0f} of {self.case.modes} {_name(self.case.view.count or '')}"

    def _value(self, measure: str) -> str:
        value = f"{_name(measure)} {self.case.columns[measure][-1]:.2g}"
        perfect = self.case.oracle.get(measure)
        return value if perfect is None else f"{value} (oracle {perfect:.2g})"
