"""Two studies, or two variants of one, against each other: what differs, by how much, and how sure that is.

Answers are about failures, which the ranking looks at first; how the final scores differ stands beside them with an
interval of its own. "Not distinguishable" is an answer: it says that these seeds do not tell the two apart, not that
the two are equal.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol, cast

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.stats import binomtest

from ganbench.analysis import Study
from ganbench.analysis.gate import holm, worse_rate
from ganbench.analysis.ranking import labels
from ganbench.analysis.scores import FINISHED, scores
from ganbench.analysis.seeds import MEASURED, identity, seed_results, settings_of
from ganbench.analysis.statistics import CONFIDENCE, iqm, median, newcombe, pair_correlation, spread_of_difference
from ganbench.analysis.verdicts import judge, judged
from ganbench.analysis.views import ranked_by
from ganbench.errors import UserError, unknown
from ganbench.plan import OWN_NAME, Plan, Variant

PAIRS = 20
"""Fewest pairs for McNemar's exact test: with fewer it finds far less than Boschloo's (docs/statistics.md), and of five
pairs that all agree nothing, for 2 / 2^5 is above 5 %."""
ANSWERS = ("a better", "b better", "not distinguishable")
COLUMNS = (
    "label", "problem", "variant_a", "variant_b", "failures_a", "seeds_a", "failures_b", "seeds_b",
    "difference", "difference_low", "difference_high", "covered_a", "covered_b", "quality_a", "quality_b",
    "score_difference", "score_low", "score_high", "pairs", "test", "p", "adjusted", "answer", "changed",
)  # fmt: skip


class PlannedStudy(Study, Protocol):
    """A study that knows its plan, and so every setting of its variants, not only those that vary."""

    @property
    def plan(self) -> Plan: ...


def compare_studies(a: PlannedStudy, b: PlannedStudy, *, seed: int = 0) -> pd.DataFrame:
    """Return a row for every variant that both studies have and have finished runs of, in the order of `a`.

    Variants are the same where problem and settings are, and those hyper-parameters that vary in either study; where
    another one differs, `changed` says so. Differences are a - b. Columns: label, problem, variant_a, variant_b (ids);
    failures_ and seeds_ (finished runs) of each; difference of the failure rates in [-1, 1] with _low and _high
    (Newcombe, 95 %); covered_ and quality_ of each: medians of the final values, in the measures' units;
    score_difference of the interquartile means of the final score in [0, 1] (see `seeds.seed_results`), with score_low
    and score_high (bootstrap over seeds by `seed`, 95 %; below five seeds the range); pairs (0 where runs are not
    paired); test, p (two-sided, exact), adjusted (Holm's over the rows), answer (one of ANSWERS, at 5 %).

    Runs are paired where both sides have the same seeds: a seed stands for the same noise and the same data everywhere.
    No variant in common gives no rows. UserError where the studies measure with different numbers of samples.
    """
    for key in MEASURED:
        if getattr(a.plan, key) != getattr(b.plan, key):
            raise UserError(
                f"'{a.path}' is measured with {key} {getattr(a.plan, key)} and '{b.path}' with {getattr(b.plan, key)}: "
                "their scores cannot be compared."
            )
    one, other = _Results(a), _Results(b)
    swept = sorted({*a.plan.varying, *b.plan.varying, OWN_NAME})
    known = {_identity(variant, swept): variant for variant in b.plan.variants}
    rows = []
    for variant in a.plan.variants:
        match = known.get(_identity(variant, swept))
        if match is not None and one.has(variant.id) and other.has(match.id):
            row = _row(one, other, variant.id, match.id, seed)
            rows.append(row | {"label": one.labels[variant.id], "changed": _changed(variant, match)})
    return _answered(rows)


def compare_variants(
    study: Study, x: str, y: str, verdicts: pd.DataFrame | None = None, *, seed: int = 0
) -> pd.DataFrame:
    """Return one row as of `compare_studies` for two variants of one study, by their ids: x is a, y is b.

    verdicts: what `judge` returned for the study, to spare judging it again. On different problems nothing is paired.
    UserError for a variant that the study does not have, or has no finished run of.
    """
    results = _Results(study, verdicts)
    for name in (x, y):
        if name not in results.labels:
            raise unknown("variant", name, results.labels)
        if not results.has(name):
            raise UserError(f"The variant '{name}' has no finished run to compare.")
    row = _row(results, results, x, y, seed)
    return _answered([row | {"label": f"{results.labels[x]} against {results.labels[y]}", "changed": ""}])


@dataclass(frozen=True)
class _Results:
    """What a comparison reads of a study: its finished runs with failed, score, covered and quality."""

    study: Study
    verdicts: pd.DataFrame | None = None

    @cached_property
    def runs(self) -> pd.DataFrame:
        """All runs, with their verdicts."""
        return judged(self.study, judge(self.study) if self.verdicts is None else self.verdicts)

    @property
    def series(self) -> pd.DataFrame:
        return self.study.series

    @property
    def oracle(self) -> Mapping[str, Mapping[str, float]]:
        return self.study.oracle

    @cached_property
    def labels(self) -> dict[str, str]:
        return labels(self.study)

    @cached_property
    def by_variant(self) -> dict[str, pd.DataFrame]:
        """The finished runs of every variant that has some, by seed."""
        runs = self.runs[self.runs["status"].isin(FINISHED)].set_index("run", drop=False)
        keys = {str(problem): ranked_by(self.study, str(problem)) for problem in runs["problem"].unique()}
        wanted = {name for key in keys.values() for name in key.values() if name}
        table = scores(self.study, sorted(wanted))
        final = {(row["run"], row["measure"]): row["final"] for row in table.to_dict("records")}
        # seed_results reads nothing but what this class has
        frozen = seed_results([cast(Any, self)])
        score = {(variant, one.seed): one.score for variant, of in frozen.items() for one in of}
        rows = []
        for run in runs.to_dict("records"):
            known = {key: final.get((run["run"], name), np.nan) for key, name in keys[run["problem"]].items()}
            known |= {"score": score[run["variant"], int(run["seed"])]}
            rows.append({key: run[key] for key in ("variant", "problem", "seed", "failed")} | known)
        found = pd.DataFrame(rows, columns=["variant", "problem", "seed", "failed", "score", "covered", "quality"])
        return {str(name): of.sort_values("seed").set_index("seed") for name, of in found.groupby("variant")}

    def has(self, variant: str) -> bool:
        """Tell whether a variant has finished runs."""
        return variant in self.by_variant


def _identity(variant: Variant, swept: Sequence[str]) -> tuple[Any, ...]:
    return identity(settings_of(variant), dict(variant.hypers), swept)


def _changed(a: Variant, b: Variant) -> str:
    """Name the hyper-parameters that differ: defaults that were another in the other version, or overrides."""
    one, other = dict(a.hypers), dict(b.hypers)
    return "; ".join(
        f"{key} is {one.get(key)} in a, {other.get(key)} in b"
        for key in sorted({*one, *other})
        if one.get(key) != other.get(key)
    )


def _row(one: _Results, other: _Results, a: str, b: str, seed: int) -> dict[str, Any]:
    first, second = one.by_variant[a], other.by_variant[b]
    problem, problem_b = first["problem"].iloc[0], second["problem"].iloc[0]
    paired = first.index.equals(second.index) and problem == problem_b
    failed, failed_b = (side["failed"].to_numpy(dtype=bool) for side in (first, second))
    counts, seeds = (int(failed.sum()), int(failed_b.sum())), (len(failed), len(failed_b))
    phi = pair_correlation(failed, failed_b) if paired else 0.0
    low, high = newcombe(counts, seeds, CONFIDENCE, phi=phi)
    test, p = _test(failed, failed_b, paired)
    score, score_b = (side["score"].to_numpy(dtype=float) for side in (first, second))
    score_low, score_high = spread_of_difference(score, score_b, paired=paired, seed=seed)
    return {
        "problem": problem if problem == problem_b else f"{problem}, {problem_b}",
        "variant_a": a, "variant_b": b,
        "failures_a": counts[0], "seeds_a": seeds[0], "failures_b": counts[1], "seeds_b": seeds[1],
        "difference": counts[0] / seeds[0] - counts[1] / seeds[1], "difference_low": low, "difference_high": high,
        **{f"{name}_{side}": _median(table[name])
           for name in ("covered", "quality") for side, table in (("a", first), ("b", second))},
        "score_difference": float(iqm(score)) - float(iqm(score_b)), "score_low": score_low, "score_high": score_high,
        "pairs": len(failed) if paired else 0, "test": test, "p": p,
    }  # fmt: skip


def _median(values: pd.Series) -> float:
    have = values.dropna().to_numpy(dtype=float)
    return float(median(have)) if len(have) else float("nan")


def _test(a: NDArray[np.bool_], b: NDArray[np.bool_], paired: bool) -> tuple[str, float]:
    """Return the name and the two-sided p-value of the exact test: which one depends on the numbers of runs alone."""
    if paired and len(a) >= PAIRS:
        return "McNemar", mcnemar(a, b)
    return "Boschloo", boschloo((int(a.sum()), len(a)), (int(b.sum()), len(b)))


def mcnemar(a: ArrayLike, b: ArrayLike) -> float:
    """Return the two-sided p-value of McNemar's exact test of paired failures [pairs] (bool).

    Binomial over the pairs in which just one failed (McNemar 1947); 1 where there are none.

    >>> mcnemar([True, True, True], [False, False, False])
    0.25
    """
    one, other = np.asarray(a, dtype=bool), np.asarray(b, dtype=bool)
    only, not_one = int((one & ~other).sum()), int((~one & other).sum())
    return float(binomtest(only, only + not_one).pvalue) if only + not_one else 1.0


def boschloo(a: tuple[int, int], b: tuple[int, int]) -> float:
    """Return the two-sided p-value of Boschloo's exact test between two (failures, runs): twice the smaller side.

    >>> round(boschloo((5, 5), (0, 5)), 4), boschloo((1, 5), (1, 5))
    (0.002, 1.0)
    """
    return min(1.0, 2 * min(worse_rate(*a, *b), worse_rate(*b, *a)))


def _answered(rows: Iterable[dict[str, Any]]) -> pd.DataFrame:
    """Return rows as a table with Holm's adjusted p-values and the answers."""
    table = pd.DataFrame(list(rows))
    if table.empty:
        return pd.DataFrame(columns=COLUMNS)
    table["adjusted"] = holm(table["p"].tolist(), [1.0] * len(table))
    told = table["adjusted"] <= 1 - CONFIDENCE
    table["answer"] = np.select(
        [told & (table["difference"] < 0), told & (table["difference"] > 0)], ANSWERS[:2], ANSWERS[2]
    )
    return table[list(COLUMNS)]
