"""Through which measures a study's problems are judged, and by which their variants are ranked."""

from __future__ import annotations

from collections.abc import Iterable

from ganbench.analysis import Study
from ganbench.analysis.verdicts import View, view
from ganbench.registry import playing


def view_of(study: Study, problem: str) -> View | None:
    """Return the measures through which a problem is judged, by its oracle or, without one, by what was measured."""
    if seen := view(study.oracle.get(problem, {})):
        return seen
    return view(dict.fromkeys(measured(study, problem, map(str, study.series.columns.drop("run", errors="ignore")))))


def measured(study: Study, problem: str, names: Iterable[str]) -> list[str]:
    """Return those of some measures of which a run of a problem has any value."""
    series, have = study.series, [name for name in names if name in study.series.columns]
    if not have:  # of a large study to look for the rows takes a second
        return []
    rows = series["run"].isin(study.runs.loc[study.runs["problem"] == problem, "run"]).to_numpy()
    return [name for name in have if (series[name].notna().to_numpy() & rows).any()]


def ranked_by(study: Study, problem: str) -> dict[str, str | None]:
    """Return the measures that rank a problem's variants after their failures: those of what is covered, of quality.

    They are those through which it is judged, unless a plug-in of others has the role and measures the problem: then
    it is the last that was registered.
    """
    seen = view_of(study, problem)
    if seen is None:
        return {"covered": None, "quality": None}

    def own(*roles: str) -> list[str]:
        return measured(study, problem, [name for role in roles for name in playing(role, foreign=True)])

    return {"covered": [seen.covered, *own("covering", "modes")][-1], "quality": [seen.quality, *own("quality")][-1]}
