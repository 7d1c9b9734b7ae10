"""What all sections of a report share: the study with its verdicts, ranking and scores, and how numbers are written."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import pandas as pd

from ganbench.analysis import Study, budgets, courses
from ganbench.analysis import claims as trial
from ganbench.analysis import robustness as robust
from ganbench.analysis.findings import sentences
from ganbench.analysis.game import game_findings_of
from ganbench.analysis.levels import AxisCompared, compare_levels
from ganbench.analysis.ranking import labels, rank
from ganbench.analysis.scores import FINISHED, SCORES, scores
from ganbench.analysis.verdicts import foreign, judge, judged, so_far_briefly
from ganbench.analysis.views import ranked_by, view_of
from ganbench.registry import playing
from ganbench.report.colours import places

SHOWN = (*SCORES, "area")
# by their code points: they look like an x and a hyphen
TIMES, DASH = "\u00d7", "\u2013"


def number(value: Any, digits: int = 3) -> str:
    """Return a number with three digits; a dash where there is none, "∞" for the score of a run that has none."""
    if value is None or pd.isna(value):
        return DASH
    if not isinstance(value, float):
        return str(value)
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    if value == int(value) and abs(value) < 1e4:
        return str(int(value))
    return (
        f"{value:.{digits}g}" if 1e-4 <= abs(value) < 1e4 else f"{value:.1e}".replace("e-0", "e-").replace("e+0", "e")
    )


@dataclass
class Context:
    """A study with everything that several sections need, computed once."""

    study: Study
    verdicts: pd.DataFrame = field(init=False)
    ranking: pd.DataFrame = field(init=False)
    scores: pd.DataFrame = field(init=False)
    """The scores of every finished run in every measure that has a better end, with its variant."""
    runs: pd.DataFrame = field(init=False)

    def __post_init__(self) -> None:
        self.verdicts = judge(self.study)
        scored = scores(self.study)
        self.ranking = rank(self.study, self.verdicts, scored)
        self.scores = scored.merge(self.study.runs[["run", "variant"]], on="run")
        self.runs = judged(self.study, self.verdicts)
        self.runs["label"] = self.runs["variant"].map(labels(self.study))

    @property
    def problems(self) -> list[str]:
        """The problems in the plan's order."""
        return [str(problem) for problem in self.study.runs["problem"].unique()]

    @cached_property
    def rows(self) -> dict[str, dict[Hashable, Any]]:
        """The row of every run: a table of five runs takes as long to read as one of hundreds."""
        return {row["run"]: row for row in self.runs.to_dict("records")}

    @cached_property
    def by_variant(self) -> dict[str, list[dict[Hashable, Any]]]:
        """The rows of each variant, in the order of their seeds."""
        names, runs = self.runs["variant"].tolist(), self.runs["run"].tolist()
        found: dict[str, list[dict[Hashable, Any]]] = {name: [] for name in names}
        for name, run in zip(names, runs, strict=True):
            found[name].append(self.rows[run])
        # a skipped combination is one row without a seed
        return {name: sorted(rows, key=lambda row: (pd.isna(row["seed"]), row["seed"])) for name, rows in found.items()}

    @cached_property
    def single(self) -> dict[Hashable, Any] | None:
        """The row of the one run that the study holds, None where there is something to compare."""
        only = self.runs.to_dict("records") if len(self.runs) == 1 else []
        return only[0] if only and only[0]["status"] != "skipped" else None

    @cached_property
    def own_verdicts(self) -> list[str]:
        """The verdicts that this package does not ship, and where they are from."""
        return [f"{rule.name}, {rule.plugin.source or 'this session'}" for rule in foreign()]

    @cached_property
    def findings(self) -> list[str]:
        """What the study shows, in sentences."""
        found = sentences(self.study, self.verdicts, self.ranking, self.scores, self.compared)
        over_settings = robust.sentences(self.robustness)
        over_budgets = budgets.sentences(self.moves)
        on_trial, in_theory = trial.sentences(self.claims), courses.sentences(self.theory)
        return [*found[:1], *on_trial, *in_theory, *over_settings, *over_budgets, *found[1:]]

    @cached_property
    def finished(self) -> pd.DataFrame:
        """The runs that have ended, with their verdicts."""
        return self.runs[self.runs["status"].isin(FINISHED)]

    @cached_property
    def compared(self) -> list[AxisCompared]:
        """The levels of each setting beside one of them, in matched pairs of runs."""
        return compare_levels(self.study, self.finished)

    @cached_property
    def places(self) -> list[dict[str, int]]:
        """Which colour each level of each setting has, see `colours.looks`."""
        return places(self.study)

    @cached_property
    def claims(self) -> pd.DataFrame:
        """How the study's claims were judged, a row a claim; empty where it has none."""
        return trial.judge_claims(self.study, self.verdicts)

    @cached_property
    def game(self) -> dict[str, list[dict[Hashable, Any]]]:
        """What the games of the runs do, by run: finding, onset, evidence, causes, remedy, shown."""
        table = game_findings_of(self.study)
        return {str(run): rows.to_dict("records") for run, rows in table.groupby("run", sort=False)}

    @cached_property
    def so_far(self) -> dict[str, str]:
        """What holds so far of the runs that have probes and no end, in words, by run."""
        return so_far_briefly(self.study)

    @cached_property
    def robustness(self) -> pd.DataFrame:
        """How each method fares over its settings; empty where all have one."""
        return robust.robustness(self.study, self.verdicts)

    @cached_property
    def moves(self) -> pd.DataFrame:
        """How verdicts move with more steps, pair by pair; empty where all runs have one budget."""
        return budgets.moves(self.study, self.verdicts)

    @cached_property
    def theory(self) -> pd.DataFrame:
        """What theory says of the variants on games in closed form, and what was measured."""
        return courses.table(self.study)

    @cached_property
    def finals(self) -> dict[tuple[str, str], float]:
        """The final scores, by run and measure."""
        return {(run, name): value for run, name, value in self.scores[["run", "measure", "final"]].to_numpy()}

    @cached_property
    def medians(self) -> dict[tuple[str, str], dict[str, float]]:
        """The medians over seeds of what SHOWN names, by variant and measure."""
        grouped = self.scores.groupby(["variant", "measure"], sort=False)[list(SHOWN)].median()
        values = grouped.to_numpy()
        return {k: dict(zip(SHOWN, row, strict=True)) for k, row in zip(grouped.index, values, strict=True)}

    def measures(self, problem: str) -> list[str]:
        """Return the measures that a problem's tables show: what ranks, what judges, diversity and distances."""
        return self._measures[problem]

    @cached_property
    def _measures(self) -> dict[str, list[str]]:
        known, found = self.study.measures, {}
        for problem in self.problems:
            seen = view_of(self.study, problem)
            judging = (seen.covered, seen.quality, seen.fidelity) if seen else ()
            names = [name for name in (*ranked_by(self.study, problem).values(), *judging) if name]
            beside = [*playing("published"), *playing("diversity"), *playing("distance")]
            names += [name for name in beside if name in self.oracle(problem) or not names]
            found[problem] = [name for name in dict.fromkeys(names) if name in known]
        return found

    def oracle(self, problem: str) -> Mapping[str, float]:
        """Return what a perfect sampler scores on a problem."""
        return self.study.oracle.get(problem, {})
