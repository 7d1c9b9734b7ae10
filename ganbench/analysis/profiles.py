"""Variants over all their problems: how good their runs are, and which is better than the plainest one.

A run's score is the share of modes that it covers times the quality of its samples, both relative to a perfect sampler
and at most 1; 0 for a run that diverged or failed (`seeds.final_scores`). That is one scale for all problems.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from ganbench.analysis import Study
from ganbench.analysis.ranking import axes, labels
from ganbench.analysis.seeds import final_scores
from ganbench.analysis.statistics import (
    FEWEST,
    Profile,
    bootstrap_improvement,
    iqm,
    performance_profile,
    probability_of_improvement,
    spread,
)
from ganbench.arrays import Values

COLUMNS = (
    "label", "problems", "seeds", "runs", "iqm", "iqm_low", "iqm_high", "shared", "better", "better_low", "better_high",
)  # fmt: skip


@dataclass(frozen=True)
class Scores:
    """The final scores of the runs of every variant, by its label: a table with a row a seed and a column a problem."""

    by_label: dict[str, pd.DataFrame]
    problems: list[str]
    reference: str | None

    def of(self, label: str, problems: list[str]) -> Values:
        """Return the scores [seeds, problems] of the seeds that have finished on all of them."""
        columns, scores = self._arrays[label]
        values = scores[:, [columns[problem] for problem in problems]]
        return values[~np.isnan(values).any(axis=1)]

    @cached_property
    def _arrays(self) -> dict[str, tuple[dict[str, int], Values]]:
        """Each table's columns by problem, and its numbers: a table of five rows is slow to ask."""
        return {
            label: ({str(name): place for place, name in enumerate(table.columns)}, table.to_numpy(dtype=float))
            for label, table in self.by_label.items()
        }

    def shared(self, label: str, other: str) -> list[str]:
        """Return the problems that two variants both have runs on."""
        have = set(self.by_label[other].columns)
        return [problem for problem in self.by_label[label].columns if problem in have]


def collect(study: Study) -> Scores:
    """Return the scores of a study's variants; one that is the same on several problems is one.

    The reference is the variant with the most levels that are "none" or the first of their setting: the plainest.
    """
    found = final_scores(study)
    runs = study.runs[study.runs["run"].isin(found)]
    runs = runs.assign(label=runs["variant"].map(labels(study)), score=runs["run"].map(found))
    problems = [str(problem) for problem in runs["problem"].unique()]
    # a label has one variant on a problem, and so one run a seed
    wide = runs.pivot(index=["label", "seed"], columns="problem", values="score")[problems]
    by_label = {
        str(label): wide.loc[[label]].droplevel("label").dropna(axis=1, how="all") for label in runs["label"].unique()
    }
    return Scores(by_label, problems, _plainest(study, runs))


def _plainest(study: Study, runs: pd.DataFrame) -> str | None:
    if runs.empty:
        return None
    plain = pd.Series(0, index=runs.index)
    for axis in axes(study):
        found = study.runs[axis].dropna().unique()
        plain += runs[axis] == ("none" if "none" in found else found[0] if len(found) else None)
    wide = runs.groupby("label")["problem"].transform("nunique")
    # ties go to the variant with the most problems, then to the plan's first
    return str(runs.loc[(plain * (wide.max() + 1) + wide).idxmax(), "label"])


def improvement(scores: Scores) -> pd.DataFrame:
    """Return a row for every variant, those that share most problems with the reference and improve on it first.

    Columns COLUMNS. problems, seeds, runs: on how many problems it has how many seeds and runs; iqm with _low and
    _high: interquartile mean of their scores in [0, 1], and its `spread`; shared: problems that the reference has too;
    better with _low and _high: probability of improvement on the reference over those (Agarwal et al. 2021), NaN for
    itself and where nothing is shared.
    Intervals are bootstrap ones over seeds, 95 %; with fewer seeds than FEWEST a probability has none (NaN).
    """
    rows = []
    for label, table in scores.by_label.items():
        own = scores.of(label, list(table.columns))
        low, high = spread(own)
        shared = scores.shared(label, scores.reference) if scores.reference not in (None, label) else []
        row = (label, len(table.columns), len(own), own.size, iqm(own.ravel()), low, high, len(shared))
        rows.append((*row, *_better(scores, label, shared)))
    found = pd.DataFrame(rows, columns=list(COLUMNS))
    # the reference itself stands where a variant just as good would
    itself = found["label"] == scores.reference
    wide, order = found["shared"].where(~itself, found["problems"]), found["better"].where(~itself, 0.5)
    keys = ["wide", "order", "iqm"]
    ordered = found.assign(wide=wide, order=order).sort_values(keys, ascending=False, kind="stable", ignore_index=True)
    return ordered[list(COLUMNS)]


def _better(scores: Scores, label: str, shared: list[str]) -> tuple[float, float, float]:
    if not shared or scores.reference is None:
        return (float("nan"),) * 3
    a, b = scores.of(label, shared), scores.of(scores.reference, shared)
    few = min(len(a), len(b)) < FEWEST
    return (probability_of_improvement(a, b), *((float("nan"),) * 2 if few else bootstrap_improvement(a, b)))


def profiles(scores: Scores, problems: list[str]) -> dict[str, tuple[Values, Profile]]:
    """Return the thresholds and the performance profile of every variant that has runs on all of the problems.

    Thresholds are 0, 1 and the scores that occur: between two of them a profile is constant, and counts what is at or
    above the upper one.
    """
    found = {}
    for label, table in scores.by_label.items():
        if set(problems) <= set(table.columns):
            values = scores.of(label, problems)
            if values.size:
                at = np.unique(np.r_[0.0, values.ravel(), 1.0])
                found[label] = (at, performance_profile(values, at))
    return found
