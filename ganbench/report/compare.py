"""The page that sets studies against each other: the first one against every other, variant by variant."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, cast

import pandas as pd

from ganbench.analysis import Study
from ganbench.analysis.comparison import PlannedStudy, compare_studies
from ganbench.analysis.findings import percent
from ganbench.analysis.statistics import FEWEST
from ganbench.errors import UserError
from ganbench.report.context import DASH, number

LOOKS = (
    "The correction is for this one look: who compares again whenever seeds were added finds a difference sooner or "
    "later. Choose the number of seeds first."
)
ANSWERS = {"a better": "first is better", "b better": "second is better"}


def comparisons(studies: Sequence[Study]) -> list[dict[str, Any]]:
    """Return for every study after the first how it differs from it: rows for the template, or why there are none."""
    # without a plan nothing says which variants are the same
    planned = [cast(PlannedStudy, study) for study in studies if hasattr(study, "plan")]
    if len(planned) < 2:
        return []
    first, *others = planned
    found = []
    for number_, other in enumerate(others, start=2):
        same = first.name == other.name
        names = (f"{first.name} (1)", f"{other.name} ({number_})") if same else (first.name, other.name)
        rows, problem = [], ""
        try:
            rows = [_row(row) for row in compare_studies(first, other).to_dict("records")]
        except UserError as error:
            problem = str(error)
        found.append({"first": names[0], "second": names[1], "rows": rows, "told": problem or _told(rows)})
    return found


def _told(rows: list[dict[str, Any]]) -> str:
    if not rows:
        return "No variant is in both: to be one, all of its settings have to be the same, steps and rates too."
    counts = Counter(row["answer"] for row in rows)
    answers = ", ".join(f"{counts[name]} {name}" for name in sorted(counts, key=lambda name: -counts[name]))
    return f"Of {len(rows)} variant{'s' * (len(rows) > 1)} that both have: {answers}."


def _row(row: Mapping[Any, Any]) -> dict[str, Any]:
    return {
        "label": f"{row['problem']}: {row['label']}",
        "changed": row["changed"],
        "failures_a": f"{row['failures_a']}/{row['seeds_a']}",
        "failures_b": f"{row['failures_b']}/{row['seeds_b']}",
        "rate_a": row["failures_a"] / row["seeds_a"],
        "rate_b": row["failures_b"] / row["seeds_b"],
        "rate_difference": row["difference"],
        "rate": f"{_points(row['difference'])} ({_points(row['difference_low'])} to {_points(row['difference_high'])})",
        "score_difference": row["score_difference"],
        "score": _with_spread(row),
        "p": number(row["adjusted"], 2),
        "test": row["test"],
        "answer": ANSWERS.get(row["answer"], row["answer"]),
    }


def _points(share: float) -> str:
    return f"{'-' if share < 0 else ''}{percent(abs(share))}"


def _with_spread(row: Mapping[Any, Any]) -> str:
    value, low, high = row["score_difference"], row["score_low"], row["score_high"]
    if pd.isna(value):
        return DASH
    few = "range " * (min(row["seeds_a"], row["seeds_b"]) < FEWEST)
    return f"{_two(value)} ({few}{_two(low)} to {_two(high)})" if not pd.isna(low) else _two(value)


def _two(value: float) -> str:
    # no "-0.00"
    return f"{round(value, 2) + 0.0:.2f}"
