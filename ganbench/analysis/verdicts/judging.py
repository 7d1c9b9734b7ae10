"""What happened to a run: every verdict that holds, since which step, and the numbers it rests on.

The rules are the plug-ins of kind "verdict" that are registered when a run is judged: a plan records none of them, for
they decide no training. How often those that are shipped are right on generators whose truth is known is measured by
`calibration` and told in docs/verdicts.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ganbench.analysis import Study
from ganbench.analysis.verdicts import wording
from ganbench.analysis.verdicts.case import Case, Ended, Held
from ganbench.analysis.verdicts.levels import since
from ganbench.analysis.verdicts.progress import called
from ganbench.analysis.verdicts.records import Rule, Verdict, rules
from ganbench.analysis.verdicts.view import View, judged_columns, view_through
from ganbench.arrays import Values
from ganbench.errors import UserError, quoted, told
from ganbench.registry import playing

if TYPE_CHECKING:
    import pandas as pd

    Recorded = Mapping[str, Values] | pd.DataFrame


def view(columns: Mapping[str, Any] | pd.DataFrame) -> View | None:
    """Return how a problem is judged, by the measures that it defines; None where none of them is its quality."""
    return view_through(frozenset(columns if isinstance(columns, Mapping) else columns.columns[columns.notna().any()]))


def judge(study: Study) -> pd.DataFrame:
    """Return a row for every finished run: run, verdict, onset (Int64), evidence, failed, undecided (bool), also.

    The verdict is the first that holds in ORDER; `also` names the others, "collapsed since step 500; ...". Runs that
    are skipped, pending or still training have no row. "failed" runs of the machine count as failures: they stay in
    the denominator, and a variant that cannot be trained has not survived.
    """
    import pandas as pd  # a plan looks the rules up with all plug-ins, and judges nothing

    probes, rows = _Probes(study), []
    for run in study.runs.to_dict("records"):
        if run["status"] == "failed":
            how = Ended(reason=str(run["reason"] or "no reason was recorded"))
        elif run["status"] in ("done", "diverged"):
            diverged = run["status"] == "diverged" and not pd.isna(run["diverged_step"])
            step = int(run["diverged_step"]) if diverged else None
            how = probes.ended(run, step, lost=run["status"] == "diverged")
        else:
            continue
        first, *others = found(how)
        also = "; ".join(map(_brief, others))
        rows.append((run["run"], first.verdict, first.onset, first.evidence, first.failed, first.undecided, also))
    table = pd.DataFrame(rows, columns=["run", "verdict", "onset", "evidence", "failed", "undecided", "also"])
    return table.astype({"onset": "Int64", "failed": bool, "undecided": bool})


def so_far(study: Study) -> pd.DataFrame:
    """Return a row for every run that has probes and no end: run, step, verdict, onset (Int64), evidence.

    Of runs that train, were interrupted or have crashed: the verdict that would count, had training ended at its last
    probe (step); what speaks of an end is told as "not learned yet", "not converged yet", "still learning", and
    samples that are narrow early on, and were never less so, as "not diverse yet". The probe before training says
    nothing.
    """
    import pandas as pd  # as above

    probes, rows = _Probes(study), []
    for run in study.runs.to_dict("records"):
        how = probes.ended(run, None, lost=False) if run["status"] in ("running", "pending", "failed") else Ended()
        if how.case is None or not how.case.steps.max(initial=0) > 0:
            continue
        first = found(how)[0]
        name = called(first.verdict, how.case.columns, how.case.view)
        rows.append((run["run"], int(how.case.steps[-1]), name, first.onset, first.evidence))
    return pd.DataFrame(rows, columns=["run", "step", "verdict", "onset", "evidence"]).astype({"onset": "Int64"})


def so_far_briefly(study: Study) -> dict[str, str]:
    """Return "collapsed since step 500, at step 2000" by run, of those that have probes and no end."""
    told = {}
    for row in so_far(study).to_dict("records"):
        since = "" if row["onset"] is None or row["onset"] != row["onset"] else f" since step {int(row['onset'])}"
        told[str(row["run"])] = f"{row['verdict']}{since}, at step {row['step']}"
    return told


class _Probes:
    """The probes of a study's runs, of each by its name."""

    def __init__(self, study: Study) -> None:
        self.study, self.columns = study, _columns(study.series)
        self.places: dict[str, Any] = {}
        if len(study.series):
            self.places = {str(run): rows for run, rows in study.series.groupby("run", sort=False).indices.items()}

    def ended(self, run: Mapping[Any, Any], step: int | None, *, lost: bool) -> Ended:
        """Return what rules are asked about for a run: its row in the study's table."""
        place = self.places.get(run["run"], np.array([], dtype=int))
        probes = {name: values[place] for name, values in self.columns.items()}
        oracle, modes = self.study.oracle.get(run["problem"], {}), self.study.modes.get(run["problem"])
        return _ended(probes, oracle, modes, step, lost=lost)


def judged(study: Study, verdicts: pd.DataFrame) -> pd.DataFrame:
    """Return a study's runs with their verdicts beside them, in place of any that its table had before."""
    runs = study.runs.drop(columns=verdicts.columns.drop("run"), errors="ignore")
    return runs.merge(verdicts, on="run", how="left")


def judge_series(
    series: Recorded, oracle: Mapping[str, float], modes: int | None = None, *, diverged_step: int | None = None
) -> tuple[Verdict, ...]:
    """Return every verdict that holds for one run, the one that counts first.

    series: a row a probe, with a `step` column and the problem's measures, as a table or as columns by name [probes];
    probes at the end without a quality are those of samples that are not finite. oracle: what a perfect sampler scores;
    where a measure is missing there, 1 stands for a share and `modes` for a count. diverged_step: the step at which
    training left the finite numbers. A measure that is missing takes its rules with it.
    """
    return found(ended(series, oracle, modes, diverged_step=diverged_step))


def ended(
    series: Recorded, oracle: Mapping[str, float], modes: int | None = None, *, diverged_step: int | None = None
) -> Ended:
    """Return what rules are asked about for one run; see `judge_series`."""
    return _ended(_columns(series), oracle, modes, diverged_step, lost=diverged_step is not None)


def loss_quality_correlation(series: pd.DataFrame, quality: str | None = None, *, least: int = 5) -> dict[str, float]:
    """Return the Spearman rank correlation over probes between each player's loss and quality, by loss column.

    In [-1, 1]; a loss that told how good the samples are would be near -1. NaN with fewer than `least` probes that
    have both, and where one of them is constant. quality: a column, by default the one by which verdicts judge.
    """
    seen = view(series)
    quality = quality or (seen.quality if seen else None)
    correlations = {}
    for loss in [name for name in playing("loss") if name in series.columns]:
        correlations[loss] = float("nan")
        if quality in series.columns:
            both = series[[loss, quality]].replace([np.inf, -np.inf], np.nan).dropna().rank()
            if len(both) >= least and (both.nunique() > 1).all():
                correlations[loss] = float(np.corrcoef(both.to_numpy().T)[0, 1])
    return correlations


def _columns(series: Recorded) -> dict[str, Values]:
    return {name: np.asarray(series[name], dtype=float) for name in judged_columns(map(str, series))}


def _brief(verdict: Verdict) -> str:
    return verdict.verdict + ("" if verdict.onset is None else f" since step {verdict.onset}")


def _ended(
    columns: Mapping[str, Values], oracle: Mapping[str, float], modes: int | None, step: int | None, *, lost: bool
) -> Ended:
    columns = {name: values for name, values in columns.items() if name == "step" or not np.isnan(values).all()}
    seen = view(columns)
    if seen is None:
        return Ended(lost=lost, step=step)
    order = np.argsort(columns["step"], kind="stable")
    finite: NDArray[np.bool_] = ~np.isnan(columns[seen.quality][order])
    if not finite[-1] and not lost:
        lost, step = True, since(~finite, columns["step"][order])
    steps = columns["step"][order]
    last = int(np.flatnonzero(finite)[-1]) if finite.any() else 0
    holes = steps[:last][~finite[:last]].astype(int).tolist()
    probes = {name: values[order][finite] for name, values in columns.items()}
    return Ended(Case(probes, seen, oracle, modes, holes), lost, step)


def found(ended: Ended) -> tuple[Verdict, ...]:
    """Return every failure that holds for a run, the one that counts first; where none does, what else holds."""
    asked = sorted(rules(), key=lambda rule: rule.rank)
    for failure in (True, False):
        held = [verdict for rule in asked if rule.failure is failure and (verdict := ask(rule, ended))]
        if held:
            break
    return tuple(held)


def ask(rule: Rule, ended: Ended) -> Verdict | None:
    """Return a rule's verdict where it holds; UserError where a user's rule raises or answers with something else."""
    asked = ended.case if rule.is_about_probes else ended
    if asked is None:
        return None
    try:
        held = _held(rule, asked)
        evidence = None if held is None else rule.evidence(asked, held)
        if isinstance(evidence, str) and ended.case is not None:
            evidence += wording.holes(ended.case)
    except Exception as error:  # a plug-in may raise anything
        if rule.plugin.is_own or isinstance(error, UserError):
            raise
        raise UserError(f"The verdict '{rule.plugin.name}' raised {told(error)}") from error
    if held is None:
        return None
    if not isinstance(evidence, str):
        raise UserError(f"The evidence of the verdict '{rule.plugin.name}' is no text but {quoted(evidence)}.")
    return Verdict(rule.name, held.onset, evidence)


def _held(rule: Rule, asked: Case | Ended) -> Held | None:
    answer = rule.plugin.function(asked)
    if answer is None or isinstance(answer, Held):
        return answer
    if isinstance(asked, Ended):
        raise UserError(f"The verdict '{rule.plugin.name}' answers {quoted(answer)}, not a Held or None.")
    flags = np.asarray(answer)
    if flags.dtype != np.bool_ or flags.shape != asked.steps.shape:
        form = "a flag for every probe, a Held or None"
        raise UserError(f"The verdict '{rule.plugin.name}' answers {quoted(answer)}, not {form}.")
    return Held(since(flags, asked.steps)) if flags[-1] else None
