"""What more steps change: runs that differ in their budget alone, and how their verdicts move."""

from __future__ import annotations

from itertools import pairwise

import pandas as pd

from ganbench.analysis import Study
from ganbench.analysis.findings import rate
from ganbench.analysis.ranking import axes
from ganbench.analysis.scores import FINISHED
from ganbench.analysis.verdicts import FAILURES, UNDECIDED, judge, judged

COLUMNS = ["problem", "short", "long", "variant", "seed", "before", "after", "lived", "lives"]


def moves(study: Study, verdicts: pd.DataFrame | None = None) -> pd.DataFrame:
    """Return one row a pair of finished runs that share seed and all settings but the steps, at neighbouring budgets.

    Columns: problem, short and long (their steps), variant (of the short one), seed, before and after (their verdicts),
    lived and lives (whether they have neither failed nor been too short to tell). Empty where no budget varies. A
    schedule of the learning rate is stretched with the budget: the short run is not the begin of the long one.
    """
    runs = judged(study, judge(study) if verdicts is None else verdicts)
    runs = runs[runs["status"].isin(FINISHED)]
    if "steps" not in study.axes or runs.empty:
        return pd.DataFrame(columns=COLUMNS)
    keys = ["problem", *(axis for axis in axes(study) if axis != "steps"), "seed"]
    lives = ~(runs["failed"].astype(bool) | runs["undecided"].astype(bool))
    told = runs[[*keys, "steps", "variant", "verdict"]].assign(lives=lives)
    pairs = [
        _paired(told[(told["problem"] == problem)], keys, int(short), int(long))
        for problem, of_problem in told.groupby("problem", sort=False)
        for short, long in pairwise(sorted(of_problem["steps"].unique()))
    ]
    found = [pair for pair in pairs if len(pair)]
    return pd.concat(found, ignore_index=True)[COLUMNS] if found else pd.DataFrame(columns=COLUMNS)


def _paired(runs: pd.DataFrame, keys: list[str], short: int, long: int) -> pd.DataFrame:
    first, second = (runs[runs["steps"] == steps].drop(columns="steps") for steps in (short, long))
    first = first.rename(columns={"verdict": "before", "lives": "lived"})
    second = second.drop(columns="variant").rename(columns={"verdict": "after"})
    # a hyper-parameter that a variant does not have is missing on both sides, and equal
    return first.merge(second, on=keys).assign(short=short, long=long)


def table(moved: pd.DataFrame) -> pd.DataFrame:
    """Return how many pairs moved from which verdict (rows) to which (columns), the most frequent first."""
    counts = pd.crosstab(moved["before"], moved["after"])
    rows = counts.sum(axis=1).sort_values(ascending=False, kind="stable").index
    columns = counts.sum(axis=0).sort_values(ascending=False, kind="stable").index
    return counts.loc[rows, columns]


def sentences(moved: pd.DataFrame) -> list[str]:
    """Return what more steps change, a sentence a problem and pair of budgets: who survives that did not, and back."""
    return [
        _sentence(str(problem), short, long, pairs)
        for (problem, short, long), pairs in (
            moved.groupby(["problem", "short", "long"], sort=False) if len(moved) else ()
        )
    ]


def _sentence(problem: str, short: object, long: object, pairs: pd.DataFrame) -> str:
    text = f"Budget on {problem}: with {long} instead of {short} steps, same seeds and other settings, "
    parts = []
    for name, of in _kinds(pairs):
        if len(of):
            survive = rate(of, of["lives"].astype(bool))
            parts.append(f"of the runs that {name}, {survive} survive")
    return f"{text}{'; '.join(parts)}."


def _kinds(pairs: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    short, never = pairs["before"].isin(UNDECIDED), pairs["before"] == "never learned"
    other = pairs["before"].isin(FAILURES) & ~never
    return [
        ("were too short to tell", pairs[short]),
        ("had never learned", pairs[never]),
        ("had failed otherwise", pairs[other]),
        ("survived", pairs[pairs["lived"].astype(bool)]),
    ]
