"""Through which measures a study's problems are judged, and by which their variants are ranked."""

from __future__ import annotations

from ganbench.analysis import Study
from ganbench.analysis.verdicts import View, view
from ganbench.registry import playing


def view_of(study: Study, problem: str) -> View | None:
    """Return the measures through which a problem is judged, by its oracle or, without one, by what was measured."""
    if seen := view(study.oracle.get(problem, {})):
        return seen
    runs = study.runs.loc[study.runs["problem"] == problem, "run"]
    return view(study.series[study.series["run"].isin(runs)])


def ranked_by(study: Study, problem: str) -> dict[str, str | None]:
    """Return the measures that rank a problem's variants after their failures: those of what is covered, of quality.

    They are those through which it is judged, unless a plug-in of others has the role and measures the problem: then
    it is the last that was registered.
    """
    seen = view_of(study, problem)
    if seen is None:
        return {"covered": None, "quality": None}
    series = study.series[study.series["run"].isin(study.runs.loc[study.runs["problem"] == problem, "run"])]

    def own(*roles: str) -> list[str]:
        names = [name for role in roles for name in playing(role, foreign=True)]
        return [name for name in names if name in series.columns and series[name].notna().any()]

    return {"covered": [seen.covered, *own("covering", "modes")][-1], "quality": [seen.quality, *own("quality")][-1]}
