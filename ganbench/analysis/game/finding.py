"""Ask every rule about the game of one run, or of all runs of a study."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ganbench.analysis import Study
from ganbench.analysis.game.course import Course
from ganbench.analysis.game.records import GameFinding, GameRule
from ganbench.analysis.game.rules import RULES
from ganbench.arrays import Flags, Values

if TYPE_CHECKING:
    import pandas as pd


def game_findings(series: Mapping[str, Values] | pd.DataFrame) -> tuple[GameFinding, ...]:
    """Return what the game of one run does until its last probe, what is most likely at fault first.

    series: a row a probe, with a `step` column and whatever was recorded of the game, as a table or as columns by name
    [probes]; a rule whose columns are missing says nothing. Of the probe before training began nothing is said.
    """
    columns = series if isinstance(series, Mapping) else _numbers(series)
    return _findings(columns) if columns and len(columns["step"]) else ()


def _numbers(series: pd.DataFrame) -> dict[str, Values]:
    numbers = series.select_dtypes("number")
    # column by column a table of one run takes longer than all rules
    return dict(zip(map(str, numbers.columns), numbers.to_numpy(dtype=float).T.copy(), strict=True))


def _findings(columns: Mapping[str, Values]) -> tuple[GameFinding, ...]:
    course = Course(columns)
    return tuple(finding for rule in RULES if (finding := ask(rule, course)))


def ask(rule: GameRule, course: Course) -> GameFinding | None:
    """Return a rule's finding where it has held for long enough, until the last probe."""
    if not all(name in course for name in rule.reads) or not course.trained.any():
        return None
    with np.errstate(all="ignore"):
        flags = rule.holds(course) & course.trained
    if len(flags) < rule.lasting or not flags[-rule.lasting :].all():
        return None
    place = _onset(flags)
    evidence = rule.evidence(course, place)
    return GameFinding(rule.name, int(course.steps[place]), evidence, rule.causes, rule.remedy, rule.shown)


LAPSE = 2
"""Probes for which a state may be left without beginning anew, if it had held for as many before."""


def _onset(flags: Flags) -> int:
    """Return the place at which the last stretch of flags began, or one before it that a short lapse parts from it."""
    edges = np.flatnonzero(np.diff(flags.astype(int), prepend=0, append=0))
    stretches = list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))
    begin, _ = stretches.pop()
    while stretches and begin - stretches[-1][1] <= min(LAPSE, stretches[-1][1] - stretches[-1][0]):
        begin, _ = stretches.pop()
    return int(begin)


def game_findings_of(study: Study, runs: Iterable[str] | None = None) -> pd.DataFrame:
    """Return a row a finding of every measured run: run, finding, onset, evidence, causes, remedy, shown.

    runs: those that are asked about, by default all. The order within a run is that of `game_findings`.
    """
    import pandas as pd  # what is looked up without a study needs none

    rows = []
    wanted = None if runs is None else set(runs)
    # a table for each of a thousand runs takes longer than all rules
    numbers, places = study.series.select_dtypes("number"), study.series.groupby("run", sort=False).indices
    columns = {str(name): numbers[name].to_numpy(dtype=float) for name in numbers.columns}
    for run in study.series["run"].unique():
        if wanted is None or run in wanted:
            found = _findings({name: values[places[run]] for name, values in columns.items()})
            rows += [(run, f.finding, f.onset, f.evidence, "; ".join(f.causes), str(f.remedy), f.shown) for f in found]
    return pd.DataFrame(rows, columns=["run", "finding", "onset", "evidence", "causes", "remedy", "shown"])


def briefly(study: Study) -> dict[str, str]:
    """Return "D is not moving since step 500; ..." by run, of those whose game has any findings."""
    table = game_findings_of(study)
    told = table["finding"] + " since step " + table["onset"].astype(str)
    return {str(run): "; ".join(names) for run, names in told.groupby(table["run"], sort=False)} if len(table) else {}


def told(findings: Sequence[GameFinding], most: int = 2) -> str:
    """Return the first findings in a few sentences: what, since when, the evidence, and what to try first."""
    return " ".join(f"{str(f)[:1].upper()}{str(f)[1:]} Try: {f.remedy}" for f in findings[:most])
